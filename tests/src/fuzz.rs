//! The bodies of the fuzz targets: one function each, from bytes to nothing, that panics when a law is broken.
//! They live here so that they always compile; `tests/fuzz` only calls them. Bodies never guard their own input: what
//! a stranger can send, they pass on.

mod announce;
mod dht;
mod gossip;
mod mse;
mod pool;
mod reach;
mod session;
mod tracker;
mod utp;
mod webseed;

pub use announce::{offers, tracker_udp_exchange, tracker_ws_client};
pub use dht::{dht_node, dht_table, krpc};
pub use gossip::{holepunch, lsd, pex};
pub use mse::{mse_initiator, mse_responder};
pub use pool::pool;
pub use reach::{http_proxy_answer, ip_filter, proxy_url, socks5_answer};
pub use session::peer_session;
pub use tracker::{tracker_list, tracker_server_udp, tracker_state, tracker_ws};
pub use utp::{utp_packet, utp_streams};
pub use webseed::webseed;

pub use crate::engine_ops::{engine_ops, tracker_ws_link};
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Bits, Instant, Part};
use millstream_core::resume as saved;
use millstream_core::tracker::{Tracker, TrackerConfig, http};
use millstream_core::wire::bencode::{Document, Kind, Value};
use millstream_core::wire::extension::ExtensionHandshake;
use millstream_core::wire::handshake::{HANDSHAKE_BYTES, Handshake};
use millstream_core::wire::magnet::{KeyLink, MAGNET_VALUES_MAX, Magnet};
use millstream_core::wire::message::{Header, Message};
use millstream_core::wire::metadata_message::MetadataMessage;
use millstream_core::wire::metainfo::{Info, Metainfo};
use millstream_core::wire::path::{COMPONENT_BYTES_MAX, PathRules, component};
use millstream_core::wire::tracker::AnswerLimits;
use millstream_core::wire::tracker_http;
use millstream_core::wire::tracker_http_server::{read_announce, read_scrape};
use millstream_core::wire::tracker_udp::{Family, Reply, Request, read_reply, read_request, scrape_counts};
use millstream_core::wire::tracker_url::{TrackerUrl, scrape_url};
use millstream_core::wire::{InfoHash, peer_id, percent as escapes};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A fuzz body.
pub type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub const BODIES: &[(&str, Body)] = &[
    ("bitfield", bitfield),
    ("bencode", bencode),
    ("handshake", handshake),
    ("messages", messages),
    ("extension_handshake", extension_handshake),
    ("metadata_message", metadata_message),
    ("tracker_udp_reply", tracker_udp_reply),
    ("tracker_udp_request", tracker_udp_request),
    ("tracker_http_query", tracker_http_query),
    ("tracker_url", tracker_url),
    ("tracker_http_answer", tracker_http_answer),
    ("metainfo", metainfo),
    ("info", info),
    ("path", path),
    ("percent", percent),
    ("key_link", key_link),
    ("magnet", magnet),
    ("peer_session", peer_session),
    ("pool", pool),
    ("resume", resume),
    ("tracker_server", tracker_server),
    ("tracker_server_udp", tracker_server_udp),
    ("tracker_ws", tracker_ws),
    ("tracker_state", tracker_state),
    ("engine_ops", engine_ops),
    ("krpc", krpc),
    ("dht_node", dht_node),
    ("pex", pex),
    ("lsd", lsd),
    ("holepunch", holepunch),
    ("utp_packet", utp_packet),
    ("utp_streams", utp_streams),
    ("webseed", webseed),
    ("ip_filter", ip_filter),
    ("socks5_answer", socks5_answer),
    ("http_proxy_answer", http_proxy_answer),
    ("proxy_url", proxy_url),
    ("mse_initiator", mse_initiator),
    ("mse_responder", mse_responder),
    ("tracker_udp_exchange", tracker_udp_exchange),
    ("tracker_ws_client", tracker_ws_client),
    ("tracker_ws_link", tracker_ws_link),
    ("offers", offers),
    ("tracker_list", tracker_list),
    ("dht_table", dht_table),
];

/// A BITFIELD for as many pieces as the first two bytes say: what is accepted is written again as it came.
pub fn bitfield(data: &[u8]) {
    let Some((head, body)) = data.split_first_chunk::<2>() else { return };
    let pieces = u32::from(u16::from_be_bytes(*head));
    let Ok(bits) = Bits::from_bytes(body, pieces) else { return };
    assert_eq!(bits.to_bytes(), body, "a bitfield survives reading and writing");
    let ones: u32 = body.iter().map(|b| b.count_ones()).sum();
    assert_eq!((0..pieces).filter(|&i| bits.get(i)).count(), ones as usize, "no bit is lost, none invented");
}

/// Bencode from a stranger: what is accepted is read again alike from its own bytes, and the walk ends.
pub fn bencode(data: &[u8]) {
    let Ok((document, taken)) = Document::decode_prefix(data) else { return };
    assert!(taken <= data.len(), "no more is taken than there is");
    assert_eq!(document.root().raw(), &data[..taken], "the root spans what was taken");
    assert_eq!(Document::decode(data).is_ok(), taken == data.len(), "whole exactly if nothing trails");
    assert!(Document::decode(&data[..taken]).is_ok(), "what was taken is whole");
    let mut left = vec![document.root()];
    let mut seen = 0;
    while let Some(value) = left.pop() {
        seen += 1;
        assert!(seen <= taken, "there are no more values than bytes");
        assert_eq!(value.raw().as_ptr(), data[value.offset()..].as_ptr(), "a value stands where it says");
        left.extend(inside(value));
    }
}

/// The values inside a value, each of which must be readable alone.
fn inside<'t, 'a>(value: Value<'t, 'a>) -> Vec<Value<'t, 'a>> {
    match value.kind() {
        Kind::Bytes => assert!(value.as_bytes().is_some_and(|b| value.raw().ends_with(b))),
        Kind::Integer => {
            assert!(value.as_int().is_some() || value.as_uint().is_some() || value.int().is_err())
        }
        Kind::List => return value.as_list().into_iter().flatten().collect(),
        Kind::Dict => {
            let entries = value.as_dict().into_iter().flat_map(|d| d.iter().collect::<Vec<_>>());
            return entries.map(|(_, inner)| inner).collect();
        }
    }
    Vec::new()
}

/// A handshake: read alike however much of it has come, written again as it came.
pub fn handshake(data: &[u8]) {
    let whole = Handshake::parse(data);
    for cut in 0..data.len().min(HANDSHAKE_BYTES) {
        let part = Handshake::parse(&data[..cut]);
        assert!(part.is_ok() || part == whole, "a part is refused only for what refuses the whole");
        assert!(!part.is_ok_and(|p| p.whole().is_some()), "no handshake is whole before its last byte");
    }
    let Some(handshake) = whole.ok().and_then(|partial| partial.whole()) else { return };
    assert_eq!(handshake.encode(), data[..HANDSHAKE_BYTES], "a handshake survives reading and writing");
    let _ = peer_id::client(handshake.peer_id);
}

/// A stream of messages, as a session cuts it: each that is accepted is written again as it came.
pub fn messages(mut data: &[u8]) {
    while let Ok(Some(header)) = Header::parse(data) {
        let whole = header.bytes() as u64 + u64::from(header.body_bytes());
        let Some((bytes, rest)) = usize::try_from(whole).ok().and_then(|n| data.split_at_checked(n)) else {
            return;
        };
        let message = match header {
            Header::KeepAlive => Ok(Message::KeepAlive),
            Header::Piece { .. } | Header::Other { .. } => Message::parse(bytes[4], &bytes[5..]),
        };
        let message = message.expect("a header that is accepted has a body that is");
        let mut written = Vec::new();
        message.encode(&mut written);
        assert!(written == bytes || matches!(message, Message::Unknown(_)), "{message:?} survives");
        data = rest;
    }
}

/// An extension handshake (BEP 10): what is understood is written and understood again.
pub fn extension_handshake(data: &[u8]) {
    let Ok(read) = ExtensionHandshake::parse(data) else { return };
    let once = ExtensionHandshake::parse(&read.encode()).expect("what we write can be read");
    let twice = ExtensionHandshake::parse(&once.encode()).expect("what we write can be read");
    assert_eq!(once, twice, "writing settles");
}

/// A message of `ut_metadata` (BEP 9), its data behind its dictionary.
pub fn metadata_message(data: &[u8]) {
    match MetadataMessage::parse(data) {
        Err(_) | Ok(MetadataMessage::Unknown) => {}
        Ok(message) => {
            assert_eq!(MetadataMessage::parse(&message.encode()), Ok(message), "a message survives");
        }
    }
}

/// What a UDP tracker sent (BEP 15), read as an answer over either family.
pub fn tracker_udp_reply(data: &[u8]) {
    let Ok((_, reply)) = read_reply(data) else { return };
    let limits = AnswerLimits::default();
    match reply {
        Reply::Announced(announced) => {
            for family in [Family::V4, Family::V6] {
                let answer = announced.answer(family, &limits);
                assert!(answer.peers.len() <= limits.peers_max, "no more peers than the limit");
                let bounds = limits.interval_min_s..=limits.interval_max_s;
                assert!(bounds.contains(&answer.interval_s), "an interval within bounds");
            }
        }
        Reply::Scraped(packed) => assert!(scrape_counts(packed).count() <= packed.len() / 12),
        Reply::Connected(_) | Reply::Failed(_) => {}
    }
}

/// What a client sent to a UDP tracker (BEP 15, BEP 41).
pub fn tracker_udp_request(data: &[u8]) {
    match read_request(data) {
        Ok(Request::Announce { url_data, .. }) => assert!(url_data.len() <= data.len()),
        Ok(Request::Scrape { info_hashes, .. }) => assert!(info_hashes.len() <= data.len() / 20),
        Ok(Request::Connect { .. }) | Err(_) => {}
    }
}

/// The query of an announce or a scrape, as a tracker's server gets it.
pub fn tracker_http_query(data: &[u8]) {
    let _ = read_announce(data);
    if let Ok(hashes) = read_scrape(data) {
        assert!(hashes.len() * 20 <= data.len(), "each hash was paid for in bytes");
    }
}

/// A tracker's URL out of a torrent or a magnet link.
pub fn tracker_url(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(url) = TrackerUrl::parse(text) else { return };
    assert!(text.contains(url.host) && !url.host.is_empty(), "the host stands in the text");
    let _ = (url.host_address(), url.is_loopback(), scrape_url(&url, &[]));
}

/// What an HTTP tracker answered (BEP 3, 7, 23, 24, 31, 48).
pub fn tracker_http_answer(data: &[u8]) {
    let limits = AnswerLimits::default();
    if let Ok(answer) = tracker_http::read_announce(data, &limits) {
        assert!(answer.peers.len() <= limits.peers_max, "no more peers than the limit");
        let bounds = limits.interval_min_s..=limits.interval_max_s;
        assert!(bounds.contains(&answer.interval_s), "an interval within bounds");
        assert!(answer.warning.is_none_or(|text| !text.contains(char::is_control)), "no control characters");
    }
    let asked = [InfoHash([b'a'; 20]), InfoHash([0; 20])];
    if let Ok(counts) = tracker_http::read_scrape(data, &asked, &limits) {
        assert_eq!(counts.len(), asked.len(), "an entry for each that was asked for");
    }
}

/// A torrent file from a stranger.
pub fn metainfo(data: &[u8]) {
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    sound(&metainfo.info);
    assert!(metainfo.trackers.iter().all(|tier| !tier.is_empty()), "no tier without a tracker");
}

/// An info dictionary as peers bring it (BEP 9): the info-hash vouches for the bytes, not for their sense.
pub fn info(data: &[u8]) {
    let Ok(info) = Info::parse(data) else { return };
    assert_eq!(&info.raw()[..], data, "what BEP 9 serves is what came");
    sound(&info);
}

/// What must hold of every torrent that is accepted.
fn sound(info: &Info) {
    let again = Info::parse(info.raw()).expect("its own bytes are read again");
    assert!(again.hashes().eq(info.hashes()), "the same bytes have the same names");
    let mut seen = BTreeSet::new();
    for (_, file) in info.real_files() {
        let stored: Vec<&str> = info.storage_path(file).collect();
        assert!(!stored.is_empty(), "a file has a name");
        for part in &stored {
            let leaves = part.is_empty() || *part == "." || *part == ".." || part.contains(['/', '\0']);
            assert!(!leaves && part.len() <= COMPONENT_BYTES_MAX, "{part:?} stays in its folder");
        }
        assert!(seen.insert(stored), "no two files share a path");
        assert!(file.offset.checked_add(file.length).is_some_and(|end| end <= info.geometry().span()));
    }
    let geometry = info.geometry();
    for piece in [0, 1, 2, geometry.pieces().saturating_sub(1)] {
        let Some(piece) = geometry.piece(piece) else { continue };
        let _ = info.v2_piece(piece);
        let length = geometry.padded_length(piece);
        let parts = info.extents(geometry.start(piece), length);
        let bytes: u64 = parts.map(|part| u64::from(covered(info, &part))).sum();
        assert_eq!(bytes, u64::from(length), "a piece is covered by files and pad");
    }
}

fn covered(info: &Info, part: &Part) -> u32 {
    match part {
        Part::Pad(length) => *length,
        Part::Stored(extent) => {
            let file = &info.files()[extent.file as usize];
            assert!(!file.attributes.pad, "pad is not stored");
            assert!(extent.offset + u64::from(extent.length) <= file.length, "an extent lies in its file");
            extent.length
        }
    }
}

/// A file's name out of a torrent: whatever it is, it becomes one that stays in its folder, and stays the same then.
pub fn path(data: &[u8]) {
    for rules in [PathRules::PORTABLE, PathRules::UNIX] {
        let name = component(data, rules);
        assert!(!name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']), "{name:?}");
        assert!(name.len() <= COMPONENT_BYTES_MAX, "a name that file systems take");
        assert_eq!(component(name.as_bytes(), rules), name, "a safe name is left alone");
    }
}

/// Escapes: any text is read, any bytes are written so that they are read again.
pub fn percent(data: &[u8]) {
    let mut written = String::new();
    escapes::encode_into(&mut written, data);
    assert_eq!(escapes::decode(&written), data, "bytes survive being escaped");
    if let Ok(text) = core::str::from_utf8(data) {
        assert!(escapes::decode(text).len() <= text.len(), "escapes never grow when read");
    }
}

/// A link to what a key names (BEP 46): what is understood is written and understood again.
pub fn key_link(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Some(link) = KeyLink::parse(text) else { return };
    assert_eq!(KeyLink::parse(&link.to_string()), Some(link), "{text}");
}

/// A magnet link: what is understood is written and understood again.
pub fn magnet(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(magnet) = Magnet::parse(text) else { return };
    assert!(magnet.hashes().next().is_some(), "a link names its torrent");
    assert!(magnet.trackers.len() <= MAGNET_VALUES_MAX && magnet.web_seeds.len() <= MAGNET_VALUES_MAX);
    let written = magnet.to_string();
    assert_eq!(Magnet::parse(&written).as_ref(), Ok(&magnet), "{written}");
}

/// Resume data: the bytes as they are, and as the body of a frame whose checksum is right. What is taken is what we
/// would write.
pub fn resume(data: &[u8]) {
    let mut framed = b"millstream resume\n".to_vec();
    framed.extend_from_slice(&(data.len() as u64).to_be_bytes());
    framed.extend_from_slice(data);
    framed.extend_from_slice(&Sha256::digest(&framed));
    for bytes in [data, framed.as_slice()] {
        if let Ok(resume) = saved::decode(bytes) {
            assert_eq!(saved::encode(&resume), bytes, "what is taken is what we would write");
        }
    }
}

/// A tracker asked one thing after another, a line each, by two hosts: every answer can be read, every bound holds.
pub fn tracker_server(data: &[u8]) {
    let config = TrackerConfig { torrents_max: 4, peers_per_torrent_max: 4, ..TrackerConfig::default() };
    let mut tracker = Tracker::new(config, [7; 32]);
    let hosts: [SocketAddr; 2] =
        [([192, 0, 2, 1], 50_000).into(), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 50_000).into()];
    let mut now = Instant::ZERO;
    for (n, target) in data.split(|&b| b == b'\n').enumerate() {
        let answer = http::answer(now, &mut tracker, target, hosts[n % 2]);
        assert!(
            answer.status != 200 || Document::decode(&answer.body).is_ok_and(|d| d.dict().is_ok()),
            "bencode"
        );
        assert!(tracker.statistics().torrents <= config.torrents_max, "no more torrents than the limit");
        now += Duration::from_secs(60);
        tracker.on_timeout(now);
    }
    while let Some(due) = tracker.deadline() {
        now = now.max(due);
        tracker.on_timeout(now);
    }
    assert_eq!(tracker.statistics().torrents, 0, "who is not heard is forgotten");
}
