//! Stand-in until the codec lands.

/// A torrent file.
#[derive(Clone, Debug)]
pub struct Metainfo;

/// The info dictionary.
#[derive(Clone, Debug)]
pub struct Info;
