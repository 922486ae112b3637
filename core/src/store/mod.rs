//! Piece and file arithmetic, blocks in memory, the job ledger with its watermarks, read coalescing, recheck.
//! It touches no storage: it says what to read, write and hash, and keeps account. General enough for any protocol
//! that writes at random offsets.

mod assembly;
mod layout;
mod ledger;
mod marks;
mod read;
mod recheck;

pub use assembly::{Accepted, Assembly, Spill, Taken};
pub use layout::{Layout, LayoutError, Place, Scatter, StoredPiece};
pub use ledger::{Answered, Ledger};
pub use marks::{StoreConfig, Watermarks};
pub use read::{Run, coalesce};
pub use recheck::{Progress, Recheck};
