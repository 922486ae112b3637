//! BEP 9: the info dictionary from peers, and to peers. This room knows pieces of metadata, who claimed and sent what,
//! and digests; it encodes no message and parses no info dictionary.

mod fetch;
mod serve;

pub use fetch::{Blame, Fetch, Fetched, MetadataConfig, SizeRefusal};
pub use serve::{Answer, Asked, serve};

/// The size of a piece of metadata, bytes (BEP 9).
pub const METADATA_PIECE: u32 = 16 * 1024;
