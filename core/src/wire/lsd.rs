//! The announces of local service discovery (BEP 14): shaped like HTTP, sent to a multicast group. When they are sent,
//! and who is believed, is not decided here.

use super::InfoHash;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use thiserror::Error;

/// The group of IPv4, org-local.
pub const LSD_GROUP_V4: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 192, 152, 143), 6771));
/// The group of IPv6, site-local.
pub const LSD_GROUP_V6: SocketAddr =
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f), 6771, 0, 0));
/// The longest announce, bytes (BEP 14): more would be cut into fragments.
pub const LSD_BYTES_MAX: usize = 1400;
/// Info-hashes that fit into one announce, beside the longest cookie that we send.
pub const LSD_HASHES_MAX: usize = 24;
/// The longest cookie that is read, bytes.
const COOKIE_BYTES_MAX: usize = 64;

/// One announce: the sender takes part in these swarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsdAnnounce {
    /// Where the sender listens.
    pub port: u16,
    /// The swarms.
    pub info_hashes: Vec<InfoHash>,
    /// By which the sender knows its own announces again.
    pub cookie: Option<String>,
}

/// Why a datagram is no announce. Its sender is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LsdError {
    /// Longer than an announce may be.
    #[error("an announce of {0} bytes")]
    TooLong(usize),
    /// It doesn't begin like one.
    #[error("no BT-SEARCH")]
    Method,
    /// No port, or none that can be called.
    #[error("no port")]
    Port,
    /// No info-hash that can be read.
    #[error("no info-hash")]
    InfoHash,
}

impl LsdAnnounce {
    /// Reads a datagram. Headers come in any order and any case; unknown ones are passed over, and so is a hash that
    /// can't be read beside others that can.
    pub fn parse(datagram: &[u8]) -> Result<Self, LsdError> {
        if datagram.len() > LSD_BYTES_MAX {
            return Err(LsdError::TooLong(datagram.len()));
        }
        let mut lines = datagram.split(|&byte| byte == b'\n').map(|line| line.trim_ascii());
        let first = lines.next().unwrap_or_default();
        if !first.eq_ignore_ascii_case(b"BT-SEARCH * HTTP/1.1") {
            return Err(LsdError::Method);
        }
        let (mut port, mut cookie, mut info_hashes) = (None, None, Vec::new());
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let value =
                core::str::from_utf8(value.get(1..).unwrap_or_default().trim_ascii()).unwrap_or_default();
            if name.eq_ignore_ascii_case(b"port") {
                port = value.parse().ok().filter(|&port: &u16| port != 0);
            } else if name.eq_ignore_ascii_case(b"cookie") {
                cookie = Some(value).filter(|value| value.len() <= COOKIE_BYTES_MAX).map(String::from);
            } else if name.eq_ignore_ascii_case(b"infohash")
                && let Some(hash) = read_hash(value)
                && !info_hashes.contains(&hash)
            {
                info_hashes.push(hash);
            }
        }
        let port = port.ok_or(LsdError::Port)?;
        if info_hashes.is_empty() {
            return Err(LsdError::InfoHash);
        }
        Ok(Self { port, info_hashes, cookie })
    }

    /// The datagram for the group; the first `LSD_HASHES_MAX` hashes, since more wouldn't fit.
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        let mut out = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n", self.port);
        for hash in self.info_hashes.iter().take(LSD_HASHES_MAX) {
            write!(out, "Infohash: {hash}\r\n").expect("a string takes all");
        }
        if let Some(cookie) = &self.cookie {
            write!(out, "cookie: {cookie}\r\n").expect("a string takes all");
        }
        out.push_str("\r\n\r\n");
        out.into_bytes()
    }
}

fn read_hash(hex: &str) -> Option<InfoHash> {
    let digits = hex.as_bytes().as_chunks::<2>();
    let mut hash = [0; 20];
    if digits.0.len() != hash.len() || !digits.1.is_empty() {
        return None;
    }
    for (byte, &[high, low]) in hash.iter_mut().zip(digits.0) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|n| u8::try_from(n).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(InfoHash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn hash(n: u8) -> InfoHash {
        InfoHash([n; 20])
    }

    #[test]
    fn bep_0014_an_announce_is_written_as_in_its_text() {
        let announce =
            LsdAnnounce { port: 6881, info_hashes: vec![hash(0xab), hash(1)], cookie: Some("c00kie".into()) };
        let bytes = announce.encode(LSD_GROUP_V4);
        let text = "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n\
            Infohash: abababababababababababababababababababab\r\n\
            Infohash: 0101010101010101010101010101010101010101\r\ncookie: c00kie\r\n\r\n\r\n";
        assert_eq!(core::str::from_utf8(&bytes).unwrap(), text);
        assert_eq!(LsdAnnounce::parse(&bytes), Ok(announce));
    }

    #[test]
    fn bep_0014_the_host_over_ipv6_stands_in_brackets() {
        let announce = LsdAnnounce { port: 1, info_hashes: vec![hash(2)], cookie: None };
        let bytes = announce.encode(LSD_GROUP_V6);
        assert!(core::str::from_utf8(&bytes).unwrap().contains("Host: [ff15::efc0:988f]:6771\r\n"));
        assert_eq!(LsdAnnounce::parse(&bytes), Ok(announce));
    }

    #[test]
    fn bep_0014_a_full_announce_is_within_1400_bytes() {
        let info_hashes = (0..40).map(hash).collect();
        let announce = LsdAnnounce { port: 65535, info_hashes, cookie: Some("f".repeat(16)) };
        let bytes = announce.encode(LSD_GROUP_V6);
        assert!(bytes.len() <= LSD_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(LsdAnnounce::parse(&bytes).unwrap().info_hashes.len(), LSD_HASHES_MAX);
    }

    #[test]
    fn bep_0014_headers_come_in_any_order_and_case_and_unknown_ones_are_passed_over() {
        let text = "bt-search * http/1.1\r\nX-New: 1\r\nINFOHASH: 0202020202020202020202020202020202020202\r\n\
            infohash: short\r\nhost: x\r\nport:6882\r\n\r\n";
        let announce = LsdAnnounce::parse(text.as_bytes()).unwrap();
        assert_eq!((announce.port, announce.info_hashes, announce.cookie), (6882, vec![hash(2)], None));
    }

    #[test]
    fn what_is_no_announce_is_refused() {
        let parse = LsdAnnounce::parse;
        let head = "BT-SEARCH * HTTP/1.1\r\n";
        let line = "Infohash: 0202020202020202020202020202020202020202\r\n";
        assert_eq!(parse(b""), Err(LsdError::Method));
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Err(LsdError::Method));
        assert_eq!(parse(format!("{head}{line}\r\n").as_bytes()), Err(LsdError::Port));
        assert_eq!(parse(format!("{head}Port: 0\r\n{line}\r\n").as_bytes()), Err(LsdError::Port));
        assert_eq!(parse(format!("{head}Port: 70000\r\n{line}\r\n").as_bytes()), Err(LsdError::Port));
        assert_eq!(parse(format!("{head}Port: 1\r\n\r\n{line}").as_bytes()), Err(LsdError::InfoHash));
        assert_eq!(parse(&[b'x'; 2000]), Err(LsdError::TooLong(2000)));
    }
}
