//! Which piece is in which state, and which block to ask of whom next.
