//! The DHT's packets, its saved table, and a node that lives through a script of packets, answers, time and wishes.

use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Instant, Rng};
use millstream_core::dht::{DhtConfig, Event, Family, Item, Node};
use millstream_core::wire::InfoHash;
use millstream_core::wire::krpc::{Body, Message, NodeId};
use sha2::{Digest, Sha256};

/// A datagram: what is understood is written and understood again, and its lists can be walked.
pub fn krpc(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    if let Body::Response(response) = &message.body {
        let nodes = response.nodes.iter().chain(response.nodes6.iter()).count();
        assert!(nodes + response.values.iter().count() <= data.len());
    }
    let mut written = Vec::new();
    message.write(&mut written);
    assert_eq!(Message::parse(&written).as_ref(), Ok(&message), "{}", written.escape_ascii());
}

/// The limits of a node that is soon full.
fn limits() -> DhtConfig {
    DhtConfig {
        bootstrap_nodes: vec!["81.1.1.1:1".into(), "name.example:1".into()],
        private_addresses: true,
        enforce_node_ids: false,
        nodes_max: 20,
        lookup_queries_max: 30,
        lookups_max: 4,
        transactions_max: 40,
        datagrams_max: 50,
        events_max: 50,
        stored_hashes_max: 3,
        stored_peers_per_hash_max: 3,
        stored_peers_max: 6,
        stored_items_max: 3,
        stored_items_bytes_max: 500,
        ..DhtConfig::default()
    }
}

/// A node, and what its script remembers.
struct Script {
    node: Node,
    now: Instant,
    /// Queries of ours that nobody has answered: where they went, and their transaction.
    asked: Vec<(SocketAddr, Vec<u8>)>,
    /// The last token that it gave, and to whom.
    token: Option<(SocketAddr, Vec<u8>)>,
}

fn host(n: u8) -> SocketAddr {
    if n & 0x80 == 0 {
        SocketAddr::new([81, n, 1, 1].into(), 6881)
    } else {
        SocketAddr::new([0x2a01, u16::from(n), 0, 0, 0, 0, 0, 1].into(), 6881)
    }
}

impl Script {
    fn new(now: Instant) -> Self {
        let mut node = Node::new(limits(), Rng::new([7; 32]), now);
        Family::ALL.into_iter().for_each(|family| node.on_bound(now, family));
        Self { node, now, asked: Vec::new(), token: None }
    }

    /// What it sends fits in a packet; what it keeps stays within its limits.
    fn look(&mut self) {
        for family in Family::ALL {
            while let Some((to, bytes)) = self.node.next_datagram(family) {
                assert!(bytes.len() <= 1400 && to.port() != 0, "{} bytes to {to}", bytes.len());
                let message = Message::parse(&bytes).expect("it writes what can be read");
                match message.body {
                    Body::Query(_) => self.asked.push((to, message.transaction.to_vec())),
                    Body::Response(response) => {
                        let token = response.token.map(|token| (to, token.to_vec()));
                        self.token = token.or(self.token.take());
                    }
                    Body::Error { .. } => {}
                }
            }
        }
        let mut resolved = false;
        while let Some(event) = self.node.next_event() {
            resolved |= matches!(event, Event::Resolve { .. });
        }
        if resolved {
            self.node.on_resolved(self.now, &[host(3), host(0x83)]);
        }
        let (status, limits) = (self.node.status(self.now), limits());
        assert!(status.families.iter().all(|family| family.nodes <= limits.nodes_max));
        assert!(status.lookups <= limits.lookups_max + 4, "{status:?}");
        assert!(status.transactions <= limits.transactions_max + 64 + 16, "{status:?}");
        assert!(status.stored_hashes <= limits.stored_hashes_max);
        assert!(status.stored_peers <= limits.stored_peers_max);
        assert!(status.stored_items <= limits.stored_items_max);
        assert!(status.stored_items_bytes <= limits.stored_items_bytes_max);
    }

    fn step(&mut self, op: u8, n: u8, bytes: &[u8]) {
        let (now, hash) = (self.now, InfoHash([n; 20]));
        match op % 8 {
            0 => self.node.on_datagram(now, host(n), bytes),
            1 => {
                if let Some((to, transaction)) = self.asked.pop() {
                    let head = [b"d1:rd2:id20:", &[n; 20][..], bytes, b"e1:t4:"].concat();
                    self.node.on_datagram(now, to, &[&head[..], &transaction[..], b"1:y1:re"].concat());
                }
            }
            2 => {
                self.now = now + Duration::from_millis(1 << (n % 22));
                self.node.on_timeout(self.now);
            }
            3 => drop(self.node.get_peers(now, hash)),
            4 => drop(self.node.announce(now, hash, Some(u16::from(n)), n & 1 == 0)),
            5 => drop(self.node.get(now, NodeId([n; 20]), bytes, None)),
            6 => drop(self.node.put(now, Item::Immutable { value: bytes.to_vec() }, None)),
            _ => self.store(n, bytes),
        }
        self.look();
    }

    /// Asks with the token that was given last: a peer or an item.
    fn store(&mut self, n: u8, bytes: &[u8]) {
        let Some((from, token)) = self.token.clone() else { return };
        let token = [format!("5:token{}:", token.len()).as_bytes(), &token].concat();
        let (arguments, name) = if n & 1 == 0 {
            ([&b"9:info_hash20:"[..], &[n; 20], b"4:porti77e", &token].concat(), "13:announce_peer")
        } else {
            ([&token[..], b"1:v", bytes].concat(), "3:put")
        };
        let head = [&b"d1:ad2:id20:abcdefghij0123456789"[..], &arguments, b"e1:q"].concat();
        self.node.on_datagram(self.now, from, &[&head[..], name.as_bytes(), b"1:t2:aa1:y1:qe"].concat());
    }
}

/// A node that a script of packets, answers, time and wishes is read out to: three bytes say what, who and how long.
pub fn dht_node(mut data: &[u8]) {
    let mut script = Script::new(Instant::from_micros(1_000_000));
    script.look();
    while let Some((&[op, n, length], rest)) = data.split_first_chunk::<3>() {
        let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
        script.step(op, n, bytes);
        data = rest;
    }
    let saved = script.node.save();
    assert!(script.node.restore(script.now, &saved).is_ok(), "what it saves it restores");
}

/// A saved table, as it came and as a table with a right checksum: a node takes it or refuses it, and lives on.
pub fn dht_table(data: &[u8]) {
    let (head, nodes) = data.split_at(data.len().min(40));
    let mut table = [b"millstream dht\n\x01", head].concat();
    table.resize(56, 0);
    table.extend_from_slice(&nodes[..nodes.len() / 38 * 38]);
    let sum = Sha256::digest(&table);
    table.extend_from_slice(&sum);
    for (bytes, sound) in [(data, false), (&table[..], true)] {
        let now = Instant::from_micros(1_000_000);
        let mut script = Script::new(now);
        let restored = script.node.restore(now, bytes);
        assert!(restored.is_ok() || !sound, "{restored:?}");
        script.look();
        for _ in 0..20 {
            let Some(at) = script.node.deadline() else { break };
            script.now = script.now.max(at);
            script.node.on_timeout(script.now);
            script.look();
        }
        let saved = script.node.save();
        assert!(script.node.restore(script.now, &saved).is_ok(), "what it saves it restores");
    }
}
