//! What a session costs that has nothing to do. Alone in its process, since it counts what the threads do.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::Session;
use std::fs;
use std::net::TcpStream;

#[tokio::test]
async fn a_session_with_nothing_to_do_sleeps() {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let session =
        Session::builder().without_discovery().listen([local]).without_resume().start().await.unwrap();
    // A link that says nothing is no work either.
    let _silent = TcpStream::connect(session.listening()[0]).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = turns();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(turns() - before < 20, "{} turns in a second", turns() - before);
}

/// How often the engine's thread went to sleep or was sent to.
fn turns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let statuses = tasks.map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default());
    let status = statuses.into_iter().find(|status| status.starts_with("Name:\tmillstream\n")).unwrap();
    let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    counts.map(|(_, count)| count.trim().parse::<u64>().unwrap()).sum()
}
