//! The bodies of the fuzz targets: one function each, from bytes to nothing, that panics when a law is broken.
//! They live here so that they always compile; `tests/fuzz` only calls them. Bodies never guard their own input: what
//! a stranger can send, they pass on.

use millstream_core::base::Bits;

/// A fuzz body.
pub type Body = fn(&[u8]);

/// Every body, by the name of its target.
pub const BODIES: [(&str, Body); 1] = [("bitfield", bitfield)];

/// A BITFIELD for as many pieces as the first two bytes say: what is accepted is written again as it came.
pub fn bitfield(data: &[u8]) {
    let Some((head, body)) = data.split_first_chunk::<2>() else { return };
    let pieces = u32::from(u16::from_be_bytes(*head));
    let Ok(bits) = Bits::from_bytes(body, pieces) else { return };
    assert_eq!(bits.to_bytes(), body, "a bitfield survives reading and writing");
    let ones: u32 = body.iter().map(|b| b.count_ones()).sum();
    assert_eq!((0..pieces).filter(|&i| bits.get(i)).count(), ones as usize, "no bit is lost, none invented");
}
