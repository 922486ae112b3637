//! WebTorrent's signalling over a tracker's WebSocket: one JSON text a message, to values and back, for client and server.
//! No BEP says it; bittorrent-tracker's code does. No socket, no routing of offers, no WebRTC.

mod json;

use super::tracker::{AnnounceQuery, AnswerLimits, SwarmCounts, TrackerEvent};
use super::{InfoHash, PeerId};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use json::{Hashes, OutFile, OutOffer, OutReply, OutRequest, RawMessage, RawOffer, Sdp};

/// Bytes of a message; a longer one is an error.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Offers read from one announce; the rest is dropped.
pub const OFFERS_MAX: usize = 20;
/// Info hashes read from one scrape, and counts from its answer; the rest is dropped.
pub const SCRAPE_HASHES_MAX: usize = 128;

/// Ties an answer to its offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId(pub [u8; 20]);

/// What is wrong with a message. The sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// It is longer than [`MESSAGE_BYTES_MAX`].
    #[error("message of {len} bytes is too long")]
    Long {
        /// Its length.
        len: usize,
    },
    /// It is no JSON object, or a member is of another type than it must be.
    #[error("not a message: line {line}, column {column}")]
    Json {
        /// Where, counted from 1.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// A member that must be there is not.
    #[error("missing {key}")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A binary string that is not 20 characters of U+0000 to U+00FF, or another value that can't be.
    #[error("bad {key}")]
    Malformed {
        /// Which.
        key: &'static str,
    },
    /// Its `action` is none that belongs here.
    #[error("unknown action")]
    Action,
}

/// An offer that a client hands out through the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// By which its answer is known.
    pub id: OfferId,
    /// The session description.
    pub sdp: String,
}

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// It announces, and hands out offers.
    Announce(Box<SignalAnnounce>),
    /// It answers an offer that the tracker brought. Nothing is replied.
    Answer(Box<SignalAnswer>),
    /// It scrapes these, 1 to [`SCRAPE_HASHES_MAX`].
    Scrape(Vec<InfoHash>),
}

/// An announce over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalAnnounce {
    /// What it says. Its port and key are 0: a WebSocket has none.
    pub query: AnnounceQuery,
    /// What the tracker gave as its `tracker id`.
    pub tracker_id: Option<String>,
    /// Each for another peer of the swarm, at most [`OFFERS_MAX`].
    pub offers: Vec<Offer>,
}

/// An answer to an offer, on its way to the tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalAnswer {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Who offered.
    pub to: PeerId,
    /// The offer.
    pub offer_id: OfferId,
    /// The session description.
    pub sdp: String,
}

/// What a tracker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalReply {
    /// To an announce.
    Announced(Box<SignalAnnounced>),
    /// Somebody offers.
    Offer(Box<Relayed>),
    /// Somebody answers one of our offers.
    Answer(Box<Relayed>),
    /// To a scrape.
    Scraped(Vec<(InfoHash, SwarmCounts)>),
    /// It refuses.
    Failed {
        /// The torrent, if the tracker got that far.
        info_hash: Option<InfoHash>,
        /// Why; for the user.
        reason: Box<str>,
    },
}

/// A tracker's reply to an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalAnnounced {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that miss something.
    pub incomplete: Option<u32>,
    /// Seconds until the next announce, within the reader's limits.
    pub interval_s: u32,
    /// Seconds before which no announce is wanted.
    pub min_interval_s: Option<u32>,
    /// To be sent back as `trackerid`.
    pub tracker_id: Option<String>,
    /// For the user.
    pub warning: Option<Box<str>>,
}

/// An offer or an answer, as the tracker passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The torrent.
    pub info_hash: InfoHash,
    /// Who sent it. It may be ourselves.
    pub peer_id: PeerId,
    /// The offer.
    pub offer_id: OfferId,
    /// The session description.
    pub sdp: String,
}

/// Reads what a client sent.
pub fn read_request(text: &str) -> Result<SignalRequest, SignalError> {
    let raw = RawMessage::read(text)?;
    match raw.action.as_deref() {
        Some("announce") if raw.answer.is_some() => read_answer(raw).map(Box::new).map(SignalRequest::Answer),
        Some("announce") => read_announce(raw).map(Box::new).map(SignalRequest::Announce),
        Some("scrape") => {
            let hashes = raw.info_hash.ok_or(SignalError::Missing { key: "info_hash" })?.read()?;
            if hashes.is_empty() {
                return Err(SignalError::Malformed { key: "info_hash" });
            }
            Ok(SignalRequest::Scrape(hashes))
        }
        Some(_) => Err(SignalError::Action),
        None => Err(SignalError::Missing { key: "action" }),
    }
}

fn read_announce(raw: RawMessage<'_>) -> Result<SignalAnnounce, SignalError> {
    let event = match raw.event.as_deref() {
        Some("started") => TrackerEvent::Started,
        Some("completed") => TrackerEvent::Completed,
        Some("stopped") => TrackerEvent::Stopped,
        // `update`, `empty`, BEP 21's `paused`, and what nobody knows, are regular announces.
        Some(_) | None => TrackerEvent::None,
    };
    let query = AnnounceQuery {
        info_hash: raw.one_hash()?,
        peer_id: PeerId(json::required(raw.peer_id.as_deref(), "peer_id")?),
        port: 0,
        uploaded: raw.uploaded.0.unwrap_or(0),
        downloaded: raw.downloaded.0.unwrap_or(0),
        left: raw.left.0,
        event,
        numwant: raw.numwant.0.map(saturate),
        key: 0,
    };
    let offers = raw.offers.unwrap_or_default().into_iter().take(OFFERS_MAX);
    let offers = offers.map(read_offer).collect::<Result<_, _>>()?;
    Ok(SignalAnnounce { query, tracker_id: raw.trackerid.map(|id| id.into_owned()), offers })
}

fn read_offer(raw: RawOffer<'_>) -> Result<Offer, SignalError> {
    let id = OfferId(json::required(raw.offer_id.as_deref(), "offer_id")?);
    Ok(Offer { id, sdp: sdp(raw.offer, "offer")? })
}

fn read_answer(raw: RawMessage<'_>) -> Result<SignalAnswer, SignalError> {
    Ok(SignalAnswer {
        info_hash: raw.one_hash()?,
        peer_id: PeerId(json::required(raw.peer_id.as_deref(), "peer_id")?),
        to: PeerId(json::required(raw.to_peer_id.as_deref(), "to_peer_id")?),
        offer_id: OfferId(json::required(raw.offer_id.as_deref(), "offer_id")?),
        sdp: sdp(raw.answer, "answer")?,
    })
}

/// The text of a description that says it is what it stands under, or doesn't say.
fn sdp(raw: Option<Sdp<'_>>, key: &'static str) -> Result<String, SignalError> {
    let raw = raw.ok_or(SignalError::Missing { key })?;
    match raw.kind.as_deref() {
        Some(kind) if kind != key => Err(SignalError::Malformed { key }),
        Some(_) | None => Ok(raw.sdp.into_owned()),
    }
}

fn saturate(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Reads what a tracker sent.
pub fn read_reply(text: &str, limits: &AnswerLimits) -> Result<SignalReply, SignalError> {
    let raw = RawMessage::read(text)?;
    if let Some(reason) = &raw.failure {
        let info_hash = raw.one_hash().ok();
        return Ok(SignalReply::Failed { info_hash, reason: limits.text(reason.as_bytes()) });
    }
    match raw.action.as_deref() {
        Some("announce") if raw.offer.is_some() => {
            Ok(SignalReply::Offer(Box::new(read_relayed(raw, |raw| sdp(raw.offer.take(), "offer"))?)))
        }
        Some("announce") if raw.answer.is_some() => {
            Ok(SignalReply::Answer(Box::new(read_relayed(raw, |raw| sdp(raw.answer.take(), "answer"))?)))
        }
        Some("announce") => read_announced(raw, limits).map(Box::new).map(SignalReply::Announced),
        Some("scrape") => read_scraped(raw).map(SignalReply::Scraped),
        Some(_) => Err(SignalError::Action),
        None => Err(SignalError::Missing { key: "action" }),
    }
}

fn read_relayed(
    mut raw: RawMessage<'_>,
    sdp: impl FnOnce(&mut RawMessage<'_>) -> Result<String, SignalError>,
) -> Result<Relayed, SignalError> {
    Ok(Relayed {
        info_hash: raw.one_hash()?,
        peer_id: PeerId(json::required(raw.peer_id.as_deref(), "peer_id")?),
        offer_id: OfferId(json::required(raw.offer_id.as_deref(), "offer_id")?),
        sdp: sdp(&mut raw)?,
    })
}

fn read_announced(raw: RawMessage<'_>, limits: &AnswerLimits) -> Result<SignalAnnounced, SignalError> {
    let seconds = |n: Option<u64>| limits.interval(i64::try_from(n.unwrap_or(0)).unwrap_or(i64::MAX));
    Ok(SignalAnnounced {
        info_hash: raw.one_hash()?,
        complete: raw.complete.0.map(saturate),
        incomplete: raw.incomplete.0.map(saturate),
        interval_s: seconds(raw.interval.0),
        min_interval_s: raw.min_interval.0.map(|n| seconds(Some(n))),
        tracker_id: raw.tracker_id.filter(|id| id.len() <= limits.text_bytes_max).map(|id| id.into_owned()),
        warning: raw.warning.map(|text| limits.text(text.as_bytes())),
    })
}

fn read_scraped(raw: RawMessage<'_>) -> Result<Vec<(InfoHash, SwarmCounts)>, SignalError> {
    let files = raw.files.ok_or(SignalError::Missing { key: "files" })?;
    let files = files.iter().take(SCRAPE_HASHES_MAX).map(|(hash, counts)| {
        let hash = json::bytes(hash).ok_or(SignalError::Malformed { key: "files" })?;
        let number = |n: json::Number| saturate(n.0.unwrap_or(0));
        Ok((
            InfoHash(hash),
            SwarmCounts {
                complete: number(counts.complete),
                downloaded: number(counts.downloaded),
                incomplete: number(counts.incomplete),
            },
        ))
    });
    files.collect()
}

/// A client's announce, with as many of its offers as fit.
pub fn write_announce(announce: &SignalAnnounce) -> String {
    let query = &announce.query;
    let event = match query.event {
        TrackerEvent::None => None,
        TrackerEvent::Completed => Some("completed"),
        TrackerEvent::Started => Some("started"),
        TrackerEvent::Stopped => Some("stopped"),
    };
    let mut offers: Vec<_> = announce.offers.iter().take(OFFERS_MAX).map(OutOffer::new).collect();
    loop {
        let count = offers.len();
        let text = json::write(&OutRequest {
            action: "announce",
            info_hash: Hashes::one(query.info_hash),
            peer_id: Some(json::text(&query.peer_id.0)),
            numwant: Some(u32::try_from(count).unwrap_or(0)),
            uploaded: Some(query.uploaded),
            downloaded: Some(query.downloaded),
            // A number always: null is a seed to some trackers.
            left: Some(query.left_sent()),
            event,
            trackerid: announce.tracker_id.as_deref(),
            offers: (count > 0).then_some(&*offers),
            ..OutRequest::default()
        });
        if text.len() <= MESSAGE_BYTES_MAX || offers.pop().is_none() {
            return text;
        }
    }
}

/// A client's answer to an offer.
pub fn write_answer(answer: &SignalAnswer) -> String {
    json::write(&OutRequest {
        action: "announce",
        info_hash: Hashes::one(answer.info_hash),
        peer_id: Some(json::text(&answer.peer_id.0)),
        to_peer_id: Some(json::text(&answer.to.0)),
        offer_id: Some(json::text(&answer.offer_id.0)),
        answer: Some(Sdp::new("answer", &answer.sdp)),
        ..OutRequest::default()
    })
}

/// A client's scrape of at most [`SCRAPE_HASHES_MAX`] torrents.
pub fn write_scrape(hashes: &[InfoHash]) -> String {
    let hashes = hashes.get(..SCRAPE_HASHES_MAX).unwrap_or(hashes);
    json::write(&OutRequest { action: "scrape", info_hash: Hashes::many(hashes), ..OutRequest::default() })
}

/// A tracker's reply, offer or answer passed on, counts or refusal.
pub fn write_reply(reply: &SignalReply) -> String {
    match reply {
        SignalReply::Announced(announced) => json::write(&OutReply {
            action: Some("announce"),
            info_hash: Some(json::text(&announced.info_hash.0)),
            complete: announced.complete,
            incomplete: announced.incomplete,
            interval: Some(announced.interval_s),
            min_interval: announced.min_interval_s,
            tracker_id: announced.tracker_id.as_deref(),
            warning: announced.warning.as_deref(),
            ..OutReply::default()
        }),
        SignalReply::Offer(offer) => {
            let sdp = Sdp::new("offer", &offer.sdp);
            json::write(&OutReply { offer: Some(sdp), ..OutReply::relayed(offer) })
        }
        SignalReply::Answer(answer) => {
            let sdp = Sdp::new("answer", &answer.sdp);
            json::write(&OutReply { answer: Some(sdp), ..OutReply::relayed(answer) })
        }
        SignalReply::Scraped(files) => json::write(&OutReply {
            action: Some("scrape"),
            files: Some(
                files.iter().map(|(hash, counts)| (json::text(&hash.0), OutFile::from(counts))).collect(),
            ),
            ..OutReply::default()
        }),
        SignalReply::Failed { info_hash, reason } => json::write(&OutReply {
            action: info_hash.map(|_| "announce"),
            info_hash: info_hash.map(|hash| json::text(&hash.0)),
            failure: Some(reason),
            ..OutReply::default()
        }),
    }
}

#[cfg(test)]
mod tests;
