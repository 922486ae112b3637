//! Magnet links (BEP 9, BEP 46's `urn:btpk`, BEP 52's `urn:btmh`, BEP 53's `so`): read and written. What they name is fetched elsewhere.

use super::percent;
use super::{InfoHash, InfoHashV2};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;
use core::ops::RangeInclusive;
use thiserror::Error;

/// A longer link is refused unread. Bytes.
pub const MAGNET_BYTES_MAX: usize = 256 << 10;
/// Values of each kind that are kept; the rest is ignored.
pub const MAGNET_VALUES_MAX: usize = 1_000;

/// A magnet link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// `xt=urn:btih:`: the v1 info-hash.
    pub info_hash: Option<InfoHash>,
    /// `xt=urn:btmh:`: the v2 info-hash (BEP 52).
    pub info_hash_v2: Option<InfoHashV2>,
    /// `dn`: the name to show until the metadata is there. Not safe as a path.
    pub name: Option<String>,
    /// `tr`: trackers, each a tier of its own.
    pub trackers: Vec<String>,
    /// `ws`: web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// `x.pe`: peers, a host or address and its port.
    pub peers: Vec<(String, u16)>,
    /// `so`: the files wanted, counted among real files from 0 (BEP 53); sorted, joined, disjoint. Empty: all.
    pub select: Vec<RangeInclusive<u32>>,
    /// `xs`: where the torrent file itself may be had.
    pub exact_sources: Vec<String>,
    /// `as`: where it may be had if all else fails.
    pub acceptable_sources: Vec<String>,
}

/// Why a text is no magnet link.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MagnetError {
    /// It doesn't begin with `magnet:?`.
    #[error("a magnet link begins with `magnet:?`")]
    Scheme,
    /// Longer than `MAGNET_BYTES_MAX`.
    #[error("a magnet link of {0} bytes is too long")]
    TooLong(usize),
    /// No `xt` names a torrent.
    #[error("no `xt=urn:btih:` or `xt=urn:btmh:` names a torrent")]
    NoHash,
    /// A hash that is neither 40 hex digits nor 32 of base32.
    #[error("`{0}` is no info-hash: 40 hex digits or 32 of base32 are")]
    Hash(String),
    /// A hash that is no SHA-256 multihash.
    #[error("`{0}` is no v2 info-hash: `1220` and 64 hex digits are")]
    Multihash(String),
    /// Two different hashes of one version.
    #[error("two `xt` name different torrents")]
    TwoTorrents,
    /// A peer that is not `host:port`.
    #[error("`x.pe={0}` is not host:port")]
    Peer(String),
    /// `so` that is no list of numbers and upward ranges.
    #[error("`so={0}` is not a list of numbers and ranges")]
    Select(String),
}

impl Magnet {
    /// Reads a link. Unknown keys and other networks' `xt` are ignored.
    pub fn parse(link: &str) -> Result<Self, MagnetError> {
        if link.len() > MAGNET_BYTES_MAX {
            return Err(MagnetError::TooLong(link.len()));
        }
        let link = link.trim();
        let scheme = link.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("magnet:?"));
        let query = scheme.and_then(|_| link.get(8..)).ok_or(MagnetError::Scheme)?;
        let mut magnet = Self::default();
        for pair in query.split('&') {
            if let Some((key, value)) = pair.split_once('=') {
                magnet.take(key, value)?;
            }
        }
        if magnet.info_hash.is_none() && magnet.info_hash_v2.is_none() {
            return Err(MagnetError::NoHash);
        }
        Ok(magnet)
    }

    /// Every 20-byte hash that the torrent answers to: v1, then v2 truncated (BEP 52).
    pub fn hashes(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.info_hash.into_iter().chain(self.info_hash_v2.map(InfoHashV2::truncated))
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), MagnetError> {
        let value = String::from_utf8_lossy(&percent::decode(&value.replace('+', " "))).into_owned();
        // `tr.1=` is what `tr=` is; `x.pe` has a dot of its own
        let key = match key.split_once('.') {
            Some((stem, number)) if number.bytes().all(|b| b.is_ascii_digit()) => stem,
            Some(_) | None => key,
        };
        let keep = |list: &mut Vec<String>, value: String| {
            if !value.is_empty() && list.len() < MAGNET_VALUES_MAX && !list.contains(&value) {
                list.push(value);
            }
        };
        match key {
            "xt" => self.topic(&value)?,
            "dn" if self.name.is_none() => self.name = Some(value),
            "tr" => keep(&mut self.trackers, value),
            "ws" => keep(&mut self.web_seeds, value),
            "xs" => keep(&mut self.exact_sources, value),
            "as" => keep(&mut self.acceptable_sources, value),
            "x.pe" => {
                let peer = peer(&value).ok_or(MagnetError::Peer(value))?;
                if self.peers.len() < MAGNET_VALUES_MAX && !self.peers.contains(&peer) {
                    self.peers.push(peer);
                }
            }
            "so" => {
                let ranges = self.select.drain(..).chain(selected(&value)?).collect();
                self.select = joined(ranges);
            }
            _ => {}
        }
        Ok(())
    }

    fn topic(&mut self, topic: &str) -> Result<(), MagnetError> {
        let rest = |prefix: &str| {
            let head = topic.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix));
            head.and_then(|_| topic.get(prefix.len()..))
        };
        if let Some(hash) = rest("urn:btih:") {
            let found = btih(hash).ok_or_else(|| MagnetError::Hash(hash.to_owned()))?;
            if self.info_hash.replace(found).is_some_and(|before| before != found) {
                return Err(MagnetError::TwoTorrents);
            }
        } else if let Some(hash) = rest("urn:btmh:") {
            let digest = hash.strip_prefix("1220").and_then(unhex::<32>);
            let found = InfoHashV2(digest.ok_or_else(|| MagnetError::Multihash(hash.to_owned()))?);
            if self.info_hash_v2.replace(found).is_some_and(|before| before != found) {
                return Err(MagnetError::TwoTorrents);
            }
        }
        Ok(())
    }
}

/// A link to whatever torrent a key names now (BEP 46): `magnet:?xs=urn:btpk:` and the key, `s=` and the salt, in hex. It
/// names no torrent itself, and so is no [`Magnet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLink {
    /// The publisher's ed25519 public key.
    pub key: [u8; 32],
    /// The salt; empty if there is none.
    pub salt: Vec<u8>,
}

impl KeyLink {
    /// Reads a link; `None` if it has no key, or a salt that can't be one.
    pub fn parse(link: &str) -> Option<Self> {
        let link = link.trim();
        let query =
            link.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("magnet:?")).and(link.get(8..))?;
        let of = |wanted: &str| query.split('&').find_map(|pair| pair.strip_prefix(wanted));
        let key = unhex(percent_decoded(of("xs=")?).strip_prefix("urn:btpk:")?)?;
        let salt = of("s=").unwrap_or_default();
        let (pairs, rest) = salt.as_bytes().as_chunks::<2>();
        let byte = |&[high, low]: &[u8; 2]| Some(percent::hex(high)? << 4 | percent::hex(low)?);
        let salt: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
        (rest.is_empty() && salt.len() <= super::krpc::SALT_BYTES_MAX).then_some(Self { key, salt })
    }

    /// A key's link, and with it the torrent that the key was found to name: a magnet link that keeps the trackers, peers
    /// and all else that the key's link says.
    pub fn with_torrent(link: &str, info_hash: InfoHash) -> String {
        format!("{}&xt=urn:btih:{info_hash}", link.trim())
    }
}

impl fmt::Display for KeyLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex =
            |f: &mut fmt::Formatter<'_>, bytes: &[u8]| bytes.iter().try_for_each(|b| write!(f, "{b:02x}"));
        f.write_str("magnet:?xs=urn:btpk:")?;
        hex(f, &self.key)?;
        if self.salt.is_empty() {
            return Ok(());
        }
        f.write_str("&s=")?;
        hex(f, &self.salt)
    }
}

fn percent_decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode(text)).into_owned()
}

fn btih(hash: &str) -> Option<InfoHash> {
    unhex(hash).or_else(|| unbase32(hash)).map(InfoHash)
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut out = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in out.iter_mut().zip(pairs) {
        *byte = percent::hex(high)? << 4 | percent::hex(low)?;
    }
    Some(out)
}

/// 32 digits of RFC 4648's base32, in either case.
fn unbase32(text: &str) -> Option<[u8; 20]> {
    let mut out = [0; 20];
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    if eights.len() != 4 || !rest.is_empty() {
        return None;
    }
    for (bytes, digits) in out.as_chunks_mut::<5>().0.iter_mut().zip(eights) {
        let mut bits = 0_u64;
        for digit in digits {
            let value = match digit.to_ascii_uppercase() {
                letter @ b'A'..=b'Z' => letter - b'A',
                number @ b'2'..=b'7' => number - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        let [_, _, _, five @ ..] = bits.to_be_bytes();
        *bytes = five;
    }
    Some(out)
}

fn peer(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            address
        }
        None if host.contains(':') || host.is_empty() => return None,
        None => host,
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.contains(odd)).then(|| (host.to_owned(), port))
}

/// BEP 53: numbers and inclusive ranges, split by commas.
fn selected(text: &str) -> Result<Vec<RangeInclusive<u32>>, MagnetError> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |n: &str| n.bytes().all(|b| b.is_ascii_digit()).then(|| n.parse::<u32>().ok()).flatten();
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(first..=last)
    };
    text.split(',')
        .filter(|part| !part.is_empty())
        .take(MAGNET_VALUES_MAX)
        .map(|part| range(part).ok_or_else(|| MagnetError::Select(text.to_owned())))
        .collect()
}

/// Sorts ranges and joins those that touch.
fn joined(mut ranges: Vec<RangeInclusive<u32>>) -> Vec<RangeInclusive<u32>> {
    ranges.sort_by_key(|range| *range.start());
    ranges.truncate(MAGNET_VALUES_MAX);
    let mut out: Vec<RangeInclusive<u32>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            Some(_) | None => out.push(range),
        }
    }
    out
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields: Vec<(&str, String)> = Vec::new();
        let topics = [
            self.info_hash.map(|hash| alloc::format!("urn:btih:{hash}")),
            self.info_hash_v2.map(|hash| alloc::format!("urn:btmh:1220{hash}")),
        ];
        fields.extend(topics.into_iter().flatten().map(|topic| ("xt", topic)));
        let escaped = |text: &String| {
            let mut out = String::new();
            percent::encode_into(&mut out, text.as_bytes());
            out
        };
        fields.extend(self.name.iter().map(|name| ("dn", escaped(name))));
        let lists = [
            ("tr", &self.trackers),
            ("ws", &self.web_seeds),
            ("xs", &self.exact_sources),
            ("as", &self.acceptable_sources),
        ];
        for (key, list) in lists {
            fields.extend(list.iter().map(|value| (key, escaped(value))));
        }
        for (host, port) in &self.peers {
            let v6 = host.contains(':');
            fields.push((
                "x.pe",
                if v6 { alloc::format!("[{host}]:{port}") } else { alloc::format!("{host}:{port}") },
            ));
        }
        let ranges: Vec<String> = self.select.iter().map(range_text).collect();
        if !ranges.is_empty() {
            fields.push(("so", ranges.join(",")));
        }
        f.write_str("magnet:")?;
        for (n, (key, value)) in fields.iter().enumerate() {
            write!(f, "{}{key}={value}", if n == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

fn range_text(range: &RangeInclusive<u32>) -> String {
    match (range.start(), range.end()) {
        (first, last) if first == last => alloc::format!("{first}"),
        (first, last) => alloc::format!("{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0046_a_link_names_a_key_and_its_salt() {
        let key = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";
        let plain = format!("magnet:?xs=urn:btpk:{key}");
        let link = KeyLink::parse(&plain).unwrap();
        assert_eq!((link.key[0], link.salt.len(), link.to_string()), (0x85, 0, plain.clone()));
        let target = crate::wire::krpc::mutable_target(&link.key, &link.salt);
        assert_eq!(target.to_string(), "cc3f9d90b572172053626f9980ce261a850d050b");
        let salted = format!("{plain}&s=6e");
        let link = KeyLink::parse(&salted).unwrap();
        assert_eq!((&link.salt[..], link.to_string()), (&b"n"[..], salted));
        let target = crate::wire::krpc::mutable_target(&link.key, &link.salt);
        assert_eq!(target.to_string(), "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f");
        assert_eq!(KeyLink::parse(&plain.replace(':', "%3a").replacen("%3a", ":", 1)).unwrap().key, link.key);
        let long = "00".repeat(65);
        for bad in
            [&plain[..plain.len() - 1], &format!("{plain}&s=6"), &format!("{plain}&s={long}"), "magnet:?x"]
        {
            assert_eq!(KeyLink::parse(bad), None, "{bad}");
        }
        assert_eq!(Magnet::parse(&plain), Err(MagnetError::NoHash), "it names no torrent");
        let found =
            Magnet::parse(&KeyLink::with_torrent(&format!(" {plain}&tr=udp://t:1"), InfoHash([7; 20])));
        let found = found.unwrap();
        assert_eq!((found.info_hash, &*found.trackers[0]), (Some(InfoHash([7; 20])), "udp://t:1"));
    }
    use alloc::string::ToString;

    const V1: &str = "631a31dd0a46257d5078c0dee4e66e26f73e42ac";
    const V2: &str = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e";

    fn with(rest: &str) -> Result<Magnet, MagnetError> {
        Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}&{rest}"))
    }

    #[test]
    fn bep_0009_hex_and_base32_name_the_same_torrent() {
        let hex = Magnet::parse(&format!("magnet:?xt=urn:btih:{V1}")).unwrap();
        let base32 = Magnet::parse("MAGNET:?xt=urn:btih:MMNDDXIKIYSX2UDYYDPOJZTOE33T4QVM").unwrap();
        assert_eq!(hex, base32);
        assert_eq!(hex.info_hash.unwrap().to_string(), V1);
        let lower = Magnet::parse("magnet:?xt=urn:btih:mmnddxikiysx2udyydpojztoe33t4qvm").unwrap();
        assert_eq!(hex, lower);
    }

    #[test]
    fn bep_0052_a_hybrid_has_both_hashes() {
        let m = Magnet::parse(&format!(
            "magnet:?xt=urn:btih:{V1}&xt=urn:btmh:1220{V2}&dn=bittorrent-v1-v2-hybrid-test"
        ));
        let m = m.unwrap();
        assert_eq!(m.info_hash_v2.unwrap().to_string(), V2);
        let hashes: Vec<String> = m.hashes().map(|hash| hash.to_string()).collect();
        assert_eq!(hashes, [V1, &V2[..40]]);
        assert_eq!(Magnet::parse(&m.to_string()).unwrap(), m);
    }

    #[test]
    fn bep_0053_so_selects_files() {
        let m = with("so=0,2,4,6-8").unwrap();
        assert_eq!(m.select, [0..=0, 2..=2, 4..=4, 6..=8]);
        assert!(m.to_string().ends_with("&so=0,2,4,6-8"));
        assert_eq!(with("so=5-9,0-3,4,8-12").unwrap().select, [0..=12]);
        assert_eq!(with("so=0-4294967295").unwrap().select, [0..=u32::MAX]);
        assert!(with("").unwrap().select.is_empty(), "all of them");
        for bad in ["8-6", "a", "1-2-3", "-1", "+1", "4294967296"] {
            let bad = percent_plus(bad);
            assert!(matches!(with(&format!("so={bad}")), Err(MagnetError::Select(_))), "{bad}");
        }
    }

    fn percent_plus(text: &str) -> String {
        text.replace('+', "%2B")
    }

    #[test]
    fn peers_trackers_and_names_are_decoded() {
        let m = with(
            "dn=a%20b%26c+d&tr=http%3A%2F%2Ft%2Fa%3Fx%3D1&tr.2=udp://u:1&x.pe=[2001:db8::1]:6881&x.pe=1.2.3.4:5&x.pe=host.name:65535&ws=http://w/&xs=http://x&as=http://y&zz=1&&=&k",
        );
        let m = m.unwrap();
        assert_eq!(m.name.as_deref(), Some("a b&c d"));
        assert_eq!(m.trackers, ["http://t/a?x=1", "udp://u:1"]);
        let peers: Vec<_> = m.peers.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(peers, [("2001:db8::1", 6881), ("1.2.3.4", 5), ("host.name", 65535)]);
        assert_eq!(
            (&m.web_seeds[0][..], &m.exact_sources[0][..], &m.acceptable_sources[0][..]),
            ("http://w/", "http://x", "http://y")
        );
        assert_eq!(Magnet::parse(&m.to_string()).unwrap(), m);
        for bad in
            ["1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", ":1", "::1:5", "[::1:5", "[x]:5", "a/b:5", "a b:5"]
        {
            assert!(matches!(with(&format!("x.pe={bad}")), Err(MagnetError::Peer(_))), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Magnet::parse("http://x"), Err(MagnetError::Scheme));
        assert_eq!(Magnet::parse("magnet:?dn=x"), Err(MagnetError::NoHash));
        assert_eq!(Magnet::parse("magnet:?xt=urn:sha1:abc"), Err(MagnetError::NoHash));
        assert_eq!(Magnet::parse("magnet:?xt=urn:btih:12"), Err(MagnetError::Hash("12".into())));
        assert_eq!(Magnet::parse("magnet:?xt=urn:btmh:1114ff"), Err(MagnetError::Multihash("1114ff".into())));
        assert_eq!(Magnet::parse("magnet:\u{e9}\u{e9}"), Err(MagnetError::Scheme));
        assert_eq!(with(&format!("xt=urn:btih:{}", "0".repeat(40))), Err(MagnetError::TwoTorrents));
        assert_eq!(
            Magnet::parse(&"m".repeat(MAGNET_BYTES_MAX + 1)),
            Err(MagnetError::TooLong(MAGNET_BYTES_MAX + 1))
        );
        let many: String = (0..5_000).map(|n| format!("&tr=http://{n}")).collect();
        assert_eq!(with(&many).unwrap().trackers.len(), MAGNET_VALUES_MAX);
    }
}
