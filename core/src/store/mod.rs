//! Piece and file arithmetic, blocks in memory, the job ledger with its watermarks, read coalescing, recheck.
