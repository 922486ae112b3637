//! Stand-in until the codec lands.

/// A magnet link.
#[derive(Clone, Debug)]
pub struct Magnet;
