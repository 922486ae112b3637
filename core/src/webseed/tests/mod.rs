//! Stories of one web seed.
