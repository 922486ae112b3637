//! The command as people and scripts run it: the real binary, its exit codes, its lines.
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[path = "cli/behind.rs"]
mod behind;
#[path = "cli/dht.rs"]
mod dht;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/fixture.rs"]
mod fixture;
#[path = "cli/network.rs"]
mod network;
#[path = "cli/proxy.rs"]
mod proxy;
#[path = "cli/tracker.rs"]
mod tracker;
#[path = "cli/updates.rs"]
mod updates;
#[path = "cli/ways.rs"]
mod ways;
