//! The tracker over UDP (BEP 15, 41): a datagram in, at most one out. Who has not proved its address gets no more bytes
//! than it sent. It owns no socket; a datagram of many torrents may have to be put together by who shards them.

use super::{ConnectionIds, Fault, Protocol, Tracker};
use crate::base::Instant;
use crate::wire::InfoHash;
use crate::wire::tracker::{AnnounceQuery, SwarmCounts};
use crate::wire::tracker_udp::{
    Family, Request, TransactionId, announced_head, read_request, write_connected, write_failed,
    write_scraped,
};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Bytes of a longest answer, so that none is cut into fragments on its way.
pub const ANSWER_BYTES_MAX: usize = 1400;
/// Where in an announce the info-hash is, whose first byte shards are chosen by.
pub const INFO_HASH_AT: usize = 16;

/// What a datagram leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpStep {
    /// The answer was appended.
    Answered,
    /// Nothing is answered.
    Silent,
    /// Its sender is who it says; it announces. See [`announce`].
    Announce(TransactionId, AnnounceQuery),
    /// Likewise; it scrapes. See [`Tracker::on_scrape`] and [`scraped`].
    Scrape(TransactionId, Vec<InfoHash>),
}

/// Reads a datagram and answers what needs no swarm.
pub fn read(
    now: Instant,
    tracker: &mut Tracker,
    ids: &ConnectionIds,
    (packet, source): (&[u8], SocketAddr),
    out: &mut Vec<u8>,
) -> UdpStep {
    let statistics = tracker.statistics_mut().protocol_mut(Protocol::Udp);
    statistics.bytes_in += packet.len() as u64;
    let (connection, transaction, step) = match read_request(packet) {
        Ok(Request::Connect { transaction }) => {
            let answer = write_connected(transaction, ids.give(now, source.ip()));
            statistics.connects += 1;
            statistics.bytes_out += answer.len() as u64;
            out.extend_from_slice(&answer);
            return UdpStep::Answered;
        }
        Ok(Request::Announce { connection, transaction, query, .. }) => {
            (connection, transaction, UdpStep::Announce(transaction, query))
        }
        Ok(Request::Scrape { connection, transaction, info_hashes }) => {
            (connection, transaction, UdpStep::Scrape(transaction, info_hashes))
        }
        Err(_) => {
            statistics.fault(Fault::Malformed);
            return UdpStep::Silent;
        }
    };
    if ids.check(now, source.ip(), connection) {
        return step;
    }
    statistics.fault(Fault::Connection);
    let answer = write_failed(transaction, "connect again");
    if answer.len() > packet.len() {
        return UdpStep::Silent;
    }
    statistics.bytes_out += answer.len() as u64;
    out.extend_from_slice(&answer);
    UdpStep::Answered
}

/// Answers an announce whose sender proved its address.
pub fn announce(
    now: Instant,
    tracker: &mut Tracker,
    (transaction, query): (TransactionId, &AnnounceQuery),
    source: SocketAddr,
    out: &mut Vec<u8>,
) {
    let before = out.len();
    let stride = match Family::of(&source) {
        Family::V4 => 6,
        Family::V6 => 18,
    };
    let fits = (ANSWER_BYTES_MAX - 20) / stride;
    let wanted = query.numwant.unwrap_or(tracker.config().numwant_default).min(fits as u32);
    let query = AnnounceQuery { numwant: Some(wanted), ..*query };
    let (answered, fault) = match tracker.on_announce(now, &query, source) {
        Ok(reply) => {
            out.extend_from_slice(&announced_head(transaction, reply.interval_s, reply.counts));
            reply.peers.write_compact(out);
            (true, reply.left_out)
        }
        Err(refusal) => {
            out.extend_from_slice(&write_failed(transaction, &alloc::format!("{refusal}")));
            (false, Some(refusal.fault()))
        }
    };
    let statistics = tracker.statistics_mut().protocol_mut(Protocol::Udp);
    statistics.bytes_out += (out.len() - before) as u64;
    if answered {
        statistics.announced(query.event);
    }
    if let Some(fault) = fault {
        statistics.fault(fault);
    }
}

/// Answers a scrape with these counts, in its order; what is unknown is nothing but zeros.
pub fn scraped(tracker: &mut Tracker, transaction: TransactionId, counts: &[SwarmCounts], out: &mut Vec<u8>) {
    let answer = write_scraped(transaction, counts);
    let statistics = tracker.statistics_mut().protocol_mut(Protocol::Udp);
    statistics.scrapes += 1;
    statistics.scraped += counts.len() as u64;
    statistics.bytes_out += answer.len() as u64;
    out.extend_from_slice(&answer);
}

/// Answers a datagram of a tracker that holds all its torrents itself; whether there is an answer.
pub fn answer(
    now: Instant,
    tracker: &mut Tracker,
    ids: &ConnectionIds,
    (packet, source): (&[u8], SocketAddr),
    out: &mut Vec<u8>,
) -> bool {
    match read(now, tracker, ids, (packet, source), out) {
        UdpStep::Answered => true,
        UdpStep::Silent => false,
        UdpStep::Announce(transaction, query) => {
            announce(now, tracker, (transaction, &query), source, out);
            true
        }
        UdpStep::Scrape(transaction, hashes) => {
            let counts: Vec<_> =
                hashes.iter().map(|hash| tracker.on_scrape(hash).unwrap_or_default()).collect();
            scraped(tracker, transaction, &counts, out);
            true
        }
    }
}

#[cfg(test)]
mod tests;
