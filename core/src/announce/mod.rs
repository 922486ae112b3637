//! The announces of one torrent: tiers (BEP 12), events, intervals, back-off, one announce for each hash and address
//! family (BEP 7, 52), and the exchange with a UDP tracker (BEP 15). It owns what is asked when, and what is known of each
//! tracker. Not HTTP, sockets or names: whoever owns it asks them and brings the answers.

mod connection_ids;
mod standing;
mod tiers;
mod udp_exchange;
mod web_socket;

pub use connection_ids::ConnectionIds;
pub use standing::{TrackerState, TrackerView};
pub use tiers::Announce;
pub use udp_exchange::{UdpContext, UdpExchange, UdpInput, UdpOutput};
pub use web_socket::{SocketId, WebSockets, WsAsk, WsOutput, WsWhat};

use crate::wire::tracker::{AnnounceAnswer, AnnounceQuery, AnswerLimits, SwarmCounts};
use crate::wire::tracker_http::{HttpAnswerError, RetryIn, read_announce, read_scrape};
use crate::wire::tracker_udp::Family;
use crate::wire::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// How trackers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnounceConfig {
    /// How their answers are read.
    pub limits: AnswerLimits,
    /// Trackers kept of one torrent; the rest is dropped. About 100 bytes each.
    pub trackers_max: usize,
    /// Peers asked for in one announce.
    pub numwant_max: u32,
    /// Whether a host with both address families announces once over each to an HTTP tracker (BEP 7). To a UDP tracker
    /// it always does.
    pub each_family: bool,
    /// The first pause after a tracker failed, milliseconds; it doubles with every failure.
    pub retry_first_ms: u64,
    /// The longest pause after failures, milliseconds.
    pub retry_max_ms: u64,
    /// How long `stopped` may take, milliseconds; what is not answered then is given up.
    pub stop_timeout_ms: u64,
    /// The same where it isn't known whether the tracker heard `started`, milliseconds. A tracker that doesn't answer
    /// holds up a stop for so long.
    pub stop_unsure_timeout_ms: u64,
    /// How long the first packet to a UDP tracker waits for its answer, milliseconds; doubles with every retransmission
    /// (BEP 15: 15 s).
    pub udp_timeout_first_ms: u64,
    /// Retransmissions to one address of a UDP tracker before the next is tried (BEP 15: 8, which takes two hours; fewer
    /// find a backup sooner).
    pub udp_retransmissions_max: u8,
    /// Addresses tried of one UDP tracker.
    pub udp_addresses_max: usize,
    /// WebSockets to trackers at once, of all torrents; one more tracker isn't reached.
    pub ws_sockets_max: usize,
    /// How long a tracker on a WebSocket may take to answer, its opening included, milliseconds.
    pub ws_timeout_ms: u64,
    /// The first pause after a WebSocket broke, milliseconds; it doubles up to `retry_max_ms`.
    pub ws_retry_first_ms: u64,
}

impl Default for AnnounceConfig {
    fn default() -> Self {
        Self {
            limits: AnswerLimits::default(),
            trackers_max: 64,
            numwant_max: 200,
            each_family: true,
            retry_first_ms: 60_000,
            retry_max_ms: 3_600_000,
            stop_timeout_ms: 5_000,
            stop_unsure_timeout_ms: 1_000,
            udp_timeout_first_ms: 15_000,
            udp_retransmissions_max: 1,
            udp_addresses_max: 4,
            ws_sockets_max: 32,
            ws_timeout_ms: 30_000,
            ws_retry_first_ms: 10_000,
        }
    }
}

/// Who announces what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The torrent's hash, v1 or truncated v2.
    pub info_hash: InfoHash,
    /// A hybrid's second hash: both are announced (BEP 52).
    pub second_hash: Option<InfoHash>,
    /// What we call ourselves.
    pub peer_id: PeerId,
}

/// What the torrent knows at the time of an announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes received from peers.
    pub downloaded: u64,
    /// Bytes missing; `None` while the size is unknown.
    pub left: Option<u64>,
    /// Where it listens on IPv4.
    pub port_v4: Option<u16>,
    /// Where it listens on IPv6.
    pub port_v6: Option<u16>,
    /// How many peers it could use.
    pub peers_wanted: u32,
}

/// Names one ask. Its answer comes with it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId {
    serial: u32,
    tracker: u32,
    lane: u8,
}

/// An announce to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ask {
    /// To be given back with the answer.
    pub id: AskId,
    /// The family to announce from; `None` leaves it open.
    pub family: Option<Family>,
    /// How the answer is to be read.
    pub limits: AnswerLimits,
    /// Whom to ask what.
    pub what: AskWhat,
}

/// Whom to ask what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskWhat {
    /// GET this; the body is for `wire::tracker_http::read_announce`.
    Http {
        /// The whole URL.
        url: String,
    },
    /// Run a [`UdpExchange`].
    Udp(Box<UdpAsk>),
    /// Give it to the [`WebSockets`].
    WebSocket(Box<WsAsk>),
}

/// An announce to a UDP tracker, or a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpAsk {
    /// Name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// The family to ask from; `None` leaves it open.
    pub family: Option<Family>,
    /// What it is asked.
    pub what: UdpWhat,
    /// The URL's path and query (BEP 41).
    pub url_data: Box<[u8]>,
    /// How the answer is to be read.
    pub limits: AnswerLimits,
}

/// What a UDP tracker is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpWhat {
    /// To take an announce, and tell peers.
    Announce(AnnounceQuery),
    /// How many are in these swarms, which are one torrent's (BEP 48).
    Scrape(Box<[InfoHash]>),
}

/// Why an ask brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The host can't be found or reached, in the words of who tried.
    #[error("{0}")]
    Unreachable(Box<str>),
    /// No answer in time.
    #[error("the tracker doesn't answer")]
    TimedOut,
    /// An HTTP status that is no success, and no bencode with it.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Its URL has no `announce` that could become `scrape` (BEP 48).
    #[error("the tracker has no scrape")]
    NoScrape,
    /// It answered a scrape without a word of what was asked.
    #[error("the tracker tells nothing of this torrent")]
    NoCounts,
    /// The answer is no use, or a refusal.
    #[error(transparent)]
    Answer(#[from] HttpAnswerError),
}

impl AskError {
    /// Whether the tracker itself said so: that tells more than that a family has no way to it.
    fn is_its_word(&self) -> bool {
        match self {
            Self::Answer(_) | Self::Status(_) => true,
            Self::Unreachable(_) | Self::TimedOut | Self::NoScrape | Self::NoCounts => false,
        }
    }

    fn retry(&self) -> Option<RetryIn> {
        match self {
            Self::Answer(HttpAnswerError::Failed { retry, .. }) => *retry,
            Self::Answer(HttpAnswerError::Malformed(_))
            | Self::Unreachable(_)
            | Self::TimedOut
            | Self::NoScrape
            | Self::NoCounts
            | Self::Status(_) => None,
        }
    }
}

/// Reads what an HTTP tracker answered to an ask. A refusal in the body says more than the status that came with it.
pub fn read_http(status: u16, body: &[u8], limits: &AnswerLimits) -> Result<AnnounceAnswer, AskError> {
    match (status, read_announce(body, limits)) {
        (200..=299, read) => Ok(read?),
        (_, Err(refusal @ HttpAnswerError::Failed { .. })) => Err(refusal.into()),
        (_, Ok(_) | Err(HttpAnswerError::Malformed(_))) => Err(AskError::Status(status)),
    }
}

/// Reads what an HTTP tracker answered to a scrape of one torrent, which may have two hashes.
pub fn read_http_scrape(
    status: u16,
    body: &[u8],
    hashes: &[InfoHash],
    limits: &AnswerLimits,
) -> Result<SwarmCounts, AskError> {
    match (status, read_scrape(body, hashes, limits)) {
        (200..=299, read) => larger(read?.into_iter().flatten()),
        (_, Err(refusal @ HttpAnswerError::Failed { .. })) => Err(refusal.into()),
        (_, Ok(_) | Err(HttpAnswerError::Malformed(_))) => Err(AskError::Status(status)),
    }
}

/// The counts of a torrent whose two hashes were asked about: most peers announce both, so that a sum would count them
/// twice.
fn larger(counts: impl Iterator<Item = SwarmCounts>) -> Result<SwarmCounts, AskError> {
    let larger = |a: SwarmCounts, b: SwarmCounts| SwarmCounts {
        complete: a.complete.max(b.complete),
        downloaded: a.downloaded.max(b.downloaded),
        incomplete: a.incomplete.max(b.incomplete),
    };
    counts.reduce(larger).ok_or(AskError::NoCounts)
}

/// What an answer brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Addresses of peers, our own left out as far as it is known.
    pub peers: Vec<SocketAddr>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// For the user.
    pub warning: Option<Box<str>>,
    /// All asks of the attempt failed, for each of our hashes and over each family: what to tell the user of the tracker.
    pub failed: Option<AskError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_no_success_is_an_error_unless_the_body_says_more() {
        let limits = AnswerLimits::default();
        assert_eq!(read_http(200, b"d8:intervali900ee", &limits).map(|answer| answer.interval_s), Ok(900));
        assert_eq!(read_http(404, b"<html>", &limits), Err(AskError::Status(404)));
        assert_eq!(read_http(500, b"d8:intervali900ee", &limits), Err(AskError::Status(500)));
        let refused = read_http(403, b"d14:failure reason2:noe", &limits).unwrap_err();
        assert_eq!(alloc::format!("{refused}"), "the tracker refuses: no");
    }
}
