//! The DHT at the doors: commands, news, datagrams, names, timers. What it does is `net`'s and `dht`'s.

use super::effect::Effect;
use super::event::Event;
use super::{Asker, CommandError, Config, Engine, Reply};
use crate::base::{Instant, Rng, TorrentId};
use crate::dht::{Busy, DhtStatus, Item, LookupId, PutError, SavedError};
use crate::net::{DhtWish, Finder, FinderOutput, Followed};
use crate::torrent::{Errand, Outcome, Work};
use crate::wire::InfoHash;
use crate::wire::krpc::NodeId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use thiserror::Error;

/// What an application wants of the DHT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtCommand {
    /// Seek peers of a torrent that needn't be here.
    GetPeers(InfoHash),
    /// Say that peers of a torrent are at a port of ours; `None` is the port of our node.
    Announce {
        /// The torrent.
        info_hash: InfoHash,
        /// The port.
        port: Option<u16>,
        /// All of it is there (BEP 33).
        seed: bool,
    },
    /// Count who is in a swarm (BEP 33).
    Scrape(InfoHash),
    /// Seek an item (BEP 44).
    Get {
        /// Its key.
        target: NodeId,
        /// A mutable item's salt; empty if it has none.
        salt: Vec<u8>,
        /// Only a version above this one.
        newer_than: Option<i64>,
    },
    /// Store an item (BEP 44), with `cas` only over that version.
    Put {
        /// The item.
        item: Item,
        /// The version that it replaces.
        cas: Option<i64>,
    },
    /// Ask nodes on the way to a point which torrents they know (BEP 51).
    Sample(NodeId),
    /// Seek the nodes nearest to a point.
    FindNode(NodeId),
    /// End a look-up unheard.
    Cancel(LookupId),
    /// There may be a node at this address.
    Node(SocketAddr),
    /// Follow a key (BEP 46): `DhtNews::Followed` tells which torrent it names, and each time that it changes.
    Follow {
        /// The publisher's public key.
        key: [u8; 32],
        /// The salt; empty if there is none.
        salt: Vec<u8>,
    },
    /// Follow it no more.
    Unfollow {
        /// The publisher's public key.
        key: [u8; 32],
        /// The salt.
        salt: Vec<u8>,
    },
    /// Take the table that `DhtNews::Table` gave last time; best before sockets are bound.
    Restore(Vec<u8>),
}

/// News of the DHT.
#[derive(Clone, Debug, PartialEq)]
pub enum DhtNews {
    /// A look-up that the application began tells this.
    Lookup(crate::dht::Event),
    /// A followed key names this torrent now (BEP 46).
    Followed(Followed),
    /// The table, to be kept beside the resume data and given back by `DhtCommand::Restore`. Comes now and then, and when
    /// the engine stops.
    Table(Arc<[u8]>),
}

impl DhtNews {
    /// Ends of look-ups come once for each that the application began.
    pub(super) fn must_arrive(&self) -> bool {
        match self {
            Self::Lookup(event) => matches!(event, crate::dht::Event::Done { .. }),
            Self::Followed(_) => true,
            Self::Table(_) => false,
        }
    }
}

/// Why the DHT can't do what was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DhtError {
    /// `Config::dht` is off.
    #[error("the DHT is off")]
    Off,
    /// Too much at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// No node would store the item, or too much at once.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The saved table is damaged or another program's. It is to be set aside.
    #[error(transparent)]
    Saved(#[from] SavedError),
}

/// The node, if the settings have one.
pub(super) fn finder(now: Instant, config: &Config, rng: &Rng) -> Option<Box<Finder>> {
    let proxied = config.proxy.is_some();
    let node = crate::dht::DhtConfig {
        // Who can't be reached must not stand in tables (BEP 43).
        read_only: config.dht_node.read_only || proxied,
        proxied,
        ip_filter: config.book.ip_filter.clone(),
        ..config.dht_node.clone()
    };
    config.dht.then(|| Box::new(Finder::new(now, node, rng.fork("dht"))))
}

impl Engine {
    /// How the DHT is; `None` if it is off.
    pub fn dht_status(&self, now: Instant) -> Option<DhtStatus> {
        self.finder.as_ref().map(|finder| finder.status(now))
    }

    /// Calls the node, and lets its outputs follow.
    pub(super) fn with_finder(&mut self, now: Instant, call: impl FnOnce(&mut Finder)) {
        if let Some(finder) = &mut self.finder {
            call(finder);
            self.drain_finder(now);
        }
    }

    /// Whether a torrent wants to be found may have changed.
    pub(super) fn heed_dht(&mut self, now: Instant, slot: u32) {
        let Some((id, seat)) = self.torrents.at_mut(slot) else { return };
        let wants = seat.torrent.uses_dht();
        if core::mem::replace(&mut seat.found_by_dht, wants) != wants {
            self.with_finder(now, |finder| finder.on_torrent(now, TorrentId(id), wants));
        }
    }

    pub(super) fn on_dht_alarm(&mut self, now: Instant) {
        self.armed.dht = None;
        self.with_finder(now, |finder| finder.on_timeout(now));
    }

    pub(super) fn on_dht_resolved(&mut self, now: Instant, outcome: Outcome) {
        let addrs = if let Outcome::Resolved(addrs) = outcome { addrs } else { Vec::new() };
        self.with_finder(now, |finder| finder.on_resolved(now, &addrs));
    }

    pub(super) fn on_dht_command(
        &mut self,
        now: Instant,
        command: DhtCommand,
    ) -> Result<Reply, CommandError> {
        let finder = self.finder.as_mut().ok_or(DhtError::Off)?;
        let reply = carry_out(now, finder, command).map_err(CommandError::from);
        self.drain_finder(now);
        reply
    }

    /// The last word of a node that ends: its table.
    pub(super) fn save_dht(&mut self) {
        if let Some(finder) = &self.finder {
            let table = finder.save();
            self.news.push(Event::Dht(DhtNews::Table(table.into())));
        }
    }

    pub(super) fn drain_finder(&mut self, now: Instant) {
        while let Some(output) = self.finder.as_mut().and_then(|finder| finder.next_output()) {
            match output {
                FinderOutput::Resolve { host, port } => {
                    let route = self.config.route();
                    self.job(Asker::Dht, Errand::Resolve(0), Work::Resolve { host, port, route });
                }
                FinderOutput::Ready(local) => self.effects.push_back(Effect::DatagramsReady { local }),
                FinderOutput::Due(id) => {
                    let facts = self.with(now, id, |torrent, cx| torrent.dht_facts(cx));
                    if let (Some((hashes, port, seed)), Some(finder)) = (facts, &mut self.finder) {
                        finder.on_wish(now, id, &DhtWish { hashes, port, seed });
                    }
                }
                FinderOutput::Peers(id, peers) => {
                    self.with(now, id, |torrent, cx| torrent.on_dht_peers(cx, &peers));
                }
                FinderOutput::News(event) => self.news.push(Event::Dht(DhtNews::Lookup(event))),
                FinderOutput::Followed(followed) => self.news.push(Event::Dht(DhtNews::Followed(followed))),
                FinderOutput::Save(table) => self.news.push(Event::Dht(DhtNews::Table(table.into()))),
            }
        }
        self.host.dht_ports = self.finder.as_ref().map_or([None; 2], |finder| finder.ports());
    }
}

fn carry_out(now: Instant, finder: &mut Finder, command: DhtCommand) -> Result<Reply, DhtError> {
    let begun = match command {
        DhtCommand::GetPeers(hash) => finder.on_asked(now, |node, now| node.get_peers(now, hash))?,
        DhtCommand::Announce { info_hash, port, seed } => {
            finder.on_asked(now, |node, now| node.announce(now, info_hash, port, seed))?
        }
        DhtCommand::Scrape(hash) => finder.on_asked(now, |node, now| node.scrape(now, hash))?,
        DhtCommand::Get { target, salt, newer_than } => {
            finder.on_asked(now, |node, now| node.get(now, target, &salt, newer_than))?
        }
        DhtCommand::Put { item, cas } => finder.on_asked(now, |node, now| node.put(now, item, cas))?,
        DhtCommand::Sample(target) => finder.on_asked(now, |node, now| node.sample(now, target))?,
        DhtCommand::FindNode(target) => finder.on_asked(now, |node, now| node.find_node(now, target))?,
        DhtCommand::Cancel(lookup) => {
            finder.cancel(lookup);
            return Ok(Reply::Done);
        }
        DhtCommand::Node(addr) => {
            finder.on_node(now, addr);
            return Ok(Reply::Done);
        }
        DhtCommand::Follow { key, salt } => {
            finder.follow(now, key, salt)?;
            return Ok(Reply::Done);
        }
        DhtCommand::Unfollow { key, salt } => {
            finder.unfollow(&key, &salt);
            return Ok(Reply::Done);
        }
        DhtCommand::Restore(table) => {
            finder.restore(now, &table)?;
            return Ok(Reply::Done);
        }
    };
    Ok(Reply::Lookup(begun))
}
