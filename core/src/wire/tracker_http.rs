//! What an HTTP tracker answers (BEP 3, 7, 23, 24, 31, 48): bencode from a stranger to bounded values. The URLs are
//! `tracker_url`'s, the server's side is `tracker_http_server`'s.

use super::InfoHash;
use super::bencode::{BencodeError, BencodeLimits, Dict, Document, Value};
use super::tracker::{AnnounceAnswer, AnswerLimits, Peers, SwarmCounts};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::tracker_http_server::RetryIn;

const INTERVAL_DEFAULT_S: i64 = 1800;
/// About nine thousand peers as dictionaries; more is no honest answer. 1 MiB while it is read.
const LIMITS: BencodeLimits = BencodeLimits { depth_max: 16, nodes_max: 65_536 };

/// Why an answer has no use. The tracker is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpAnswerError {
    /// It is not the bencode that an answer is.
    #[error("the tracker's answer is malformed: {0}")]
    Malformed(#[from] BencodeError),
    /// The tracker refuses, in its own words (BEP 3, 31).
    #[error("the tracker refuses: {reason}")]
    Failed {
        /// Its words, bounded, without control characters.
        reason: Box<str>,
        /// When to come again, if it says so.
        retry: Option<RetryIn>,
    },
}

/// Reads the answer to an announce. Peers of both families, packed or as dictionaries, are taken together under
/// `limits`; names instead of addresses are not, so that no tracker makes us look up names. A missing interval counts as
/// half an hour.
pub fn read_announce(body: &[u8], limits: &AnswerLimits) -> Result<AnnounceAnswer, HttpAnswerError> {
    let document = Document::decode_within(body, &LIMITS)?;
    let dict = document.dict()?;
    refuse_failure(dict, limits)?;
    let mut peers = Peers::new(limits);
    if let Some(value) = dict.get(b"peers") {
        match value.as_bytes() {
            Some(packed) => peers.push_compact_4(packed),
            None => push_list(&mut peers, value)?,
        }
    }
    if let Some(packed) = dict.bytes_opt("peers6")? {
        peers.push_compact_6(packed);
    }
    let count = |key| dict.int_opt(key).ok().flatten().and_then(|n| u32::try_from(n).ok());
    Ok(AnnounceAnswer {
        interval_s: limits.interval(dict.int_opt("interval")?.unwrap_or(INTERVAL_DEFAULT_S)),
        min_interval_s: dict.int_opt("min interval")?.map(|seconds| limits.interval(seconds)),
        complete: count("complete"),
        incomplete: count("incomplete"),
        downloaded: count("downloaded"),
        peers: peers.finish(),
        external_ip: dict.bytes_opt("external ip")?.and_then(address),
        tracker_id: dict
            .bytes_opt("tracker id")?
            .filter(|id| id.len() <= limits.text_bytes_max)
            .map(|id| id.into()),
        warning: dict.bytes_opt("warning message")?.map(|text| limits.text(text)),
    })
}

/// Reads the answer to a scrape, of the torrents in `asked` only, in their order. `None` for those it doesn't tell of.
pub fn read_scrape(
    body: &[u8],
    asked: &[InfoHash],
    limits: &AnswerLimits,
) -> Result<Vec<Option<SwarmCounts>>, HttpAnswerError> {
    let document = Document::decode_within(body, &LIMITS)?;
    let dict = document.dict()?;
    refuse_failure(dict, limits)?;
    let mut out = Vec::new();
    out.resize(asked.len(), None);
    for (hash, value) in dict.dict("files")?.iter() {
        let Ok(file) = value.dict() else { continue };
        let count = |key| {
            let n = file.int_opt(key).ok().flatten().unwrap_or(0);
            u32::try_from(n.max(0)).unwrap_or(u32::MAX)
        };
        for (asked, slot) in asked.iter().zip(&mut out) {
            if asked.0 == hash {
                *slot = Some(SwarmCounts {
                    complete: count("complete"),
                    downloaded: count("downloaded"),
                    incomplete: count("incomplete"),
                });
            }
        }
    }
    Ok(out)
}

fn refuse_failure(dict: Dict<'_, '_>, limits: &AnswerLimits) -> Result<(), HttpAnswerError> {
    let Some(reason) = dict.bytes_opt("failure reason")? else { return Ok(()) };
    let retry = dict.get(b"retry in").and_then(|value| match value.as_bytes() {
        Some(b"never") => Some(RetryIn::Never),
        Some(text) => core::str::from_utf8(text).ok()?.parse().ok().map(RetryIn::Minutes),
        None => value.as_int().and_then(|n| u32::try_from(n).ok()).map(RetryIn::Minutes),
    });
    Err(HttpAnswerError::Failed { reason: limits.text(reason), retry })
}

/// Peers as dictionaries (BEP 3). One that is malformed is passed over.
fn push_list(peers: &mut Peers<'_>, list: Value<'_, '_>) -> Result<(), BencodeError> {
    for item in list.list_of("peers")? {
        let Ok(peer) = item.dict() else { continue };
        let ip = peer.bytes_opt("ip").ok().flatten().and_then(|ip| core::str::from_utf8(ip).ok());
        let port = peer.int_opt("port").ok().flatten().and_then(|port| u16::try_from(port).ok());
        if let (Some(ip), Some(port)) = (ip.and_then(|ip| ip.parse::<IpAddr>().ok()), port)
            && !peers.push(ip, port)
        {
            break;
        }
    }
    Ok(())
}

/// An address in binary (BEP 24).
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(Ipv6Addr::from(v6)).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::super::bencode::BencodeErrorKind;
    use super::super::tracker_http_server as server;
    use super::*;
    use crate::base::Rng;
    use core::net::SocketAddr;
    use std::string::String;
    use std::vec;

    fn read(body: &[u8]) -> Result<AnnounceAnswer, HttpAnswerError> {
        read_announce(body, &AnswerLimits::default())
    }

    #[test]
    fn bep_0007_and_0023_the_example_of_the_text() {
        let answer = read(b"d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe").unwrap();
        let expected: [SocketAddr; 2] = [
            "105.105.105.105:28784".parse().unwrap(),
            "[6969:6969:6969:6969:6969:6969:6969:6969]:28784".parse().unwrap(),
        ];
        assert_eq!((answer.interval_s, answer.peers), (1800, expected.to_vec()));
    }

    #[test]
    fn bep_0003_a_list_of_dictionaries_in_any_order_of_keys_names_left_out() {
        let body = b"d5:peersld4:porti81e2:ip9:192.0.2.17:peer id20:aaaaaaaaaaaaaaaaaaaaed2:ip9:evil.test4:porti80ee\
            d2:ip11:2001:db8::14:porti5eei7ee8:intervali900ee";
        let answer = read(body).unwrap();
        let expected: [SocketAddr; 2] = ["192.0.2.1:81".parse().unwrap(), "[2001:db8::1]:5".parse().unwrap()];
        assert_eq!((answer.interval_s, answer.peers), (900, expected.to_vec()));
    }

    #[test]
    fn bep_0024_the_external_address_in_both_lengths() {
        assert_eq!(
            read(b"d11:external ip4:\xc0\x00\x02\x05e").unwrap().external_ip,
            Some("192.0.2.5".parse().unwrap())
        );
        assert_eq!(
            read(b"d11:external ip16:aaaaaaaaaaaaaaaae").unwrap().external_ip,
            Some("6161:6161:6161:6161:6161:6161:6161:6161".parse().unwrap())
        );
        assert_eq!(read(b"d11:external ip3:aaae").unwrap().external_ip, None);
    }

    #[test]
    fn bep_0031_a_refusal_says_when_to_come_again() {
        let failure = |body: &[u8]| match read(body) {
            Err(HttpAnswerError::Failed { reason, retry }) => (String::from(reason), retry),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            failure(&server::write_failure("busy", Some(RetryIn::Minutes(5)))),
            (String::from("busy"), Some(RetryIn::Minutes(5)))
        );
        assert_eq!(failure(b"d14:failure reason2:no8:retry in5:nevere").1, Some(RetryIn::Never));
        assert_eq!(failure(b"d14:failure reason2:no8:retry ini7ee").1, Some(RetryIn::Minutes(7)));
        assert_eq!(failure(b"d14:failure reason2:noe").1, None);
    }

    #[test]
    fn what_the_server_writes_the_client_reads() {
        let response = server::AnnounceResponse {
            interval_s: 1800,
            min_interval_s: Some(300),
            counts: SwarmCounts { complete: 1, downloaded: 2, incomplete: 3 },
            peers: vec![("192.0.2.1:9".parse().unwrap(), None), ("[2001:db8::1]:8".parse().unwrap(), None)],
            external_ip: Some("192.0.2.77".parse().unwrap()),
            tracker_id: Some(b"id".to_vec()),
            warning: Some("hm".into()),
        };
        for compact in [true, false] {
            let answer = read(&server::write_announce(&response, compact, true)).unwrap();
            assert_eq!((answer.interval_s, answer.min_interval_s), (1800, Some(300)));
            assert_eq!((answer.complete, answer.downloaded, answer.incomplete), (Some(1), Some(2), Some(3)));
            assert_eq!(answer.peers, [response.peers[0].0, response.peers[1].0]);
            assert_eq!(answer.external_ip, response.external_ip);
            assert_eq!(answer.tracker_id.as_deref(), Some(&b"id"[..]));
            assert_eq!(answer.warning.as_deref(), Some("hm"));
        }
    }

    #[test]
    fn bep_0048_a_scrape_is_read_for_what_was_asked() {
        let body = b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee\
            20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e10:incompletei20eeee";
        let asked = [InfoHash([b'y'; 20]), InfoHash([b'z'; 20])];
        let counts = SwarmCounts { complete: 21, downloaded: 206, incomplete: 20 };
        assert_eq!(read_scrape(body, &asked, &AnswerLimits::default()), Ok(vec![Some(counts), None]));
    }

    #[test]
    fn pitfall_20_hostile_numbers_are_clamped_and_a_flood_of_dictionaries_is_refused() {
        let answer = read(b"d8:completei-1e8:intervali0e12:min intervali99999999999e5:peers0:e").unwrap();
        assert_eq!((answer.interval_s, answer.min_interval_s, answer.complete), (60, Some(6 * 3600), None));
        let mut body = b"d5:peersl".to_vec();
        (0..70_000).for_each(|_| body.extend_from_slice(b"de"));
        body.extend_from_slice(b"ee");
        match read(&body) {
            Err(HttpAnswerError::Malformed(error)) => assert_eq!(error.kind, BencodeErrorKind::Nodes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_of_html_is_an_error_with_its_place() {
        match read(b"<html>") {
            Err(HttpAnswerError::Malformed(error)) => assert_eq!(error.offset, 0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mutated_answers_never_panic() {
        let mut rng = Rng::new([23; 32]);
        let body = b"d8:completei1e11:external ip4:aaaa8:intervali1800e5:peersld2:ip9:192.0.2.14:porti81eee\
            6:peers618:iiiiiiiiiiiiiiiipp10:tracker id2:id15:warning message2:hme";
        assert!(read(body).is_ok());
        for _ in 0..20_000 {
            let mut body = body.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.index(body.len()).unwrap();
                body[at] = rng.next_u32() as u8;
            }
            body.truncate(rng.below(body.len() as u64 * 2) as usize);
            let _ = read(&body);
            let _ = read_scrape(&body, &[InfoHash([1; 20])], &AnswerLimits::default());
        }
    }
}
