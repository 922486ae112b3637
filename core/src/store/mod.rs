//! Piece and file arithmetic, blocks in memory and the watermarks of what they and their jobs take, recheck.
//! It touches no storage: it says what to read, write and hash, and keeps account. General enough for any protocol
//! that writes at random offsets.

mod assembly;
mod layout;
mod marks;
mod recheck;

pub use assembly::{Accepted, Assembly, Spill, Taken};
pub use layout::{Layout, LayoutError, Place, Scatter, StoredPiece};
pub use marks::{StoreConfig, Watermarks};
pub use recheck::{Progress, Recheck};
