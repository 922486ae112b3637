//! BEP 40: the order in which two peers think of each other, the same on both sides. CRC32-C included.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// The canonical priority of a connection between us, as the peer sees us, and the peer (BEP 40). Larger is better.
/// Addresses of different families have none in the BEP; they are compared unmasked.
pub fn priority(ours: SocketAddr, theirs: SocketAddr) -> u32 {
    let (a, b) = (ours.ip().to_canonical(), theirs.ip().to_canonical());
    let (mut a, mut b) = if a == b {
        (ours.port().to_be_bytes().to_vec(), theirs.port().to_be_bytes().to_vec())
    } else {
        match (a, b) {
            // The first unmasked bytes, then 0x55; a byte more for each level of nearness: /16 and /24, /48 and /56 and so on.
            (IpAddr::V4(a), IpAddr::V4(b)) => masked(&a.octets(), &b.octets(), 2),
            (IpAddr::V6(a), IpAddr::V6(b)) => masked(&a.octets(), &b.octets(), 6),
            (IpAddr::V4(a), IpAddr::V6(b)) => (a.octets().to_vec(), b.octets().to_vec()),
            (IpAddr::V6(a), IpAddr::V4(b)) => (a.octets().to_vec(), b.octets().to_vec()),
        }
    };
    if b < a {
        core::mem::swap(&mut a, &mut b);
    }
    a.extend(b);
    crc32c(&a)
}

/// Both addresses under the mask that their nearness asks for: `whole` bytes kept, one more if these are equal, and so
/// on; every later byte masked with 0x55.
fn masked(a: &[u8], b: &[u8], whole: usize) -> (Vec<u8>, Vec<u8>) {
    let equal = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let kept = if equal < whole { whole } else { equal + 1 };
    let mask = |bytes: &[u8]| {
        bytes.iter().enumerate().map(|(n, byte)| if n < kept { *byte } else { byte & 0x55 }).collect()
    };
    (mask(a), mask(b))
}

/// CRC32-C (Castagnoli), bit by bit: 12 to 32 bytes an address, once.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &str, b: &str) -> u32 {
        let both = (
            priority(a.parse().unwrap(), b.parse().unwrap()),
            priority(b.parse().unwrap(), a.parse().unwrap()),
        );
        assert_eq!(both.0, both.1, "both sides arrive at the same");
        both.0
    }

    #[test]
    fn pitfall_11_bep_0040_the_smaller_address_first_ports_when_equal() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(of("123.213.32.10:1", "98.76.54.32:2"), 0xec2d_7224);
        assert_eq!(of("123.213.32.10:1", "123.213.32.234:2"), 0x9956_8189);
        assert_eq!(of("[::ffff:123.213.32.10]:1", "98.76.54.32:2"), 0xec2d_7224);
        assert_eq!(of("1.2.3.4:6881", "1.2.3.4:6882"), crc32c(&[0x1a, 0xe1, 0x1a, 0xe2]));
        // The same /16: a byte more counts.
        assert_eq!(of("10.1.2.255:1", "10.1.3.255:1"), crc32c(&[10, 1, 2, 0x55, 10, 1, 3, 0x55]));
    }

    #[test]
    fn pitfall_11_bep_0040_ipv6_is_masked_from_its_48th_bit_on() {
        let bytes = |s: &str| s.parse::<core::net::Ipv6Addr>().unwrap().octets();
        let joined = |a: &str, b: &str| crc32c(&[bytes(a), bytes(b)].concat());
        assert_eq!(
            of("[2001:db8:1:ffff::ffff]:1", "[2001:db8:2:ffff::ffff]:1"),
            joined("2001:db8:1:5555::5555", "2001:db8:2:5555::5555")
        );
        assert_eq!(
            of("[2001:db8:1:ffff::ffff]:1", "[2001:db8:1:aaff::ffff]:1"),
            joined("2001:db8:1:aa55::5555", "2001:db8:1:ff55::5555")
        );
        assert_eq!(
            of("[2001:db8:1:ffff::ffff]:1", "[2001:db8:1:fffe::ffff]:1"),
            joined("2001:db8:1:fffe::5555", "2001:db8:1:ffff::5555")
        );
    }
}
