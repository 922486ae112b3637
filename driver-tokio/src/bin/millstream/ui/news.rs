//! News of a transfer: their shape with `--json`, and their words without.

use super::text;
use core::net::SocketAddr;
use millstream::core::engine::{self, FilterCounts};
use millstream::{SessionStatistics, State, Status};
use serde::Serialize;

/// One line of `--json`.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(flatten)]
    pub(crate) news: News<'a>,
    /// Which torrent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    /// Which node of the demo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<&'a str>,
}

/// What is told.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum News<'a> {
    /// A torrent was taken on.
    Added { info_hash_v1: Option<String>, info_hash_v2: Option<String> },
    /// The info dictionary is known and verified.
    Metadata { length: u64, pieces: u32, piece_length: u32, files: u64 },
    /// Peers can reach us here.
    Listening { address: SocketAddr },
    /// How far it is.
    Progress(Progress),
    /// All that is wanted is verified and written.
    Complete { verified: u64, downloaded: u64, uploaded: u64, seconds: f64 },
    /// There is a newer torrent (BEP 39); `signed` by the originator that this one names (BEP 35), and then `saved` here.
    Update { signed: bool, newer_v1: Option<String>, newer_v2: Option<String>, saved: Option<String> },
    /// A followed key names this torrent now (BEP 46).
    Followed { info_hash: String, seq: i64 },
    /// Something is amiss that doesn't stop it.
    Warning { message: &'a str },
    /// It can't go on.
    Error { message: &'a str },
    /// It has ended.
    Stopped {
        downloaded: u64,
        uploaded: u64,
        #[serde(flatten)]
        counts: Option<Counts>,
    },
}

/// Whence peers came, and whom the filter kept away.
#[derive(Serialize)]
pub(crate) struct Counts {
    /// Addresses of peers, by who told them.
    found: Found,
    /// What the filter of addresses refused.
    filtered: Filtered,
}

#[derive(Serialize)]
struct Found {
    user: u64,
    trackers: u64,
    incoming: u64,
    pex: u64,
    dht: u64,
    lsd: u64,
    resume: u64,
}

#[derive(Serialize)]
struct Filtered {
    addresses: u64,
    links_refused: u64,
    links_closed: u64,
    datagrams: u64,
}

impl Counts {
    pub(crate) fn of(statistics: &SessionStatistics) -> Self {
        let engine::Found { user, trackers, incoming, pex, dht, lsd, resume } = statistics.found;
        let FilterCounts { addresses, links_refused, links_closed, datagrams } = statistics.filter;
        Self {
            found: Found { user, trackers, incoming, pex, dht, lsd, resume },
            filtered: Filtered { addresses, links_refused, links_closed, datagrams },
        }
    }
}

/// How far a transfer is. What is verified is also written.
#[derive(Serialize)]
pub(crate) struct Progress {
    state: &'static str,
    /// Bytes of wanted pieces that are verified and written.
    verified: u64,
    /// Bytes of wanted pieces.
    wanted: u64,
    /// Bytes of all files.
    length: u64,
    pieces: u32,
    pieces_verified: u32,
    /// Bytes a second.
    download_rate: u64,
    upload_rate: u64,
    /// Payload bytes since the start.
    downloaded: u64,
    uploaded: u64,
    wasted: u64,
    peers: u32,
    seeds: u32,
    /// Stored bytes looked at so far, and to be looked at, while checking.
    checked: u64,
    to_check: u64,
    /// Seconds; `null` if nobody can tell.
    eta: Option<u64>,
}

impl Progress {
    pub(crate) fn of(status: &Status) -> Self {
        let left = status.wanted.saturating_sub(status.verified);
        let eta = match status.state {
            State::Seeding => Some(0),
            State::Leeching if left > 0 => left.checked_div(status.download_rate),
            State::Leeching
            | State::Metadata
            | State::Checking
            | State::Paused
            | State::Failed
            | State::Stopping => None,
        };
        Self {
            state: state(status.state),
            verified: status.verified,
            wanted: status.wanted,
            length: status.length,
            pieces: status.pieces,
            pieces_verified: status.pieces_verified,
            download_rate: status.download_rate,
            upload_rate: status.upload_rate,
            downloaded: status.downloaded,
            uploaded: status.uploaded,
            wasted: status.wasted,
            peers: status.peers,
            seeds: status.seeds,
            checked: status.checked.0,
            to_check: status.checked.1,
            eta,
        }
    }

    /// Done and all, of what goes on now.
    pub(crate) fn of_what(&self) -> (u64, u64) {
        if self.to_check > 0 && self.state == "checking" {
            (self.checked, self.to_check)
        } else {
            (self.verified, self.wanted)
        }
    }

    /// What stands behind a bar, and in a plain line.
    pub(crate) fn words(&self) -> String {
        let (done, all) = self.of_what();
        let percent = (u128::from(done) * 100).checked_div(u128::from(all)).unwrap_or(0);
        let down = text::rate(self.download_rate);
        let up = text::rate(self.upload_rate);
        let peers = text::count(u64::from(self.peers), "peer");
        let pieces = format!("{}/{} pieces", self.pieces_verified, self.pieces);
        match self.state {
            "metadata" => format!("asks for the metadata, {peers}"),
            "checking" => format!("checks {percent}% of {}", text::size(all)),
            "seeding" => format!("seeds, up {up}, {} sent, {peers}", text::size(self.uploaded)),
            _ => {
                let (all, eta) = (text::size(all), text::eta(self.eta));
                format!("{percent}% of {all}, down {down}, up {up}, ETA {eta}, {pieces}, {peers}")
            }
        }
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Metadata => "metadata",
        State::Checking => "checking",
        State::Leeching => "leeching",
        State::Seeding => "seeding",
        State::Paused => "paused",
        State::Failed => "failed",
        State::Stopping => "stopping",
    }
}

impl Line<'_> {
    /// The same in words; `None` if a person doesn't need it.
    pub(crate) fn text(&self) -> Option<String> {
        let words = match &self.news {
            News::Added { .. } => return None,
            News::Metadata { length, files, .. } => {
                format!("{} in {}", text::size(*length), text::count(*files, "file"))
            }
            News::Listening { address } => return Some(format!("listening at {address}")),
            News::Progress(progress) => progress.words(),
            News::Complete { verified, seconds, .. } => {
                format!("complete: {} verified in {seconds:.1} s", text::size(*verified))
            }
            News::Update { signed, newer_v1, newer_v2, saved } => {
                let hash = newer_v1.as_ref().or(newer_v2.as_ref()).map_or("", String::as_str);
                let by = if *signed { "signed by its originator" } else { "by nobody that is known" };
                let saved = saved.as_ref().map_or_else(String::new, |path| format!(", saved as {path}"));
                format!("there is a newer torrent, {by}: {hash}{saved}")
            }
            News::Followed { info_hash, seq } => format!("the key names {info_hash} (version {seq})"),
            News::Warning { message } => format!("warning: {message}"),
            // The process says it on stderr.
            News::Error { .. } => return None,
            News::Stopped { downloaded, uploaded, .. } => {
                let (received, sent) = (text::size(*downloaded), text::size(*uploaded));
                format!("stopped: {received} received, {sent} sent")
            }
        };
        Some(match self.node.or(self.name) {
            Some(who) => format!("{who}: {words}"),
            None => words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_event() {
        let line = |news| Line { news, name: Some("x"), node: None };
        let text = serde_json::to_string(&line(News::Warning { message: "m" })).unwrap();
        assert_eq!(text, r#"{"event":"warning","message":"m","name":"x"}"#);
        let address = "127.0.0.1:1".parse().unwrap();
        let text = serde_json::to_string(&Line { name: None, ..line(News::Listening { address }) }).unwrap();
        assert_eq!(text, r#"{"event":"listening","address":"127.0.0.1:1"}"#);
    }
}
