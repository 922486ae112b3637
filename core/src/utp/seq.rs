//! Places in a stream, which wrap after 65,535.

/// How far `a` lies behind `b`; less than none if it lies before it.
pub(super) fn ahead(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b).cast_signed()
}

/// Whether `a` comes after `b`.
pub(super) fn after(a: u16, b: u16) -> bool {
    ahead(a, b) > 0
}
