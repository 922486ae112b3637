//! Streams over a path with a mind of its own.
