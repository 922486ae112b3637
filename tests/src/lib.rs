//! What the tests share: the in-memory pair, the simulated world, fuzz bodies, guards.

pub mod beps;
pub mod corpus;
pub mod dht_world;
pub mod engine_ops;
pub mod fuzz;
pub mod guards;
pub mod pair;
pub mod tidy;
pub mod world;
