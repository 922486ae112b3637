//! News and snapshots laid flat: a kind, numbers and texts. `js/engine.mjs` reads them in the same order.

use crate::effects::Flat;
use crate::fault::number;
use core::net::SocketAddr;
use millstream_core::engine::{Event, State, Status, TorrentEvent};

/// The event laid flat.
pub(crate) fn flat(event: Event) -> Flat {
    let plain = |kind, numbers| Flat { kind, numbers, ..Flat::default() };
    match event {
        Event::Torrent(id, news) => torrent(number(id.0), news),
        Event::Listening(local, addr) => at("listening", number(local.0), addr),
        Event::Pool(change) => {
            plain("poolChanged", vec![number(change.from as u64), number(change.to as u64)])
        }
        Event::Lagged(count) => plain("lagged", vec![number(count)]),
        Event::Stopped => plain("stopped", Vec::new()),
        // No browser has datagrams: nobody asks, and nothing is found.
        Event::Dht(_) => plain("dht", Vec::new()),
    }
}

fn torrent(id: f64, news: TorrentEvent) -> Flat {
    let plain = |kind| Flat { kind, numbers: vec![id], ..Flat::default() };
    let said = |kind, texts| Flat { kind, numbers: vec![id], texts, ..Flat::default() };
    match news {
        TorrentEvent::Metadata(_) => plain("metadata"),
        TorrentEvent::Checked => plain("checked"),
        TorrentEvent::Progress => plain("progress"),
        TorrentEvent::Verified(piece) => {
            Flat { numbers: vec![id, f64::from(piece.get())], ..plain("pieceVerified") }
        }
        TorrentEvent::Completed => plain("completed"),
        TorrentEvent::Peer { addr, joined: true } => at("peerJoined", id, addr),
        TorrentEvent::Peer { addr, joined: false } => at("peerLeft", id, addr),
        TorrentEvent::TrackerAnswered { url, peers } => {
            let numbers = vec![id, peers as f64];
            Flat { numbers, ..said("trackerAnswered", vec![String::from(&*url)]) }
        }
        TorrentEvent::TrackerFailed { url, error } => said("trackerFailed", vec![String::from(&*url), error]),
        TorrentEvent::Scraped { url, seeds, leeches, downloaded } => {
            let counts = [seeds, leeches, downloaded].map(f64::from);
            let numbers = [[id].as_slice(), &counts].concat();
            Flat { numbers, ..said("scraped", vec![String::from(&*url)]) }
        }
        TorrentEvent::UpdateAvailable { torrent, signed } => {
            let numbers = vec![id, f64::from(u8::from(signed))];
            Flat { numbers, data: torrent.to_vec(), ..plain("updateAvailable") }
        }
        TorrentEvent::Banned { addr, reason } => {
            let mut flat = at("banned", id, addr);
            flat.texts.push(reason);
            flat
        }
        TorrentEvent::Warning(message) => said("warned", vec![message]),
        TorrentEvent::Failed(reason) => said("torrentFailed", vec![reason]),
        TorrentEvent::Saved => plain("resumeSaved"),
        TorrentEvent::Removed => plain("removed"),
    }
}

fn at(kind: &'static str, id: f64, addr: SocketAddr) -> Flat {
    Flat { kind, numbers: vec![id], texts: vec![addr.to_string()], ..Flat::default() }
}

/// The numbers of a torrent's snapshot.
pub(crate) fn status_numbers(status: &Status) -> Vec<f64> {
    let mut numbers = vec![number(status.length), number(status.wanted), number(status.verified)];
    numbers.extend([f64::from(status.pieces), f64::from(status.pieces_verified)]);
    numbers.extend([number(status.checked.0), number(status.checked.1)]);
    numbers.extend([status.downloaded, status.uploaded, status.wasted].map(number));
    numbers.extend([number(status.download_rate), number(status.upload_rate)]);
    numbers.extend([status.peers, status.seeds, status.known].map(f64::from));
    numbers
}

/// The texts of a torrent's snapshot: state, name, the two info-hashes in hex or nothing, failure or nothing.
pub(crate) fn status_texts(status: &Status) -> Vec<String> {
    let state = match status.state {
        State::Metadata => "metadata",
        State::Checking => "checking",
        State::Leeching => "leeching",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed => "failed",
        State::Stopping => "stopping",
    };
    vec![
        state.to_owned(),
        String::from(&*status.name),
        status.info_hash_v1.map_or_else(String::new, |hash| hex(&hash.0)),
        status.info_hash_v2.map_or_else(String::new, |hash| hex(&hash.0)),
        status.failure.clone().unwrap_or_default(),
    ]
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
