//! What a session tells of itself: what was amiss when it started, and what it counts.
#![allow(clippy::unwrap_used)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::Session;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;

fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("millstream-told-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn a_damaged_dht_table_is_set_aside_and_said() {
    let home = folder("table");
    fs::write(home.join("dht.table"), b"no table of ours").unwrap();
    let builder = Session::builder().without_discovery().listen([localhost()]).state_folder(&home);
    let builder = builder.configure(|config| {
        config.engine.dht = true;
        config.dht_bootstrap.clear();
    });
    let session = builder.start().await.unwrap();
    let warnings = session.warnings();
    assert!(warnings.iter().any(|it| it.contains("dht.table") && it.contains("set aside")), "{warnings:?}");
    assert_eq!(fs::read(home.join("dht.damaged")).unwrap(), b"no table of ours");
}

#[tokio::test]
async fn what_a_session_counts_can_be_read() {
    let session = Session::builder().without_discovery().listen([localhost()]).without_resume();
    let session = session.start().await.unwrap();
    let before = session.statistics().await.unwrap();
    assert_eq!((before.datagrams, before.dht), (Default::default(), None));
    let stranger = UdpSocket::bind(localhost()).unwrap();
    let to = session.listening()[0];
    // The answer of a tracker that nobody asked, a packet of no uTP link, and what is neither.
    let packet = [&[0x01, 0, 0, 9][..], &[0; 16]].concat();
    for datagram in [&[0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 1][..], &packet, b"hello"] {
        stranger.send_to(datagram, to).unwrap();
    }
    let counted = async {
        loop {
            let now = session.statistics().await.unwrap().datagrams;
            if now.unasked + now.utp + now.unreadable >= 3 {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let now = tokio::time::timeout(Duration::from_secs(20), counted).await.expect("they are counted");
    assert_eq!((now.unasked, now.utp, now.unreadable), (1, 1, 1));
}
