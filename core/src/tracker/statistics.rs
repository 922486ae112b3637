//! What a tracker holds and has done, as values that can be added up over workers. Not how they are shown.

use crate::wire::tracker::TrackerEvent;
use core::ops::AddAssign;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// BEP 15.
    Udp,
    /// BEP 3.
    Http,
    /// WebTorrent's signalling.
    WebSocket,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Udp, Self::Http, Self::WebSocket];

    /// Its name in statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::WebSocket => "websocket",
        }
    }
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It can't be read.
    Malformed,
    /// A UDP request without a connection id of ours that is valid still.
    Connection,
    /// The torrent is not served here.
    NotServed,
    /// `torrents_max` is reached.
    TorrentsFull,
    /// A peer was told of others but is not remembered: the swarm or the tracker is full.
    PeersFull,
    /// Likewise, since its source has its share of the swarm; or refused, since it has its share of all torrents.
    SourceFull,
    /// An answer to an offer that its sender was not handed, or for a peer that is not there.
    NobodyThere,
    /// A peer id that another WebSocket has.
    IdTaken,
    /// The tracker was too busy to answer.
    Busy,
}

impl Fault {
    /// All of them, in the order of [`ProtocolStatistics::faults`].
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Connection,
        Self::NotServed,
        Self::TorrentsFull,
        Self::PeersFull,
        Self::SourceFull,
        Self::NobodyThere,
        Self::IdTaken,
        Self::Busy,
    ];

    /// Its name in statistics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Connection => "connection_id",
            Self::NotServed => "not_served",
            Self::TorrentsFull => "torrents_full",
            Self::PeersFull => "peers_full",
            Self::SourceFull => "source_full",
            Self::NobodyThere => "nobody_there",
            Self::IdTaken => "id_taken",
            Self::Busy => "busy",
        }
    }
}

/// What was asked over one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProtocolStatistics {
    /// Connection ids given out; 0 but for UDP.
    pub connects: u64,
    /// Announces answered, by event: regular, started, completed, stopped.
    pub announces: [u64; 4],
    /// Scrapes answered.
    pub scrapes: u64,
    /// Torrents that they asked about.
    pub scraped: u64,
    /// Offers and answers passed on; 0 but for WebSockets.
    pub relayed: u64,
    /// What was not done, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Bytes of requests. Without headers of HTTP and below.
    pub bytes_in: u64,
    /// Bytes of answers, likewise.
    pub bytes_out: u64,
}

impl ProtocolStatistics {
    /// The names of the four kinds of announces.
    pub const ANNOUNCES: [&'static str; 4] = ["regular", "started", "completed", "stopped"];

    /// An announce was answered.
    pub(super) fn announced(&mut self, event: TrackerEvent) {
        let kind = match event {
            TrackerEvent::None => 0,
            TrackerEvent::Started => 1,
            TrackerEvent::Completed => 2,
            TrackerEvent::Stopped => 3,
        };
        self.announces[kind] += 1;
    }

    /// Something was not done.
    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }
}

impl AddAssign<&Self> for ProtocolStatistics {
    fn add_assign(&mut self, other: &Self) {
        self.connects += other.connects;
        self.announces.iter_mut().zip(other.announces).for_each(|(sum, n)| *sum += n);
        self.scrapes += other.scrapes;
        self.scraped += other.scraped;
        self.relayed += other.relayed;
        self.faults.iter_mut().zip(other.faults).for_each(|(sum, n)| *sum += n);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// What the tracker holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerStatistics {
    /// Torrents with a peer.
    pub torrents: usize,
    /// Addresses held of all torrents: a peer of two families has two.
    pub peers: usize,
    /// Peers of all torrents that miss something, counted once for each torrent.
    pub leeches: usize,
    /// Peers of all torrents that have everything, counted likewise.
    pub seeds: usize,
    /// Announces answered, over all protocols and without any.
    pub announces: u64,
    /// Torrents scraped, likewise.
    pub scraped: u64,
    /// Downloads that became whole.
    pub completed: u64,
    /// Announces refused.
    pub refused: u64,
    /// Peers forgotten since they were not heard any more.
    pub expired: u64,
    /// What was asked over each protocol, in the order of [`Protocol::ALL`].
    pub protocols: [ProtocolStatistics; Protocol::ALL.len()],
}

impl TrackerStatistics {
    /// Those of one protocol.
    pub fn protocol(&self, protocol: Protocol) -> &ProtocolStatistics {
        &self.protocols[protocol as usize]
    }

    /// Those of one protocol, for a driver that counts what the room can't see.
    pub fn protocol_mut(&mut self, protocol: Protocol) -> &mut ProtocolStatistics {
        &mut self.protocols[protocol as usize]
    }
}

impl AddAssign<&Self> for TrackerStatistics {
    fn add_assign(&mut self, other: &Self) {
        self.torrents += other.torrents;
        self.peers += other.peers;
        self.leeches += other.leeches;
        self.seeds += other.seeds;
        self.announces += other.announces;
        self.scraped += other.scraped;
        self.completed += other.completed;
        self.refused += other.refused;
        self.expired += other.expired;
        self.protocols.iter_mut().zip(&other.protocols).for_each(|(sum, n)| *sum += n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_the_order_of_their_names() {
        for (n, fault) in Fault::ALL.into_iter().enumerate() {
            let mut statistics = ProtocolStatistics::default();
            statistics.fault(fault);
            assert_eq!(statistics.faults[n], 1, "{}", fault.name());
        }
        for (n, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!(protocol as usize, n);
        }
    }

    #[test]
    fn statistics_of_workers_add_up() {
        let mut one = TrackerStatistics { torrents: 1, announces: 2, ..TrackerStatistics::default() };
        one.protocol_mut(Protocol::Udp).announced(TrackerEvent::Completed);
        one.protocol_mut(Protocol::Udp).fault(Fault::Busy);
        let mut sum = one;
        sum += &one;
        assert_eq!((sum.torrents, sum.announces), (2, 4));
        assert_eq!(sum.protocol(Protocol::Udp).announces, [0, 0, 2, 0]);
        assert_eq!(sum.protocol(Protocol::Udp).faults[Fault::Busy as usize], 2);
    }
}
