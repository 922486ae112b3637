//! The JSON under the signalling: which members there are, binary strings, numbers that may be anything. No meaning.

use super::{InfoHash, MESSAGE_BYTES_MAX, Offer, Relayed, SCRAPE_HASHES_MAX, SignalError, SwarmCounts};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// 20 bytes as a string of as many code points.
pub(super) fn text(bytes: &[u8; 20]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

/// The 20 bytes that a string of code points below 256 stands for.
pub(super) fn bytes(text: &str) -> Option<[u8; 20]> {
    let mut out = [0; 20];
    let mut chars = text.chars();
    for slot in &mut out {
        *slot = u8::try_from(u32::from(chars.next()?)).ok()?;
    }
    chars.next().is_none().then_some(out)
}

/// As [`bytes`], of a member that must be there.
pub(super) fn required(text: Option<&str>, key: &'static str) -> Result<[u8; 20], SignalError> {
    bytes(text.ok_or(SignalError::Missing { key })?).ok_or(SignalError::Malformed { key })
}

/// Text of a value of ours.
pub(super) fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and maps with string keys always have a form")
}

/// A number that may be missing, null, negative, broken or no number at all: then it is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(from).map(|raw| Self(read_number(raw.get())))
    }
}

/// The whole part of a JSON number that isn't negative. JavaScript writes a power of ten only where it is beyond all
/// counts.
fn read_number(text: &str) -> Option<u64> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(end).filter(|(whole, _)| !whole.is_empty())?;
    match rest.contains(['e', 'E']) {
        true if rest.contains('-') => Some(0),
        true => Some(u64::MAX),
        false => Some(whole.parse().unwrap_or(u64::MAX)),
    }
}

/// One torrent, or several.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum Hashes<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(#[serde(borrow)] Vec<Cow<'a, str>>),
}

impl Default for Hashes<'_> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Hashes<'_> {
    pub(super) fn one(hash: InfoHash) -> Self {
        Self::One(text(&hash.0).into())
    }

    pub(super) fn many(hashes: &[InfoHash]) -> Self {
        Self::Many(hashes.iter().map(|hash| text(&hash.0).into()).collect())
    }

    pub(super) fn read(&self) -> Result<Vec<InfoHash>, SignalError> {
        let key = "info_hash";
        let read = |text: &str| bytes(text).map(InfoHash).ok_or(SignalError::Malformed { key });
        match self {
            Self::One(text) => read(text).map(|hash| Vec::from([hash])),
            Self::Many(texts) => texts.iter().take(SCRAPE_HASHES_MAX).map(|text| read(text)).collect(),
        }
    }
}

/// A session description.
#[derive(Deserialize, Serialize)]
pub(super) struct Sdp<'a> {
    #[serde(rename = "type", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) sdp: Cow<'a, str>,
}

impl<'a> Sdp<'a> {
    pub(super) fn new(kind: &'a str, sdp: &'a str) -> Self {
        Self { kind: Some(kind.into()), sdp: sdp.into() }
    }
}

#[derive(Deserialize)]
pub(super) struct RawOffer<'a> {
    #[serde(borrow, default)]
    pub(super) offer: Option<Sdp<'a>>,
    #[serde(borrow, default)]
    pub(super) offer_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct RawCounts {
    #[serde(default)]
    pub(super) complete: Number,
    #[serde(default)]
    pub(super) downloaded: Number,
    #[serde(default)]
    pub(super) incomplete: Number,
}

/// Every member that a message of either side may have.
#[derive(Deserialize)]
pub(super) struct RawMessage<'a> {
    #[serde(borrow, default)]
    pub(super) action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) info_hash: Option<Hashes<'a>>,
    #[serde(borrow, default)]
    pub(super) peer_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) to_peer_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) offer_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) offers: Option<Vec<RawOffer<'a>>>,
    #[serde(borrow, default)]
    pub(super) offer: Option<Sdp<'a>>,
    #[serde(borrow, default)]
    pub(super) answer: Option<Sdp<'a>>,
    #[serde(borrow, default)]
    pub(super) event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) trackerid: Option<Cow<'a, str>>,
    #[serde(rename = "tracker id", borrow, default)]
    pub(super) tracker_id: Option<Cow<'a, str>>,
    #[serde(rename = "failure reason", borrow, default)]
    pub(super) failure: Option<Cow<'a, str>>,
    #[serde(rename = "warning message", borrow, default)]
    pub(super) warning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) files: Option<BTreeMap<Cow<'a, str>, RawCounts>>,
    #[serde(default)]
    pub(super) uploaded: Number,
    #[serde(default)]
    pub(super) downloaded: Number,
    #[serde(default)]
    pub(super) left: Number,
    #[serde(default)]
    pub(super) numwant: Number,
    #[serde(default)]
    pub(super) complete: Number,
    #[serde(default)]
    pub(super) incomplete: Number,
    #[serde(default)]
    pub(super) interval: Number,
    #[serde(rename = "min interval", default)]
    pub(super) min_interval: Number,
}

impl<'a> RawMessage<'a> {
    /// Nesting is bounded by `serde_json`, everything else by the message's length.
    pub(super) fn read(text: &'a str) -> Result<Self, SignalError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(SignalError::Long { len: text.len() });
        }
        // A struct may also be written as an array: not here.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(SignalError::Json { line: 1, column: 1 });
        }
        serde_json::from_str(text)
            .map_err(|error| SignalError::Json { line: error.line(), column: error.column() })
    }

    /// The torrent of a message that is about one.
    pub(super) fn one_hash(&self) -> Result<InfoHash, SignalError> {
        let key = "info_hash";
        match &self.info_hash {
            Some(Hashes::One(text)) => bytes(text).map(InfoHash).ok_or(SignalError::Malformed { key }),
            Some(Hashes::Many(_)) => Err(SignalError::Malformed { key }),
            None => Err(SignalError::Missing { key }),
        }
    }
}

#[derive(Serialize)]
pub(super) struct OutOffer<'a> {
    offer: Sdp<'a>,
    offer_id: String,
}

impl<'a> OutOffer<'a> {
    pub(super) fn new(offer: &'a Offer) -> Self {
        Self { offer: Sdp::new("offer", &offer.sdp), offer_id: text(&offer.id.0) }
    }
}

/// What a client writes.
#[derive(Default, Serialize)]
pub(super) struct OutRequest<'a> {
    pub(super) action: &'a str,
    pub(super) info_hash: Hashes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_peer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) numwant: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uploaded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) downloaded: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trackerid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offers: Option<&'a [OutOffer<'a>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Sdp<'a>>,
}

#[derive(Serialize)]
pub(super) struct OutFile {
    complete: u32,
    downloaded: u32,
    incomplete: u32,
}

impl From<&SwarmCounts> for OutFile {
    fn from(counts: &SwarmCounts) -> Self {
        let SwarmCounts { complete, downloaded, incomplete } = *counts;
        Self { complete, downloaded, incomplete }
    }
}

/// What a tracker writes.
#[derive(Default, Serialize)]
pub(super) struct OutReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offer_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) complete: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) incomplete: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interval: Option<u32>,
    #[serde(rename = "min interval", skip_serializing_if = "Option::is_none")]
    pub(super) min_interval: Option<u32>,
    #[serde(rename = "tracker id", skip_serializing_if = "Option::is_none")]
    pub(super) tracker_id: Option<&'a str>,
    #[serde(rename = "warning message", skip_serializing_if = "Option::is_none")]
    pub(super) warning: Option<&'a str>,
    #[serde(rename = "failure reason", skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offer: Option<Sdp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Sdp<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<BTreeMap<String, OutFile>>,
}

impl<'a> OutReply<'a> {
    /// What an offer and an answer have in common.
    pub(super) fn relayed(relayed: &'a Relayed) -> Self {
        Self {
            action: Some("announce"),
            info_hash: Some(text(&relayed.info_hash.0)),
            peer_id: Some(text(&relayed.peer_id.0)),
            offer_id: Some(text(&relayed.offer_id.0)),
            ..Self::default()
        }
    }
}
