//! Hostile nodes: each keeps one bad habit. They answer pings, so that tables hold them. Owns what they say, not when.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use millstream_core::base::Rng;
use millstream_core::wire::InfoHash;
use millstream_core::wire::krpc::{
    Body, Message, Method, NodeId, Nodes4, Query, Response, Values, write_node,
};

/// Honest nodes that one knocks at each time.
pub(super) const KNOCKS: usize = 20;

/// How long it rests then.
pub(super) const KNOCK_PAUSE: Duration = Duration::from_secs(60);

/// The address that poisoners want to be knocked at by all.
pub const VICTIM: SocketAddr = SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(99, 99, 99, 99)), 4444);

/// A bad habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Answers nothing but pings.
    Mute,
    /// Tells of nodes near the target that don't exist.
    Inventor,
    /// Says to be nearest to whatever is sought, and to know others of its kind.
    Sybil,
    /// Tells of one victim as a node and as a peer.
    Poisoner,
    /// Answers with bytes that are no packet.
    Babbler,
}

/// A hostile node.
pub(super) struct Hostile {
    habit: Habit,
    id: NodeId,
    n: u32,
    rng: Rng,
}

impl Hostile {
    pub(super) fn new(n: u32, addr: SocketAddr, mut rng: Rng) -> Self {
        let habits = [Habit::Mute, Habit::Inventor, Habit::Sybil, Habit::Poisoner, Habit::Babbler];
        let habit = rng.index(habits.len()).map_or(Habit::Mute, |at| habits[at]);
        Self { habit, id: NodeId::for_address(addr.ip(), &mut rng), n, rng }
    }

    /// What it knocks with.
    pub(super) fn knock(&mut self) -> Vec<u8> {
        let method = Method::FindNode { target: NodeId::random(&mut self.rng) };
        let body = Body::Query(Query { id: self.id, method, want: None });
        written(&Message { transaction: b"kn", version: None, ip: None, read_only: false, body })
    }

    /// What it answers, if anything.
    pub(super) fn answer(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(bytes).ok()?;
        let Body::Query(query) = &message.body else { return None };
        let target = match query.method {
            Method::Ping => {
                return Some(self.reply(&message, from, Response { id: self.id, ..Response::default() }));
            }
            Method::FindNode { target }
            | Method::Get { target, .. }
            | Method::SampleInfohashes { target } => target,
            Method::GetPeers { info_hash, .. } => info_hash.into(),
            // It takes everything and keeps nothing.
            Method::AnnouncePeer { .. } | Method::Put { .. } if self.habit != Habit::Mute => {
                return Some(self.reply(&message, from, Response { id: self.id, ..Response::default() }));
            }
            Method::AnnouncePeer { .. } | Method::Put { .. } | Method::Other { .. } => return None,
        };
        self.lie(&message, from, target)
    }

    fn lie(&mut self, message: &Message<'_>, from: SocketAddr, target: NodeId) -> Option<Vec<u8>> {
        let mut nodes = Vec::new();
        let mut values = Vec::new();
        let mut id = self.id;
        for n in 0..8_u32 {
            let near = target.random_beside(100 + n, &mut self.rng);
            match self.habit {
                Habit::Mute => return None,
                Habit::Babbler => return Some(self.rng.bytes::<64>().to_vec()),
                Habit::Inventor => {
                    let nowhere = IpAddr::from([110, 1 + n as u8, self.rng.below(250) as u8, 9]);
                    write_node(&mut nodes, near, SocketAddr::new(nowhere, 6881));
                }
                Habit::Sybil => {
                    id = target.random_beside(120, &mut self.rng);
                    let friend = super::place(millstream_core::dht::Family::V4, self.n.wrapping_sub(n));
                    write_node(&mut nodes, near, friend);
                }
                Habit::Poisoner => {
                    let at = SocketAddr::new(VICTIM.ip(), VICTIM.port() + n as u16);
                    write_node(&mut nodes, near, at);
                }
            }
        }
        if self.habit == Habit::Poisoner {
            Values::write(&mut values, [VICTIM]);
        }
        let forged = b"6:forged".as_slice();
        let asks_item = matches!(&message.body, Body::Query(Query { method: Method::Get { .. }, .. }));
        let response = Response {
            id,
            nodes: Nodes4(Some(&nodes)),
            values: Values::written(&values),
            token: Some(b"liar"),
            value: asks_item.then_some(forged),
            ..Response::default()
        };
        Some(self.reply(message, from, response))
    }

    /// All of them say that they see the other at the victim's address.
    fn reply(&self, message: &Message<'_>, _from: SocketAddr, response: Response<'_>) -> Vec<u8> {
        written(&Message {
            transaction: message.transaction,
            version: None,
            ip: Some(VICTIM),
            read_only: false,
            body: Body::Response(response),
        })
    }
}

/// A query of somebody who is no node.
pub fn query(method: Method<'_>) -> Vec<u8> {
    let body = Body::Query(Query { id: NodeId(*b"abcdefghij0123456789"), method, want: None });
    written(&Message { transaction: b"aa", version: None, ip: None, read_only: false, body })
}

/// A torrent by chance.
pub fn torrent(rng: &mut Rng) -> InfoHash {
    InfoHash(rng.bytes())
}

fn written(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}
