//! Rates: a tree of token buckets (engine, torrent, link) with a fair queue of waiters, and leases from one tree to
//! another. One [`Rates`] a direction. Nothing here sends or asks: who wants to, asks here first and pays.
//!
//! Uploads pay when bytes are handed to the link; downloads pay when blocks are asked for, since the request pipeline
//! is what limits a download, and get back what was rejected, cancelled or lost ([`Rates::refund`]).

mod rates;

pub use rates::{NodeId, Rates};
