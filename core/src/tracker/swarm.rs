//! One torrent: its peers over IPv4, IPv6 and WebSockets, each a roster, and that a peer of two families counts once.
//! Not which torrents there are.

use super::makers::Maker;
use super::roster::{Found, Roster, Row, Runs};
use crate::base::{Instant, Key};
use crate::wire::tracker::SwarmCounts;
use crate::wire::tracker_ws::OfferId;
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;

/// A roster's kind of address, by its bytes.
pub(super) const V4: usize = 6;
/// IPv6 address and port.
pub(super) const V6: usize = 18;
/// A WebSocket's number.
pub(super) const SOCKET: usize = 8;

/// What a swarm may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Peers of one family.
    pub(super) peers_max: usize,
    /// Those of one source.
    pub(super) per_source_max: usize,
}

/// What became of a peer that announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there; `completed` if it was seen missing something and now has everything, counted over one family.
    At { at: usize, completed: bool },
    /// The swarm is full.
    Full,
    /// Its source has its share.
    SourceFull,
    /// Another WebSocket has its id.
    IdTaken,
}

#[derive(Debug)]
pub(super) struct Swarm {
    pub(super) hash: InfoHash,
    pub(super) maker: Maker,
    pub(super) v4: Roster<V4>,
    pub(super) v6: Option<Box<Roster<V6>>>,
    pub(super) sockets: Option<Box<Roster<SOCKET>>>,
    /// Whose offers each WebSocket was handed and has not answered, the latest last.
    offered: BTreeMap<[u8; SOCKET], VecDeque<(PeerId, OfferId)>>,
    pub(super) downloaded: u32,
    pub(super) armed: Option<Instant>,
}

/// Some peers of a swarm, as packed as they are held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Drawn<'a> {
    V4(Runs<'a, V4>),
    V6(Runs<'a, V6>),
}

/// An address as rosters hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    V4([u8; V4]),
    V6([u8; V6]),
}

impl Packed {
    /// IPv4-mapped addresses are IPv4.
    pub(super) fn new(ip: core::net::IpAddr, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        match ip.to_canonical() {
            core::net::IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                Self::V4([a, b, c, d, high, low])
            }
            core::net::IpAddr::V6(ip) => {
                let mut out = [0; V6];
                out[..16].copy_from_slice(&ip.octets());
                (out[16], out[17]) = (high, low);
                Self::V6(out)
            }
        }
    }
}

/// The address that a packed one stands for.
pub(super) fn unpacked_4(&[a, b, c, d, high, low]: &[u8; V4]) -> SocketAddr {
    ([a, b, c, d], u16::from_be_bytes([high, low])).into()
}

/// The address that a packed one stands for.
pub(super) fn unpacked_6(bytes: &[u8; V6]) -> SocketAddr {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    (ip, u16::from_be_bytes([bytes[16], bytes[17]])).into()
}

impl Swarm {
    pub(super) fn new(hash: InfoHash, maker: Maker) -> Self {
        Self {
            hash,
            maker,
            v4: Roster::default(),
            v6: None,
            sockets: None,
            offered: BTreeMap::new(),
            downloaded: 0,
            armed: None,
        }
    }

    /// Peers held, over all families.
    pub(super) fn len(&self) -> usize {
        self.v4.len()
            + self.v6.as_ref().map_or(0, |v6| v6.len())
            + self.sockets.as_ref().map_or(0, |s| s.len())
    }

    /// Peers counted once each.
    pub(super) fn counts(&self) -> SwarmCounts {
        let v6 = self.v6.as_ref().map_or((0, 0), |v6| (v6.counted_seeds(), v6.counted_leeches()));
        let sockets = self.sockets.as_ref().map_or((0, 0), |s| (s.counted_seeds(), s.counted_leeches()));
        SwarmCounts {
            complete: self.v4.counted_seeds() + v6.0 + sockets.0,
            downloaded: self.downloaded,
            incomplete: self.v4.counted_leeches() + v6.1 + sockets.1,
        }
    }

    /// A peer over IPv4 was heard.
    pub(super) fn put_4(&mut self, key: &Key, row: Row<V4>, room: Room) -> Put {
        put(key, &mut self.v4, self.v6.as_deref_mut(), row, room)
    }

    /// A peer over IPv6 was heard.
    pub(super) fn put_6(&mut self, key: &Key, row: Row<V6>, room: Room) -> Put {
        put(key, self.v6.get_or_insert_default(), Some(&mut self.v4), row, room)
    }

    /// A peer over a WebSocket was heard. While it is open nobody else has its id: others learn
    /// it from offers, and would be handed what is meant for it.
    pub(super) fn put_socket(&mut self, key: &Key, row: Row<SOCKET>, room: Room) -> Put {
        let sockets = self.sockets.get_or_insert_default();
        if let Some(at) = sockets.find_id(key, row.id)
            && sockets.row(at).addr != row.addr
        {
            return Put::IdTaken;
        }
        put(key, sockets, None::<&mut Roster<V4>>, row, room)
    }

    /// A peer left.
    pub(super) fn leave(&mut self, key: &Key, addr: Packed) {
        match addr {
            Packed::V4(addr) => {
                if let Found::At(at) = self.v4.find(key, &addr) {
                    remove(key, &mut self.v4, self.v6.as_deref_mut(), at);
                }
            }
            Packed::V6(addr) => {
                if let Some(v6) = &mut self.v6
                    && let Found::At(at) = v6.find(key, &addr)
                {
                    remove(key, v6, Some(&mut self.v4), at);
                }
            }
        }
        self.tidy();
    }

    /// A WebSocket's peer left; whether there was one.
    pub(super) fn leave_socket(&mut self, key: &Key, socket: &[u8; SOCKET]) -> bool {
        let Some(sockets) = &mut self.sockets else { return false };
        let Found::At(at) = sockets.find(key, socket) else { return false };
        sockets.remove(key, at);
        self.offered.remove(socket);
        self.tidy();
        true
    }

    /// A WebSocket is handed an offer, which it may answer once.
    pub(super) fn offer(&mut self, to: [u8; SOCKET], from: PeerId, id: OfferId, max: usize) {
        let offered = self.offered.entry(to).or_default();
        while offered.len() >= max.max(1) {
            offered.pop_front();
        }
        offered.push_back((from, id));
    }

    /// Whether a WebSocket was handed this offer and did not answer it; it has now.
    pub(super) fn take_offer(&mut self, to: &[u8; SOCKET], from: PeerId, id: OfferId) -> bool {
        let Some(offered) = self.offered.get_mut(to) else { return false };
        let Some(at) = offered.iter().position(|&other| other == (from, id)) else { return false };
        offered.remove(at);
        if offered.is_empty() {
            self.offered.remove(to);
        }
        true
    }

    /// The socket of a peer.
    pub(super) fn socket_of(&mut self, key: &Key, id: PeerId) -> Option<[u8; SOCKET]> {
        let sockets = self.sockets.as_mut()?;
        sockets.find_id(key, id).map(|at| sockets.row(at).addr)
    }

    /// Forgets who was not heard for `life`; gives how many, and the age of the oldest that is left.
    pub(super) fn expire(&mut self, key: &Key, now: u16, life: u16) -> (usize, Option<u16>) {
        let before = self.len();
        let mut from = self.v4.len();
        while let Some(at) = self.v4.next_expired(from, now, life) {
            remove(key, &mut self.v4, self.v6.as_deref_mut(), at);
            from = at;
        }
        if let Some(v6) = &mut self.v6 {
            from = v6.len();
            while let Some(at) = v6.next_expired(from, now, life) {
                remove(key, v6, Some(&mut self.v4), at);
                from = at;
            }
        }
        if let Some(sockets) = &mut self.sockets {
            from = sockets.len();
            while let Some(at) = sockets.next_expired(from, now, life) {
                self.offered.remove(&sockets.row(at).addr);
                sockets.remove(key, at);
                from = at;
            }
        }
        self.tidy();
        let v6 = self.v6.as_ref().and_then(|v6| v6.oldest(now));
        let sockets = self.sockets.as_ref().and_then(|sockets| sockets.oldest(now));
        (before - self.len(), self.v4.oldest(now).max(v6).max(sockets))
    }

    fn tidy(&mut self) {
        if self.v6.as_ref().is_some_and(|v6| v6.len() == 0) {
            self.v6 = None;
        }
        if self.sockets.as_ref().is_some_and(|sockets| sockets.len() == 0) {
            self.sockets = None;
        }
    }
}

fn put<const N: usize, const M: usize>(
    key: &Key,
    mine: &mut Roster<N>,
    twin: Option<&mut Roster<M>>,
    row: Row<N>,
    room: Room,
) -> Put {
    let at = match mine.find(key, &row.addr) {
        Found::At(at) if mine.row(at).id == row.id => at,
        // Another client where one was.
        Found::At(at) => {
            let mut twin = twin;
            remove(key, mine, twin.as_deref_mut(), at);
            return Put::At { at: join(key, mine, twin, row), completed: false };
        }
        Found::Absent { neighbours } if neighbours >= room.per_source_max => return Put::SourceFull,
        Found::Absent { .. } if mine.len() >= room.peers_max => return Put::Full,
        Found::Absent { .. } => return Put::At { at: join(key, mine, twin, row), completed: false },
    };
    mine.touch(at, row.stamp);
    let completed = row.seed && !mine.is_seed(at) && !mine.is_silent(at);
    Put::At { at: mine.set_seed(key, at, row.seed), completed }
}

fn join<const N: usize, const M: usize>(
    key: &Key,
    mine: &mut Roster<N>,
    twin: Option<&mut Roster<M>>,
    row: Row<N>,
) -> usize {
    let at = mine.insert(key, row);
    if let Some(twin) = twin
        && twin.len() > 0
        && twin.find_id(key, row.id).is_some()
    {
        mine.set_silent(at, true);
    }
    at
}

/// Takes a peer out; its other family counts from now on.
fn remove<const N: usize, const M: usize>(
    key: &Key,
    mine: &mut Roster<N>,
    twin: Option<&mut Roster<M>>,
    at: usize,
) {
    let gone = mine.remove(key, at);
    if let Some(twin) = twin
        && !gone.silent
        && twin.len() > 0
        && let Some(at) = twin.find_id(key, gone.id)
    {
        twin.set_silent(at, false);
    }
}
