//! The server's side of the HTTP tracker protocol (BEP 3, 7, 23, 24, 31, 48): query strings to values, answers to
//! bencode. No swarms: see the `tracker` room.

use super::tracker::{AnnounceQuery, SwarmCounts, TrackerEvent, write_compact};
use super::{InfoHash, PeerId};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use bendy::encoding::{AsString, Encoder, Error, SingleItemEncoder, SortedDictEncoder};
use core::net::{IpAddr, SocketAddr};

/// Info hashes read from one scrape; the rest is ignored.
pub const SCRAPE_HASHES_MAX: usize = 128;
/// Bytes of a query that are read; a longer one is an error.
pub const QUERY_BYTES_MAX: usize = 8192;

/// What is wrong with a request. The client is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query is longer than [`QUERY_BYTES_MAX`].
    #[error("the query is too long")]
    Long,
    /// A parameter that must be there is not.
    #[error("missing {key}")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A parameter can't be read.
    #[error("bad {key} at offset {offset}")]
    Malformed {
        /// Which.
        key: &'static str,
        /// Where its value begins in the query.
        offset: usize,
    },
}

/// An announce as it came, what it says apart from how it wants its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnnounce {
    /// What it says. `left` is `None` if it was not told.
    pub query: AnnounceQuery,
    /// Whether peers are wanted packed (BEP 23).
    pub compact: bool,
    /// Whether peer ids may be left out of a list that is not packed.
    pub no_peer_id: bool,
}

/// Reads the query of an announce: what follows the `?`.
pub fn read_announce(query: &[u8]) -> Result<HttpAnnounce, QueryError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(QueryError::Long);
    }
    let mut info_hash = None;
    let mut peer_id = None;
    let mut port = None;
    let mut out = HttpAnnounce {
        query: AnnounceQuery {
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: None,
            event: TrackerEvent::None,
            numwant: None,
            key: 0,
        },
        // What nearly every client reads and most ask for; who wants the long form says so.
        compact: true,
        no_peer_id: false,
    };
    for pair in pairs(query) {
        match pair.key {
            b"info_hash" => info_hash = Some(pair.array("info_hash")?),
            b"peer_id" => peer_id = Some(pair.array("peer_id")?),
            b"port" => {
                let number = pair.number("port")?;
                let malformed = QueryError::Malformed { key: "port", offset: pair.offset };
                port = Some(u16::try_from(number).map_err(|_| malformed)?);
            }
            b"uploaded" => out.query.uploaded = pair.number("uploaded")?,
            b"downloaded" => out.query.downloaded = pair.number("downloaded")?,
            b"left" => out.query.left = Some(pair.number("left")?),
            // -1 is sent by some for the tracker's default.
            b"numwant" => out.query.numwant = pair.number("numwant").ok().map(saturate),
            b"key" => out.query.key = pair.key_number(),
            b"compact" => out.compact = pair.value != b"0",
            b"no_peer_id" => out.no_peer_id = pair.value != b"0",
            b"event" => out.query.event = pair.event(),
            _ => {}
        }
    }
    out.query.info_hash = InfoHash(info_hash.ok_or(QueryError::Missing { key: "info_hash" })?);
    out.query.peer_id = PeerId(peer_id.ok_or(QueryError::Missing { key: "peer_id" })?);
    out.query.port = port.ok_or(QueryError::Missing { key: "port" })?;
    Ok(out)
}

/// Reads the query of a scrape (BEP 48): its info hashes, in order, at most [`SCRAPE_HASHES_MAX`]; empty if it names none.
pub fn read_scrape(query: &[u8]) -> Result<Vec<InfoHash>, QueryError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(QueryError::Long);
    }
    let mut out = Vec::new();
    for pair in pairs(query) {
        if pair.key == b"info_hash" && out.len() < SCRAPE_HASHES_MAX {
            out.push(InfoHash(pair.array("info_hash")?));
        }
    }
    Ok(out)
}

/// One `key=value` of a query, still percent-encoded.
struct Pair<'a> {
    key: &'a [u8],
    value: &'a [u8],
    offset: usize,
}

fn pairs(query: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let mut offset = 0;
    query.split(|&b| b == b'&').map(move |part| {
        let mut sides = part.splitn(2, |&b| b == b'=');
        let key = sides.next().unwrap_or_default();
        let at = offset + (key.len() + 1).min(part.len());
        offset += part.len() + 1;
        Pair { key, value: sides.next().unwrap_or_default(), offset: at }
    })
}

impl Pair<'_> {
    fn array(&self, key: &'static str) -> Result<[u8; 20], QueryError> {
        let malformed = QueryError::Malformed { key, offset: self.offset };
        let mut out = [0; 20];
        let mut bytes = decoded(self.value);
        for slot in &mut out {
            *slot = bytes.next().flatten().ok_or(malformed)?;
        }
        if bytes.next().is_some() { Err(malformed) } else { Ok(out) }
    }

    fn number(&self, key: &'static str) -> Result<u64, QueryError> {
        let malformed = QueryError::Malformed { key, offset: self.offset };
        if self.value.is_empty() || self.value.len() > 20 {
            return Err(malformed);
        }
        self.value.iter().try_fold(0u64, |n, &digit| {
            let digit = char::from(digit).to_digit(10).ok_or(malformed)?;
            n.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or(malformed)
        })
    }

    /// A key is any text; the first 8 hexadecimal digits are what most clients send, anything else is folded.
    fn key_number(&self) -> u32 {
        let text = core::str::from_utf8(self.value).unwrap_or_default();
        u32::from_str_radix(text, 16).unwrap_or_else(|_| {
            self.value.iter().take(64).fold(0, |key: u32, &b| key.rotate_left(5) ^ u32::from(b))
        })
    }

    /// BEP 21's `paused`, and what nobody knows, are regular announces.
    fn event(&self) -> TrackerEvent {
        match self.value {
            b"started" => TrackerEvent::Started,
            b"completed" => TrackerEvent::Completed,
            b"stopped" => TrackerEvent::Stopped,
            _ => TrackerEvent::None,
        }
    }
}

fn saturate(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The bytes of a percent-encoded value; `None` for a `%` without two digits.
fn decoded(value: &[u8]) -> impl Iterator<Item = Option<u8>> + '_ {
    let mut bytes = value.iter();
    core::iter::from_fn(move || {
        Some(match *bytes.next()? {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                let high = digit();
                let low = digit();
                high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            b'+' => Some(b' '),
            byte => Some(byte),
        })
    })
}

/// What a server answers to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// Seconds until the next regular announce.
    pub interval_s: u32,
    /// Seconds before which no announce is wanted.
    pub min_interval_s: Option<u32>,
    /// How many are in the swarm.
    pub counts: SwarmCounts,
    /// Some of them. Without an id, a list that is not packed has none for that peer.
    pub peers: Vec<(SocketAddr, Option<PeerId>)>,
    /// The client's address as the server sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// To be sent back by the client.
    pub tracker_id: Option<Vec<u8>>,
    /// For the user.
    pub warning: Option<alloc::string::String>,
}

/// When to come again after a failure (BEP 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryIn {
    /// In so many minutes.
    Minutes(u32),
    /// Never: this is no tracker, or not for this torrent.
    Never,
}

/// Bencodes an answer to an announce: peers packed (BEP 23, 7), or as dictionaries (BEP 3), with ids unless `no_peer_id`.
pub fn write_announce(response: &AnnounceResponse, compact: bool, no_peer_id: bool) -> Vec<u8> {
    let counts = &response.counts;
    finished(|e| {
        e.emit_pair(b"complete", counts.complete)?;
        e.emit_pair(b"downloaded", counts.downloaded)?;
        match response.external_ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => e.emit_pair(b"external ip", AsString(ip.octets()))?,
            Some(IpAddr::V6(ip)) => e.emit_pair(b"external ip", AsString(ip.octets()))?,
            None => {}
        }
        e.emit_pair(b"incomplete", counts.incomplete)?;
        e.emit_pair(b"interval", response.interval_s)?;
        if let Some(seconds) = response.min_interval_s {
            e.emit_pair(b"min interval", seconds)?;
        }
        if compact {
            let (v4, v6) = packed(&response.peers);
            e.emit_pair(b"peers", AsString(v4))?;
            if !v6.is_empty() {
                e.emit_pair(b"peers6", AsString(v6))?;
            }
        } else {
            e.emit_pair_with(b"peers", |e| write_peer_list(e, &response.peers, no_peer_id))?;
        }
        if let Some(id) = &response.tracker_id {
            e.emit_pair(b"tracker id", AsString(id))?;
        }
        if let Some(warning) = &response.warning {
            e.emit_pair(b"warning message", warning)?;
        }
        Ok(())
    })
}

fn packed(peers: &[(SocketAddr, Option<PeerId>)]) -> (Vec<u8>, Vec<u8>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (addr, _) in peers {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        write_compact(if addr.is_ipv4() { &mut v4 } else { &mut v6 }, addr);
    }
    (v4, v6)
}

fn write_peer_list(
    e: SingleItemEncoder<'_>,
    peers: &[(SocketAddr, Option<PeerId>)],
    no_peer_id: bool,
) -> Result<(), Error> {
    e.emit_list(|e| {
        peers.iter().try_for_each(|(addr, id)| {
            e.emit_dict(|mut e| {
                e.emit_pair(b"ip", addr.ip().to_canonical().to_string())?;
                if let Some(id) = id.filter(|_| !no_peer_id) {
                    e.emit_pair(b"peer id", AsString(id.0))?;
                }
                e.emit_pair(b"port", addr.port())
            })
        })
    })
}

/// Bencodes a refusal (BEP 3, 31).
pub fn write_failure(reason: &str, retry: Option<RetryIn>) -> Vec<u8> {
    finished(|e| {
        e.emit_pair(b"failure reason", reason)?;
        match retry {
            Some(RetryIn::Minutes(minutes)) => e.emit_pair(b"retry in", minutes.to_string()),
            Some(RetryIn::Never) => e.emit_pair(b"retry in", "never"),
            None => Ok(()),
        }
    })
}

/// Bencodes an answer to a scrape (BEP 48). Hashes that come twice are written once.
pub fn write_scrape(files: &[(InfoHash, SwarmCounts)]) -> Vec<u8> {
    let mut sorted = files.to_vec();
    sorted.sort_by_key(|(hash, _)| *hash);
    sorted.dedup_by_key(|(hash, _)| *hash);
    finished(|e| {
        e.emit_pair_with(b"files", |e| {
            e.emit_dict(|mut e| {
                sorted.iter().try_for_each(|(hash, counts)| {
                    e.emit_pair_with(&hash.0, |e| {
                        e.emit_dict(|mut e| {
                            e.emit_pair(b"complete", counts.complete)?;
                            e.emit_pair(b"downloaded", counts.downloaded)?;
                            e.emit_pair(b"incomplete", counts.incomplete)
                        })
                    })
                })
            })
        })
    })
}

fn finished(content: impl FnOnce(&mut SortedDictEncoder<'_>) -> Result<(), Error>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder
        .emit_dict(|mut e| content(&mut e))
        .and_then(|()| encoder.get_output())
        .expect("the keys above are written in order, and nothing else can fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use std::string::String;
    use std::vec;

    const QUERY: &str = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-MS0100-abcdefghijkl\
        &port=6881&uploaded=1&downloaded=2&left=3&compact=1&numwant=50&event=started&key=0badcafe&x=y";

    #[test]
    fn bep_0003_an_announce_is_read_with_its_binary_hash() {
        let read = read_announce(QUERY.as_bytes()).unwrap();
        assert_eq!(std::format!("{}", read.query.info_hash), "123456789abcdef123456789abcdef123456789a");
        assert_eq!(read.query.peer_id, PeerId(*b"-MS0100-abcdefghijkl"));
        assert_eq!((read.query.port, read.query.uploaded, read.query.downloaded), (6881, 1, 2));
        assert_eq!((read.query.left, read.query.numwant), (Some(3), Some(50)));
        assert_eq!((read.query.event, read.query.key), (TrackerEvent::Started, 0x0bad_cafe));
        assert!(read.compact && !read.no_peer_id);
    }

    #[test]
    fn a_bad_parameter_is_named_with_its_place() {
        let bad = QUERY.replace("port=6881", "port=66666");
        let offset = bad.find("66666").unwrap();
        assert_eq!(read_announce(bad.as_bytes()), Err(QueryError::Malformed { key: "port", offset }));
        let bad = QUERY.replace("&peer_id", "&peer");
        assert_eq!(read_announce(bad.as_bytes()), Err(QueryError::Missing { key: "peer_id" }));
        for hash in [
            "info_hash=abc",
            "info_hash=%1",
            "info_hash=aaaaaaaaaaaaaaaaaaaaa",
            "info_hash=%zzaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(
                read_announce(hash.as_bytes()),
                Err(QueryError::Malformed { key: "info_hash", offset: 10 })
            );
        }
        assert_eq!(read_announce(&vec![b'&'; QUERY_BYTES_MAX + 1]), Err(QueryError::Long));
    }

    #[test]
    fn numwant_minus_one_is_the_trackers_default() {
        let query = QUERY.replace("numwant=50", "numwant=-1");
        assert_eq!(read_announce(query.as_bytes()).unwrap().query.numwant, None);
    }

    #[test]
    fn bep_0048_a_scrape_names_many_torrents() {
        let query = b"info_hash=xxxxxxxxxxxxxxxxxxxx&info_hash=yyyyyyyyyyyyyyyyyyyy";
        assert_eq!(read_scrape(query), Ok(vec![InfoHash([b'x'; 20]), InfoHash([b'y'; 20])]));
        assert_eq!(read_scrape(b""), Ok(vec![]));
    }

    #[test]
    fn bep_0048_the_response_of_its_example() {
        let files = [
            (InfoHash([b'y'; 20]), SwarmCounts { complete: 21, downloaded: 206, incomplete: 20 }),
            (InfoHash([b'x'; 20]), SwarmCounts { complete: 11, downloaded: 13772, incomplete: 19 }),
            (InfoHash([b'x'; 20]), SwarmCounts { complete: 11, downloaded: 13772, incomplete: 19 }),
        ];
        let expected = "d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee\
            20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee";
        assert_eq!(String::from_utf8(write_scrape(&files)).unwrap(), expected);
    }

    fn response() -> AnnounceResponse {
        AnnounceResponse {
            interval_s: 1800,
            peers: vec![
                ("105.105.105.105:28784".parse().unwrap(), Some(PeerId([b'p'; 20]))),
                ("[6969:6969:6969:6969:6969:6969:6969:6969]:28784".parse().unwrap(), None),
            ],
            ..AnnounceResponse::default()
        }
    }

    #[test]
    fn bep_0007_and_0023_peers_are_packed_by_family() {
        let text = String::from_utf8(write_announce(&response(), true, false)).unwrap();
        assert_eq!(
            text,
            "d8:completei0e10:downloadedi0e10:incompletei0e8:intervali1800e5:peers6:iiiipp\
             6:peers618:iiiiiiiiiiiiiiiippe"
        );
    }

    #[test]
    fn bep_0003_peers_are_dictionaries_for_who_wants_them() {
        let text = String::from_utf8(write_announce(&response(), false, false)).unwrap();
        assert!(text.contains(
            "5:peersld2:ip15:105.105.105.1057:peer id20:pppppppppppppppppppp4:porti28784eed2:ip39:"
        ));
        let text = String::from_utf8(write_announce(&response(), false, true)).unwrap();
        assert!(!text.contains("peer id"));
    }

    #[test]
    fn bep_0031_a_failure_says_when_to_retry() {
        assert_eq!(
            write_failure("Not a tracker", Some(RetryIn::Never)),
            b"d14:failure reason13:Not a tracker8:retry in5:nevere"
        );
        assert_eq!(
            write_failure("busy", Some(RetryIn::Minutes(5))),
            b"d14:failure reason4:busy8:retry in1:5e"
        );
    }

    #[test]
    fn mutated_queries_never_panic() {
        let mut rng = Rng::new([3; 32]);
        for _ in 0..20_000 {
            let mut query = QUERY.as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.index(query.len()).unwrap();
                query[at] = *b"%&=+\0z9-".get(rng.index(8).unwrap()).unwrap();
            }
            query.truncate(rng.below(query.len() as u64 + 1) as usize);
            let _ = read_announce(&query);
            assert!(read_scrape(&query).map_or(0, |hashes| hashes.len()) <= SCRAPE_HASHES_MAX);
        }
    }
}
