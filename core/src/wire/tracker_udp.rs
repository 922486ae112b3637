//! The UDP tracker protocol (BEP 15) with its options (BEP 41): packets to values and back, for client and server.
//! No retransmission, no connection ids' lives: see the `announce` and `tracker` rooms.

use super::tracker::{
    AnnounceAnswer, AnnounceQuery, AnswerLimits, Peers, SwarmCounts, TrackerEvent, write_compact,
};
use super::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Info hashes in one scrape at the most (BEP 15: about 74).
pub const SCRAPE_HASHES_MAX: usize = 74;
/// Bytes of path and query that a server gathers from BEP 41 options; more is an error.
pub const URL_DATA_BYTES_MAX: usize = 2048;

const PROTOCOL_ID: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_URL_DATA: u8 = 2;

/// Proves that who sends it receives at its address. For the client valid a minute, for the server two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// Ties a reply to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u32);

/// The address family of the packet, which decides the stride of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 6 bytes a peer.
    V4,
    /// 18 bytes a peer.
    V6,
}

impl Family {
    /// The family of a packet from or to `addr`. An IPv4-mapped address travelled as IPv4.
    pub fn of(addr: &SocketAddr) -> Self {
        if addr.ip().to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What is wrong with a packet. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpTrackerError {
    /// It ends inside of what its action needs.
    #[error("packet of {len} bytes is too short")]
    Short {
        /// The packet's length.
        len: usize,
    },
    /// Its action is none of those that belong here.
    #[error("unknown action {action}")]
    Action {
        /// What it says.
        action: u32,
    },
    /// A connect request without BEP 15's number.
    #[error("not a connect request: protocol id {protocol:#x}")]
    Protocol {
        /// What it says.
        protocol: u64,
    },
    /// An announce whose event is none of the four.
    #[error("unknown event {event}")]
    Event {
        /// What it says.
        event: u32,
    },
    /// An option that runs past the packet's end, or more of them than a server keeps (BEP 41).
    #[error("bad option at offset {offset}")]
    Option {
        /// Where in the packet.
        offset: usize,
    },
    /// A scrape without a hash or with too many.
    #[error("scrape of {count} torrents")]
    ScrapeCount {
        /// How many whole hashes it has.
        count: usize,
    },
}

/// Reads a packet from its start.
struct Fields<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Fields<'a> {
    fn new(packet: &'a [u8]) -> Self {
        Self { rest: packet, len: packet.len() }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UdpTrackerError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(UdpTrackerError::Short { len: self.len })?;
        self.rest = rest;
        Ok(*array)
    }

    fn u16(&mut self) -> Result<u16, UdpTrackerError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, UdpTrackerError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, UdpTrackerError> {
        self.array().map(u64::from_be_bytes)
    }
}

/// A client's request for a connection id.
pub fn write_connect(transaction: TransactionId) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    out.extend_from_slice(&PROTOCOL_ID.to_be_bytes());
    out.extend_from_slice(&CONNECT.to_be_bytes());
    out.extend_from_slice(&transaction.0.to_be_bytes());
    out
}

fn write_request(connection: ConnectionId, action: u32, transaction: TransactionId) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&connection.0.to_be_bytes());
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&transaction.0.to_be_bytes());
    out
}

/// A client's announce. `url_data` is the tracker URL's path and query, sent as BEP 41 options if there are any.
pub fn write_announce(
    connection: ConnectionId,
    transaction: TransactionId,
    query: &AnnounceQuery,
    url_data: &[u8],
) -> Vec<u8> {
    let mut out = write_request(connection, ANNOUNCE, transaction);
    out.extend_from_slice(&query.info_hash.0);
    out.extend_from_slice(&query.peer_id.0);
    out.extend_from_slice(&query.downloaded.to_be_bytes());
    out.extend_from_slice(&query.left_sent().to_be_bytes());
    out.extend_from_slice(&query.uploaded.to_be_bytes());
    let event: u32 = match query.event {
        TrackerEvent::None => 0,
        TrackerEvent::Completed => 1,
        TrackerEvent::Started => 2,
        TrackerEvent::Stopped => 3,
    };
    out.extend_from_slice(&event.to_be_bytes());
    out.extend_from_slice(&0u32.to_be_bytes());
    out.extend_from_slice(&query.key.to_be_bytes());
    out.extend_from_slice(&query.numwant.unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&query.port.to_be_bytes());
    for part in url_data.chunks(255) {
        out.push(OPTION_URL_DATA);
        out.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(part);
    }
    out
}

/// A client's scrape, of the first [`SCRAPE_HASHES_MAX`] of `info_hashes`.
pub fn write_scrape(
    connection: ConnectionId,
    transaction: TransactionId,
    info_hashes: &[InfoHash],
) -> Vec<u8> {
    let mut out = write_request(connection, SCRAPE, transaction);
    info_hashes.iter().take(SCRAPE_HASHES_MAX).for_each(|hash| out.extend_from_slice(&hash.0));
    out
}

/// What a tracker sends. Longer packets than these need are allowed (BEP 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The connection id.
    Connected(ConnectionId),
    /// The answer to an announce.
    Announced(Announced<'a>),
    /// The answer to a scrape: 12 bytes a torrent, in the request's order.
    Scraped(&'a [u8]),
    /// The tracker refuses.
    Failed(&'a [u8]),
}

/// The answer to an announce, its peers still packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced<'a> {
    interval_s: u32,
    leechers: u32,
    seeders: u32,
    peers: &'a [u8],
}

impl Announced<'_> {
    /// The answer as a value, its peers read by the family that the packet came over.
    pub fn answer(&self, family: Family, limits: &AnswerLimits) -> AnnounceAnswer {
        let mut peers = Peers::new(limits);
        match family {
            Family::V4 => peers.push_compact_4(self.peers),
            Family::V6 => peers.push_compact_6(self.peers),
        }
        AnnounceAnswer {
            interval_s: limits.interval(i64::from(self.interval_s)),
            complete: Some(self.seeders),
            incomplete: Some(self.leechers),
            peers: peers.finish(),
            ..AnnounceAnswer::default()
        }
    }
}

/// Reads what a tracker sent. The caller compares the transaction.
pub fn read_reply(packet: &[u8]) -> Result<(TransactionId, Reply<'_>), UdpTrackerError> {
    let mut fields = Fields::new(packet);
    let action = fields.u32()?;
    let transaction = TransactionId(fields.u32()?);
    let reply = match action {
        CONNECT => Reply::Connected(ConnectionId(fields.u64()?)),
        ANNOUNCE => Reply::Announced(Announced {
            interval_s: fields.u32()?,
            leechers: fields.u32()?,
            seeders: fields.u32()?,
            peers: fields.rest,
        }),
        SCRAPE => Reply::Scraped(fields.rest),
        ERROR => Reply::Failed(fields.rest),
        action => return Err(UdpTrackerError::Action { action }),
    };
    Ok((transaction, reply))
}

/// A scrape's counts, in the request's order; a rest that is no whole record is ignored.
pub fn scrape_counts(packed: &[u8]) -> impl Iterator<Item = SwarmCounts> + '_ {
    packed.as_chunks::<12>().0.iter().take(SCRAPE_HASHES_MAX).filter_map(|record| {
        let mut fields = Fields::new(record);
        let complete = fields.u32().ok()?;
        let downloaded = fields.u32().ok()?;
        Some(SwarmCounts { complete, downloaded, incomplete: fields.u32().ok()? })
    })
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// It wants a connection id.
    Connect {
        /// To be echoed.
        transaction: TransactionId,
    },
    /// It announces.
    Announce {
        /// To be checked.
        connection: ConnectionId,
        /// To be echoed.
        transaction: TransactionId,
        /// What it says. `left` is always known here.
        query: AnnounceQuery,
        /// Path and query of the URL it uses (BEP 41); empty without.
        url_data: Box<[u8]>,
    },
    /// It scrapes.
    Scrape {
        /// To be checked.
        connection: ConnectionId,
        /// To be echoed.
        transaction: TransactionId,
        /// What it asks about, 1 to [`SCRAPE_HASHES_MAX`].
        info_hashes: Vec<InfoHash>,
    },
}

/// Reads what a client sent.
pub fn read_request(packet: &[u8]) -> Result<Request, UdpTrackerError> {
    let mut fields = Fields::new(packet);
    let first = fields.u64()?;
    let action = fields.u32()?;
    let transaction = TransactionId(fields.u32()?);
    let connection = ConnectionId(first);
    match action {
        CONNECT if first == PROTOCOL_ID => Ok(Request::Connect { transaction }),
        CONNECT => Err(UdpTrackerError::Protocol { protocol: first }),
        ANNOUNCE => {
            let query = read_query(&mut fields)?;
            let url_data = read_options(fields.rest, packet.len() - fields.rest.len())?;
            Ok(Request::Announce { connection, transaction, query, url_data })
        }
        SCRAPE => {
            let hashes = fields.rest.as_chunks::<20>().0;
            if hashes.is_empty() || hashes.len() > SCRAPE_HASHES_MAX {
                return Err(UdpTrackerError::ScrapeCount { count: hashes.len() });
            }
            let info_hashes = hashes.iter().map(|&hash| InfoHash(hash)).collect();
            Ok(Request::Scrape { connection, transaction, info_hashes })
        }
        action => Err(UdpTrackerError::Action { action }),
    }
}

fn read_query(fields: &mut Fields<'_>) -> Result<AnnounceQuery, UdpTrackerError> {
    let info_hash = InfoHash(fields.array()?);
    let peer_id = PeerId(fields.array()?);
    let downloaded = fields.u64()?;
    let left = Some(fields.u64()?);
    let uploaded = fields.u64()?;
    let event = match fields.u32()? {
        0 => TrackerEvent::None,
        1 => TrackerEvent::Completed,
        2 => TrackerEvent::Started,
        3 => TrackerEvent::Stopped,
        event => return Err(UdpTrackerError::Event { event }),
    };
    // The address in the packet is not believed: the packet's source is.
    fields.u32()?;
    let key = fields.u32()?;
    // -1 and every other negative number: the tracker's default.
    let numwant = Some(fields.u32()?).filter(|&n| n <= i32::MAX as u32);
    let port = fields.u16()?;
    Ok(AnnounceQuery { info_hash, peer_id, port, uploaded, downloaded, left, event, numwant, key })
}

/// BEP 41: the URL's data, put together from all its options. `start` is where the options begin in the packet.
fn read_options(mut rest: &[u8], start: usize) -> Result<Box<[u8]>, UdpTrackerError> {
    let end = start + rest.len();
    let mut url_data = Vec::new();
    while let Some((&option, after)) = rest.split_first() {
        let offset = end - rest.len();
        rest = after;
        match option {
            OPTION_END => break,
            OPTION_NOP => {}
            _ => {
                let error = UdpTrackerError::Option { offset };
                let (&len, after) = rest.split_first().ok_or(error)?;
                let (data, after) = after.split_at_checked(usize::from(len)).ok_or(error)?;
                rest = after;
                if option == OPTION_URL_DATA {
                    if url_data.len() + data.len() > URL_DATA_BYTES_MAX {
                        return Err(error);
                    }
                    url_data.extend_from_slice(data);
                }
            }
        }
    }
    Ok(url_data.into_boxed_slice())
}

fn write_reply(action: u32, transaction: TransactionId) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&action.to_be_bytes());
    out.extend_from_slice(&transaction.0.to_be_bytes());
    out
}

/// A server's connection id.
pub fn write_connected(transaction: TransactionId, connection: ConnectionId) -> Vec<u8> {
    let mut out = write_reply(CONNECT, transaction);
    out.extend_from_slice(&connection.0.to_be_bytes());
    out
}

/// A server's answer to an announce. Only the peers of the packet's own `family` are written.
pub fn write_announced(
    transaction: TransactionId,
    family: Family,
    interval_s: u32,
    counts: SwarmCounts,
    peers: &[SocketAddr],
) -> Vec<u8> {
    let mut out = announced_head(transaction, interval_s, counts).to_vec();
    for peer in peers {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if Family::of(&peer) == family {
            write_compact(&mut out, peer);
        }
    }
    out
}

/// What an answer to an announce begins with; packed peers of the packet's family follow.
pub fn announced_head(transaction: TransactionId, interval_s: u32, counts: SwarmCounts) -> [u8; 20] {
    let mut out = [0; 20];
    let fields = [ANNOUNCE, transaction.0, interval_s, counts.incomplete, counts.complete];
    out.as_chunks_mut::<4>().0.iter_mut().zip(fields).for_each(|(to, field)| *to = field.to_be_bytes());
    out
}

/// A server's answer to a scrape, in the request's order.
pub fn write_scraped(transaction: TransactionId, counts: &[SwarmCounts]) -> Vec<u8> {
    let mut out = write_reply(SCRAPE, transaction);
    for count in counts {
        out.extend_from_slice(&count.complete.to_be_bytes());
        out.extend_from_slice(&count.downloaded.to_be_bytes());
        out.extend_from_slice(&count.incomplete.to_be_bytes());
    }
    out
}

/// A server's refusal.
pub fn write_failed(transaction: TransactionId, message: &str) -> Vec<u8> {
    let mut out = write_reply(ERROR, transaction);
    out.extend_from_slice(message.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use std::vec;

    fn query() -> AnnounceQuery {
        AnnounceQuery {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([2; 20]),
            port: 6881,
            uploaded: 3,
            downloaded: 4,
            left: Some(5),
            event: TrackerEvent::Started,
            numwant: None,
            key: 6,
        }
    }

    const T: TransactionId = TransactionId(0x0102_0304);
    const C: ConnectionId = ConnectionId(0x1122_3344_5566_7788);

    #[test]
    fn bep_0015_the_connect_request_is_the_magic_number_action_0_and_the_transaction() {
        let packet = write_connect(T);
        assert_eq!(packet, [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(read_request(&packet), Ok(Request::Connect { transaction: T }));
        assert_eq!(read_request(&[0; 16]), Err(UdpTrackerError::Protocol { protocol: 0 }));
    }

    #[test]
    fn bep_0015_an_announce_has_its_fields_at_the_bep_offsets() {
        let packet = write_announce(C, T, &query(), b"");
        assert_eq!(packet.len(), 98);
        assert_eq!(packet[8..12], [0, 0, 0, 1]);
        assert_eq!(packet[16..36], [1; 20]);
        assert_eq!(packet[36..56], [2; 20]);
        assert_eq!((packet[63], packet[71], packet[79], packet[83]), (4, 5, 3, 2));
        assert_eq!(packet[84..88], [0; 4]);
        assert_eq!(packet[91], 6);
        assert_eq!(packet[92..96], [0xff; 4]);
        assert_eq!(packet[96..98], 6881u16.to_be_bytes());
        let read = read_request(&packet).unwrap();
        assert_eq!(
            read,
            Request::Announce { connection: C, transaction: T, query: query(), url_data: Box::new([]) }
        );
    }

    #[test]
    fn an_unknown_size_is_announced_as_a_positive_number() {
        let packet = write_announce(C, T, &AnnounceQuery { left: None, ..query() }, b"");
        assert_eq!(packet[64..72], 16_384u64.to_be_bytes());
    }

    #[test]
    fn pitfall_04_the_stride_of_peers_follows_the_packets_family() {
        let v4: SocketAddr = "192.0.2.1:1000".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:2000".parse().unwrap();
        let counts = SwarmCounts { complete: 7, downloaded: 0, incomplete: 9 };
        for (family, peer, len) in [(Family::V4, v4, 26), (Family::V6, v6, 38)] {
            let packet = write_announced(T, family, 1800, counts, &[v4, v6]);
            assert_eq!(packet.len(), len);
            let Ok((T, Reply::Announced(announced))) = read_reply(&packet) else { panic!() };
            let answer = announced.answer(family, &AnswerLimits::default());
            assert_eq!(answer.peers, [peer]);
            assert_eq!((answer.interval_s, answer.complete, answer.incomplete), (1800, Some(7), Some(9)));
        }
        assert_eq!(Family::of(&"[::ffff:192.0.2.1]:1".parse().unwrap()), Family::V4);
    }

    #[test]
    fn bep_0015_a_scrape_goes_there_and_back() {
        let hashes = [InfoHash([1; 20]), InfoHash([2; 20])];
        let packet = write_scrape(C, T, &hashes);
        let read = read_request(&packet).unwrap();
        assert_eq!(read, Request::Scrape { connection: C, transaction: T, info_hashes: hashes.to_vec() });
        let counts = [
            SwarmCounts { complete: 1, downloaded: 2, incomplete: 3 },
            SwarmCounts { complete: 4, downloaded: 5, incomplete: 6 },
        ];
        let packet = write_scraped(T, &counts);
        let Ok((T, Reply::Scraped(packed))) = read_reply(&packet) else { panic!() };
        assert_eq!(scrape_counts(packed).collect::<Vec<_>>(), counts);
        assert_eq!(packed[..12], [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
        let none = write_scrape(C, T, &[]);
        assert_eq!(read_request(&none), Err(UdpTrackerError::ScrapeCount { count: 0 }));
    }

    #[test]
    fn bep_0015_an_error_and_a_connection_id_are_read() {
        assert_eq!(read_reply(&write_failed(T, "no")), Ok((T, Reply::Failed(b"no"))));
        assert_eq!(read_reply(&write_connected(T, C)), Ok((T, Reply::Connected(C))));
        assert_eq!(read_reply(&[0, 0, 0, 9, 0, 0, 0, 0]), Err(UdpTrackerError::Action { action: 9 }));
    }

    fn with_options(options: &[u8]) -> Result<Box<[u8]>, UdpTrackerError> {
        let mut packet = write_announce(C, T, &query(), b"");
        packet.extend_from_slice(options);
        match read_request(&packet)? {
            Request::Announce { url_data, .. } => Ok(url_data),
            Request::Connect { .. } | Request::Scrape { .. } => panic!(),
        }
    }

    #[test]
    fn bep_0041_the_examples_of_its_text() {
        let url = b"/dir?a=b&c=d";
        assert_eq!(&*with_options(b"\x02\x0c/dir?a=b&c=d").unwrap(), url);
        assert_eq!(&*with_options(b"\x02\x0c/dir?a=b&c=d\x01\x01\x00").unwrap(), url);
        assert_eq!(&*with_options(b"\x02\x00").unwrap(), b"");
        let packet = write_announce(C, T, &query(), url);
        assert_eq!(&packet[98..], b"\x02\x0c/dir?a=b&c=d");
    }

    #[test]
    fn bep_0041_parts_are_joined_unknown_options_skipped_and_the_end_ends() {
        assert_eq!(&*with_options(b"\x02\x02/a\x09\x01x\x02\x01b\x00\x02\x01c").unwrap(), b"/ab");
        let long = vec![b'x'; 600];
        let packet = write_announce(C, T, &query(), &long);
        assert_eq!(&*with_options(&packet[98..]).unwrap(), &long);
        assert_eq!(packet.len(), 98 + 600 + 3 * 2);
    }

    #[test]
    fn bep_0041_an_option_past_the_end_or_too_many_of_them_are_errors() {
        assert_eq!(with_options(b"\x01\x02\x05abc"), Err(UdpTrackerError::Option { offset: 99 }));
        assert_eq!(with_options(b"\x02"), Err(UdpTrackerError::Option { offset: 98 }));
        let packet = write_announce(C, T, &query(), &vec![b'x'; URL_DATA_BYTES_MAX + 1]);
        assert!(matches!(read_request(&packet), Err(UdpTrackerError::Option { .. })));
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_value() {
        let packet = write_announce(C, T, &query(), b"");
        for len in 0..98 {
            assert_eq!(read_request(&packet[..len]), Err(UdpTrackerError::Short { len }));
        }
        let reply = write_announced(T, Family::V4, 1, SwarmCounts::default(), &[]);
        for len in 0..20 {
            assert_eq!(read_reply(&reply[..len]), Err(UdpTrackerError::Short { len }));
        }
    }

    #[test]
    fn mutated_packets_never_panic_and_stay_bounded() {
        let mut rng = Rng::new([15; 32]);
        let seeds = [
            write_connect(T),
            write_announce(C, T, &query(), b"/announce?x=y"),
            write_scrape(C, T, &[InfoHash([1; 20]); 3]),
            write_announced(T, Family::V4, 9, SwarmCounts::default(), &["192.0.2.1:1".parse().unwrap()]),
            write_scraped(T, &[SwarmCounts::default(); 2]),
        ];
        for round in 0..20_000 {
            let mut packet = seeds[round % seeds.len()].clone();
            for _ in 0..=rng.below(3) {
                let at = rng.index(packet.len()).unwrap();
                packet[at] = rng.next_u32() as u8;
            }
            packet.truncate(rng.below(packet.len() as u64 + 1) as usize);
            if let Ok(Request::Announce { url_data, .. }) = read_request(&packet) {
                assert!(url_data.len() <= packet.len());
            }
            if let Ok((_, Reply::Announced(announced))) = read_reply(&packet) {
                assert!(announced.answer(Family::V6, &AnswerLimits::default()).peers.len() <= 500);
            }
        }
    }
}
