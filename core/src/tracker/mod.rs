//! A tracker's swarms and statistics.
