//! Time, chance, arenas, queues, timers, buffers, bitfields, maps, rates, votes: what every room stands on. No protocol.

mod arena;
mod bits;
mod chunk;
mod digest;
mod extent;
mod geometry;
mod ids;
mod map;
mod rate;
mod ready;
mod rng;
mod time;
mod timers;
mod vote;

pub use arena::Arena;
pub use bits::{Bits, BitsError};
pub use chunk::{Chunk, ChunkMut, Pool};
pub use digest::{Digests, Want};
pub use extent::{Extent, Part, Segment};
pub use geometry::{BLOCK, BlockRef, Geometry, GeometryError, PieceIndex};
pub use ids::{ConnId, JobId, LocalId, PeerRef, ProxyId, TorrentId};
pub use map::{Key, Map, Positions};
pub use rate::{Bucket, Meter};
pub use ready::Ready;
pub use rng::Rng;
pub use time::Instant;
pub use timers::Timers;
pub use vote::{Vote, is_public};
