//! All integration tests, one module per subject.

// A story that can't go on fails where it stands.
#![allow(clippy::unwrap_used)]

/// The table of BEPs names tests that exist, and leaves no BEP out.
mod beps;
/// Calls that lead nowhere, or that there is no room for.
mod calls;
/// Every committed fuzz input goes through its body; targets, bodies and corpora belong together.
mod corpus;
/// Peers are found by the DHT (BEP 5, 27, 46, 52).
mod dht;
/// Networks of hundreds of DHT nodes, and what they give to strangers (BEP 5, 42, 44).
mod dht_world;
/// Encrypted links: each policy against each, swarms that require them, strangers who lie.
mod encryption;
/// Operations on an engine, drawn at random.
mod engine_ops;
/// Peers that are learned of from peers and from neighbours.
mod gossip;
/// The guards of determinism: replay, chunking, batching, restart.
mod guards;
/// Peers behind routers, brought together by others.
mod holepunch;
/// Hosts that fail, commands at the wrong moment, peers and trackers that bend the rules.
mod hostile;
/// Torrents that nobody asks for: memory, and wake-ups.
mod idle;
/// Whom the filter of addresses forbids.
mod ip_filter;
/// Magnets: only the hash is known.
mod magnet;
/// Peers that the application sends away.
mod partings;
/// Peers that wait: for memory, for a check, for hashes.
mod patience;
/// The pool of links finds out what the network bears.
mod pool;
/// Files that come before others, and after them.
mod priorities;
/// Files that another torrent has already.
mod shared;
/// What is said to scripted peers, and how what they say is taken.
mod strangers;
/// What a seed has to send, and what free riders get.
mod swarm;
/// The house rules: layers, sizes, words; and that each guard catches what it guards against.
mod tidy;
/// Trackers over HTTP and UDP.
mod trackers;
/// One torrent goes from a seed to a leech (BEP 3).
mod transfer;
/// Liars are found, and nobody else is blamed.
mod trust;
/// Newer torrents, and who vouches for them.
mod updates;
/// Links over uTP (BEP 29).
mod utp;
/// v2 and hybrid torrents (BEP 52).
mod v2;
/// Web seeds (BEP 19).
mod webseeds;
/// Swarms in rough weather, and power cuts.
mod world;
