//! Nodes as mirrors: what an answer is to its query, and what a victim gets when an attacker forges its address.

use super::hostile::query;
use super::{DhtHost, DhtWorld};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use millstream_core::dht::{Family, Item, SecretKey};
use millstream_core::wire::InfoHash;
use millstream_core::wire::krpc::{Body, Message, Method, NodeId, Signed};

/// Peers announced for the torrent that is asked for.
const PEERS: usize = 40;

/// A stored torrent and stored items, and who knows them.
pub struct Mirrors {
    /// The network.
    pub world: DhtWorld,
    /// Its nodes.
    pub nodes: Vec<DhtHost>,
    torrent: InfoHash,
    immutable: Item,
    mutable: Item,
}

/// One kind of query with the greatest answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// In words.
    pub kind: &'static str,
    /// Bytes of the query.
    pub query: u64,
    /// Bytes of the greatest answer.
    pub answer: u64,
}

impl Factor {
    /// The answer's bytes for ten of the query's.
    pub fn tenths(&self) -> u64 {
        self.answer * 10 / self.query.max(1)
    }
}

impl Mirrors {
    /// A network that has something to give.
    ///
    /// # Panics
    /// If nothing can be stored.
    pub fn new(seed: u64, family: Family, nodes: u32) -> Self {
        let mut world = DhtWorld::new(seed, family);
        let nodes: Vec<DhtHost> = (0..nodes)
            .map(|_| {
                let host = world.join();
                world.run(Duration::from_millis(200));
                host
            })
            .collect();
        world.run(Duration::from_secs(60));
        let torrent = InfoHash(world.rng().bytes());
        let value = [b"996:".as_slice(), &[b'x'; 996]].concat();
        let owner = SecretKey::from_seed(&world.rng().bytes());
        let immutable = Item::Immutable { value: value.clone() };
        let mutable = Item::Mutable(owner.sign(b"", 1, &value).expect("1000 bytes are allowed"));
        for n in 0..PEERS {
            let host = nodes[n % nodes.len()];
            let begun =
                world.with(host, |node, now| node.announce(now, torrent, Some(1), n.is_multiple_of(2)));
            begun.expect("there is room");
            world.run(Duration::from_millis(500));
        }
        for item in [&immutable, &mutable] {
            world.with(nodes[0], |node, now| node.put(now, item.clone(), None)).expect("there is room");
        }
        world.run(Duration::from_secs(30));
        Self { world, nodes, torrent, immutable, mutable }
    }

    /// Every kind of query, from real packets: what the most generous node answers.
    pub fn factors(&mut self) -> Vec<Factor> {
        let (torrent, elsewhere) = (self.torrent, InfoHash([0x55; 20]));
        let peers = |info_hash, scrape| Method::GetPeers { info_hash, no_seed: false, scrape };
        let get = |item: &Item| Method::Get { target: item.target(), seq: None };
        let asked = [
            ("`ping`", Method::Ping),
            ("`find_node`", Method::FindNode { target: NodeId([0x55; 20]) }),
            ("`get_peers`, only nodes known", peers(elsewhere, false)),
            ("`get_peers`, many peers known", peers(torrent, false)),
            ("`get_peers` with `scrape`", peers(torrent, true)),
            ("`get`, nothing stored", Method::Get { target: NodeId([0x55; 20]), seq: None }),
            ("`get`, an immutable item of 1000 bytes", get(&self.immutable)),
            ("`get`, a mutable item of 1000 bytes", get(&self.mutable)),
            ("`sample_infohashes`", Method::SampleInfohashes { target: NodeId([0x55; 20]) }),
        ]
        .map(|(kind, method)| (kind, query(method)));
        let mut found: Vec<Factor> =
            asked.into_iter().map(|(kind, bytes)| self.greatest(kind, &bytes)).collect();
        let guess = b"a token of 20 bytes.";
        let announce =
            Method::AnnouncePeer { info_hash: torrent, port: Some(1), token: &guess[..8], seed: false };
        found.push(self.greatest("`announce_peer`, a guessed token", &query(announce)));
        let Item::Mutable(item) = self.mutable.clone() else { return found };
        let signed = Signed { key: &item.key, salt: &item.salt, seq: item.seq, signature: &item.signature };
        let put = |value, signed| Method::Put { token: &guess[..8], value, signed, cas: None };
        found.push(self.greatest("`put` of 1 byte, a guessed token", &query(put(b"1:x", None))));
        found.push(self.greatest("`put`, a guessed token", &query(put(&item.value, Some(signed)))));
        found
    }

    fn greatest(&mut self, kind: &'static str, bytes: &[u8]) -> Factor {
        let family = Family::of(&self.world.addr(self.nodes[0]));
        let mut answer = 0;
        for n in 0..self.nodes.len() {
            let from = stranger(family, 900 + n as u32);
            let to = self.world.addr(self.nodes[n]);
            let letters = self.world.ask(from, to, bytes.to_vec());
            let answers = letters.iter().filter(|bytes| {
                !matches!(Message::parse(bytes).map(|message| message.body), Ok(Body::Query(_)))
            });
            answer = answer.max(answers.map(Vec::len).max().unwrap_or(0) as u64);
        }
        Factor { kind, query: bytes.len() as u64, answer }
    }

    /// Queries for the greatest item with forged addresses of one network go to one node that has it, so many a second, for
    /// so many seconds. Bytes that the network got in each second.
    ///
    /// # Panics
    /// If nobody has the item.
    pub fn flood(&mut self, per_second: u32, seconds: u32) -> Vec<u64> {
        let family = Family::of(&self.world.addr(self.nodes[0]));
        let bytes = query(Method::Get { target: self.immutable.target(), seq: None });
        let nodes = self.nodes.clone();
        let holder = nodes.into_iter().find(|&host| {
            let to = self.world.addr(host);
            let letters = self.world.ask(stranger(family, 3_000), to, bytes.clone());
            letters.iter().any(|letter| letter.len() > 1000)
        });
        let to = self.world.addr(holder.expect("somebody has it"));
        let victim = stranger(family, 5_000).ip();
        self.world.watch(victim);
        // From a whole second on, as the accounts count.
        let odd = self.world.now.as_micros() % 1_000_000;
        self.world.run(Duration::from_micros(1_000_000 - odd));
        let mut got = Vec::new();
        for _ in 0..seconds {
            let before = self.world.mail(victim).bytes;
            for n in 0..per_second {
                self.world.post(beside(victim, n), to, bytes.clone());
                self.world.run(Duration::from_micros(1_000_000 / u64::from(per_second)));
            }
            got.push(self.world.mail(victim).bytes - before);
        }
        got
    }
}

/// An address where no node is.
fn stranger(family: Family, n: u32) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::from([150, (n >> 8) as u8, n as u8, 1]),
        Family::V6 => IpAddr::from([0x2a02, 0x200, n as u16, 7, 0, 0, 0, 1]),
    };
    SocketAddr::new(ip, 6881)
}

/// The n-th address of a /24 or /64, and a port.
fn beside(ip: IpAddr, n: u32) -> SocketAddr {
    let ip = match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, n as u8])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 1, 2, (n >> 16) as u16, n as u16])
        }
    };
    SocketAddr::new(ip, 1024 + (n % 50_000) as u16)
}
