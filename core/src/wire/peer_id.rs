//! What peers call themselves (BEP 20): our own id, and the client behind a stranger's.

use super::PeerId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What our peer ids begin with: Azureus style, version 0.1.0.
pub const OUR_PREFIX: [u8; 8] = *b"-MS0100-";

/// Our peer id with a tail that chance gave.
pub fn our_peer_id(tail: [u8; 12]) -> PeerId {
    let mut id = [0; 20];
    id.iter_mut().zip(OUR_PREFIX.iter().chain(&tail)).for_each(|(to, from)| *to = *from);
    PeerId(id)
}

/// The client that a peer id names. Anybody may claim to be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's name, or the two letters of one that isn't known.
    pub name: String,
    /// Its version, as far as the id tells.
    pub version: String,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The client behind a peer id in Azureus style (`-LT2090-`) or Shadow style (`T03I-----`).
pub fn client(id: PeerId) -> Option<Client> {
    azureus(id).or_else(|| shadow(id))
}

fn azureus(PeerId(id): PeerId) -> Option<Client> {
    let [b'-', a, b, v1, v2, v3, v4, ..] = id else { return None };
    let text = [a, b];
    let code = core::str::from_utf8(&text).ok().filter(|code| code.chars().all(|c| c.is_ascii_graphic()))?;
    let numbers: Option<Vec<u32>> =
        [v1, v2, v3, v4].into_iter().map(|c| char::from(c).to_digit(36)).collect();
    let (numbers, name) = (numbers?, AZUREUS.iter().find(|(known, _)| *known == code));
    Some(Client { name: String::from(name.map_or(code, |(_, name)| *name)), version: dotted(&numbers) })
}

fn shadow(PeerId(id): PeerId) -> Option<Client> {
    let [letter, v1, v2, v3, v4, v5, b'-', b'-', b'-', ..] = id else { return None };
    let (_, name) = SHADOW.iter().find(|(known, _)| *known == letter)?;
    let digits = [v1, v2, v3, v4, v5].into_iter().take_while(|&c| c != b'-');
    let numbers: Option<Vec<u32>> = digits.map(shadow_digit).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    Some(Client { name: String::from(*name), version: dotted(&numbers) })
}

fn shadow_digit(c: u8) -> Option<u32> {
    SHADOW_DIGITS.iter().position(|&digit| digit == c).and_then(|at| u32::try_from(at).ok())
}

const SHADOW_DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-";

/// `2.9.10`: the zeros that only fill up are left out, but two numbers are always told.
fn dotted(numbers: &[u32]) -> String {
    let told = numbers.iter().rposition(|&n| n != 0).map_or(0, |last| last + 1).max(2);
    let mut out = String::new();
    for (n, number) in numbers.iter().take(told).enumerate() {
        out.push_str(&if n == 0 { format!("{number}") } else { format!(".{number}") });
    }
    out
}

const AZUREUS: &[(&str, &str)] = &[
    ("A2", "aria2"),
    ("AG", "Ares"),
    ("AZ", "Vuze"),
    ("BC", "BitComet"),
    ("BI", "BiglyBT"),
    ("DE", "Deluge"),
    ("FD", "Free Download Manager"),
    ("FW", "FrostWire"),
    ("KT", "KTorrent"),
    ("LT", "libtorrent"),
    ("MO", "MonoTorrent"),
    ("MS", "millstream"),
    ("PI", "PicoTorrent"),
    ("RB", "rqbit"),
    ("rQ", "rqbit"),
    ("TR", "Transmission"),
    ("TX", "Tixati"),
    ("UT", "µTorrent"),
    ("UW", "µTorrent Web"),
    ("WD", "WebTorrent Desktop"),
    ("WW", "WebTorrent"),
    ("XL", "Xunlei"),
    ("lt", "rTorrent"),
    ("qB", "qBittorrent"),
];

const SHADOW: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT Bit Torrent"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    fn named(id: &[u8; 20]) -> Option<String> {
        client(PeerId(*id)).map(|client| client.to_string())
    }

    #[test]
    fn bep_0020_our_own_id_names_us() {
        let id = our_peer_id(*b"abcdefghijkl");
        assert_eq!(&id.0, b"-MS0100-abcdefghijkl");
        assert_eq!(client(id).unwrap().to_string(), "millstream 0.1");
    }

    #[test]
    fn bep_0020_azureus_style_tells_name_and_version() {
        assert_eq!(named(b"-qB4650-abcdefghijkl").as_deref(), Some("qBittorrent 4.6.5"));
        assert_eq!(named(b"-lt0D80-abcdefghijkl").as_deref(), Some("rTorrent 0.13.8"));
        assert_eq!(named(b"-ZZ1000-abcdefghijkl").as_deref(), Some("ZZ 1.0"));
        assert_eq!(named(b"-\xff\xff1000-abcdefghijkl"), None);
    }

    #[test]
    fn bep_0020_shadow_style_tells_name_and_version() {
        assert_eq!(named(b"S58B-----abcdefghijk").as_deref(), Some("Shadow 5.8.11"));
        assert_eq!(named(b"T03I-----abcdefghijk").as_deref(), Some("BitTornado 0.3.18"));
        assert_eq!(named(b"S--------abcdefghijk"), None);
    }

    #[test]
    fn what_follows_no_convention_is_nobody() {
        assert_eq!(named(&[0; 20]), None);
        assert_eq!(named(&[0xff; 20]), None);
    }
}
