//! What a torrent is called with, and what it hands up: its outputs, and what its jobs are for.

use super::config::Config;
use super::event::TorrentEvent;
use super::gate::Gate;
use super::work::{Route, Work};
use crate::announce::{AskId, UdpAsk, WsAsk};
use crate::base::{BlockRef, Instant, LocalId, Map, PieceIndex, TorrentId};
use crate::book::Own;
use crate::peer::{Fault, SessionConfig};
use crate::pool::Prospect;
use crate::wire::handshake::Handshake;
use crate::wire::message::HashRange;
use crate::wire::mse::Level;
use crate::wire::tracker::AnswerLimits;
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What every call brings along.
#[derive(Debug)]
pub struct Context<'a> {
    /// The moment of the call.
    pub now: Instant,
    /// The engine's settings.
    pub config: &'a Config,
    /// Facts about ourselves.
    pub host: &'a Host,
    /// The rate limits.
    pub gate: &'a mut Gate,
    /// Which torrent answers to which name.
    pub routes: &'a Map<InfoHash, TorrentId>,
}

/// Facts about ourselves that all torrents share.
#[derive(Clone, Debug)]
pub struct Host {
    /// Our peer id (BEP 20).
    pub peer_id: PeerId,
    /// The key that tells trackers that we are still we (BEP 7).
    pub key: u32,
    /// Where peers can reach us.
    pub listening: Vec<(LocalId, SocketAddr)>,
    /// Our addresses, as links show them.
    pub addresses: Vec<IpAddr>,
    /// Our addresses on the Internet, IPv4 then IPv6, where others agree on them.
    pub external: [Option<IpAddr>; 2],
    /// The port outside of the one that the router lets peers in by.
    pub mapped: Option<u16>,
    /// Counts how often our own addresses changed, for those who weren't called then.
    pub own_serial: u32,
    /// The ports of our DHT node, IPv4 then IPv6.
    pub dht_ports: [Option<u16>; 2],
    /// The limits of all sessions.
    pub session: Arc<SessionConfig>,
    /// How trackers are asked.
    pub announce: Arc<crate::announce::AnnounceConfig>,
}

impl Host {
    /// A link shows an address of ours.
    pub fn learn_address(&mut self, ip: IpAddr) {
        if !self.addresses.contains(&ip) && self.addresses.len() < 16 {
            self.change(|host| host.addresses.push(ip));
        }
    }

    /// Others agree on our addresses on the Internet.
    pub fn on_external(&mut self, v4: Option<IpAddr>, v6: Option<IpAddr>) {
        self.change(|host| host.external = [v4, v6]);
    }

    /// The router lets peers in by this port, or no more.
    pub fn on_mapped(&mut self, port: Option<u16>) {
        self.mapped = port;
    }

    /// Peers can reach us at these.
    pub fn on_listening(&mut self, addrs: Vec<(LocalId, SocketAddr)>) {
        self.change(|host| host.listening = addrs);
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.own();
        change(self);
        if self.own() != before {
            self.own_serial = self.own_serial.wrapping_add(1);
        }
    }

    /// The port to tell peers; 0 if nobody can reach us.
    pub(super) fn port(&self, config: &Config) -> u16 {
        self.port_of(config, |_| true).unwrap_or(0)
    }

    /// The port to announce for one address family.
    pub fn port_of(&self, config: &Config, family: impl Fn(&SocketAddr) -> bool) -> Option<u16> {
        let of_v4 = family(&SocketAddr::from(([0; 4], 0)));
        if config.proxy.is_some() {
            // Nothing listens here: where the proxy lets peers in, if it does, the user alone knows. What it stands at is
            // taken for IPv4, as all its stand-ins are.
            return config.announce_port.filter(|_| of_v4);
        }
        let bound = self.listening.iter().find(|(_, addr)| family(addr)).map(|(_, addr)| addr.port());
        let mapped = self.mapped.filter(|_| of_v4);
        config.announce_port.or(mapped).filter(|_| bound.is_some()).or(bound)
    }

    /// The way out from where we listen in a family, IPv4 or not; `None` leaves it to the driver.
    pub fn route(&self, config: &Config, v4: Option<bool>) -> Route {
        let of = |v4: bool| self.listening.iter().find(|(_, addr)| addr.is_ipv4() == v4);
        let local = v4.filter(|_| config.proxy.is_none()).and_then(of).map(|&(local, _)| local);
        Route { local, ..config.route() }
    }

    /// Our own addresses, for the priorities of others (BEP 40): what others see, else what links show.
    pub(super) fn own(&self) -> Own {
        let own = |v4: bool| {
            let local = || self.addresses.iter().find(|ip| ip.is_ipv4() == v4).copied();
            let ip = self.external[usize::from(!v4)].or_else(local)?;
            let port = self.listening.iter().find(|(_, addr)| addr.is_ipv4() == v4)?.1.port();
            Some(SocketAddr::new(ip, port))
        };
        Own { v4: own(true), v6: own(false) }
    }
}

/// Someone to be called.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Where.
    pub addr: SocketAddr,
    /// By which name of the torrent.
    pub info_hash: InfoHash,
    /// What is known of the address.
    pub prospect: Prospect,
}

/// A peer whose handshake is done.
#[derive(Clone, Copy, Debug)]
pub struct Joining {
    /// Its address.
    pub addr: SocketAddr,
    /// Whether it came to us.
    pub incoming: bool,
    /// What it said.
    pub handshake: Handshake,
    /// The level at which its link is encrypted, if it is.
    pub level: Option<Level>,
    /// Whether the driver may send stored bytes on its link straight from the file.
    pub plain: bool,
}

/// Why a peer may not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The torrent takes no peers now.
    Closed,
    /// It has as many as it may.
    Full,
    /// The address is banned.
    Banned,
    /// The torrent is private, and nobody who may told us of the address that we called (BEP 27).
    Hearsay,
    /// The same peer is here already.
    Duplicate,
}

/// Why a peer is let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It broke the protocol, or its link stalled.
    Fault(Fault),
    /// It sent data that fails its digest, or the application wants nothing to do with it.
    Banned,
    /// The application wants no link with it now.
    Dismissed,
    /// Both of us have all.
    BothSeeds,
    /// It has another link to us.
    Twin,
    /// The torrent stops.
    Stopping,
    /// A web server sent all that it was asked for.
    Fetched,
    /// Nothing more is wanted of a web server's answer.
    Unneeded,
}

impl Leave {
    /// Whether the peer was let go because nothing came from it or went to it.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Fault(Fault::Idle | Fault::Stalled) => true,
            Self::Fault(Fault::Malformed(_) | Fault::Misbehaved(_))
            | Self::Banned
            | Self::Dismissed
            | Self::BothSeeds
            | Self::Twin
            | Self::Fetched
            | Self::Unneeded
            | Self::Stopping => false,
        }
    }

    /// Whether what was handed out is still worth writing.
    pub fn flush(&self) -> bool {
        match self {
            Self::BothSeeds | Self::Twin | Self::Stopping | Self::Fetched => true,
            Self::Fault(_) | Self::Banned | Self::Dismissed | Self::Unneeded => false,
        }
    }
}

/// What a job is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Open the files.
    Open,
    /// Make those that are wanted now.
    Make,
    /// Look at a stored piece.
    Check(PieceIndex),
    /// Digest a piece in memory.
    Hash(PieceIndex),
    /// Digest a piece whose blocks were written before they could be verified.
    HashStored(PieceIndex),
    /// Digest the blocks of a piece that failed, to find out who lied.
    Blame(PieceIndex, Vec<(u32, u32)>),
    /// Write a verified piece.
    Write(PieceIndex, u64),
    /// Write blocks of an unfinished piece.
    Spill {
        /// The piece.
        piece: PieceIndex,
        /// Which time of collecting it.
        epoch: u64,
        /// Bytes with the driver.
        bytes: u64,
    },
    /// Read for a peer's requests.
    Read {
        /// The peer.
        peer: u32,
        /// The range that serves them.
        range: BlockRef,
        /// How many requests it serves.
        requests: usize,
    },
    /// Read stored leaves for a peer that asked for these hashes.
    Leaves(u32, HashRange),
    /// Bring what was written onto the medium, before resume data may claim it.
    Sync,
    /// Keep the resume data.
    Save,
    /// Close the files.
    Close,
    /// Ask an HTTP tracker; its answer is to be read like this.
    Ask(AskId, Box<AnswerLimits>),
    /// Scrape an HTTP tracker.
    Scrape,
    /// Look for a newer torrent.
    Update,
    /// Read a piece that another torrent has.
    Share(PieceIndex),
    /// Find a UDP tracker's address.
    Resolve(u64),
    /// Exchange keys for a link.
    Exchange,
    /// Have the router let peers in to a socket.
    MapPort(LocalId),
}

impl Errand {
    /// Whether its answer is about pieces: what is stored, or what is to be.
    pub(super) fn is_about_content(&self) -> bool {
        match self {
            Self::Open
            | Self::Make
            | Self::Check(_)
            | Self::Hash(_)
            | Self::HashStored(_)
            | Self::Blame(..)
            | Self::Write(..)
            | Self::Spill { .. }
            | Self::Read { .. }
            | Self::Leaves(..)
            | Self::Share(_)
            | Self::Sync => true,
            Self::Save
            | Self::Close
            | Self::Ask(..)
            | Self::Scrape
            | Self::Update
            | Self::Resolve(_)
            | Self::MapPort(_)
            | Self::Exchange => false,
        }
    }

    /// Whether it asks a server on the Internet: nobody waits for its answer at the end.
    pub fn asks(&self) -> bool {
        matches!(self, Self::Ask(..) | Self::Scrape | Self::Update)
    }
}

/// Who says how it sees us. Each has one voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teller {
    /// A peer, by its address; by its network over IPv6, where one host may have as many addresses as it likes.
    Peer(IpAddr),
    /// A tracker, by the host in its URL.
    Tracker(Box<str>),
    /// Our router.
    Router,
}

impl Teller {
    /// A peer with this address.
    pub fn peer(ip: IpAddr) -> Self {
        Self::Peer(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// What a torrent hands up.
#[derive(Debug)]
pub enum Output {
    /// A job for the driver.
    Job(Errand, Work),
    /// News for the application.
    Event(TorrentEvent),
    /// A peer's link may have something to write, or more to read.
    Touched(u32),
    /// A peer was let go: close its link.
    Leave(u32, Leave),
    /// Someone became interested, or (`freed`) a slot was given up.
    Slots {
        /// A slot was given up.
        freed: bool,
    },
    /// An unchoked peer took as much as one credit: see whether it owes.
    CreditUsed,
    /// The torrent answers to one more name.
    Named(InfoHash),
    /// Ask a UDP tracker; an announce has an id to be answered by, a scrape has none.
    Udp(Option<AskId>, Box<UdpAsk>),
    /// Somebody is to be called over uTP, who calls us too.
    Punch,
    /// It misses pieces: other torrents may have them.
    Lacking,
    /// Ask a tracker over a WebSocket; likewise.
    WebSocket(Option<AskId>, Box<WsAsk>),
    /// Someone sees us at this address.
    Seen(IpAddr, Teller),
    /// A peer says that there is a DHT node at this address (BEP 5).
    DhtNode(SocketAddr),
    /// All is done: nothing of the torrent is left.
    Gone,
}
