//! A key that names a torrent (BEP 46): over a DHT of a few nodes on the loopback, a session and the command follow it.
#![allow(clippy::unwrap_used)]

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::ControlFlow;
use core::time::Duration;
use millstream::core::dht::{Event, Item, Outcome, SecretKey};
use millstream::core::wire::krpc::following_value;
use millstream::core::wire::{InfoHash, Metainfo};
use millstream::{
    AddTorrent, CreateTorrent, DhtNode, DhtNodeConfig, DhtRequest, KeyLink, Session, SessionBuilder,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("millstream-follow-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it takes too long")
}

async fn node(bootstrap: &[String]) -> DhtNode {
    let mut config = DhtNodeConfig { listen: vec![localhost()], ..DhtNodeConfig::default() };
    config.dht.private_addresses = true;
    config.dht.bootstrap_nodes = bootstrap.to_vec();
    DhtNode::start(config).await.unwrap()
}

/// Two nodes that know each other.
async fn dht() -> (DhtNode, DhtNode, Vec<String>) {
    let first = node(&[]).await;
    let entry = vec![first.listening()[0].to_string()];
    let second = node(&entry).await;
    assert!(within(second.joined()).await);
    (first, second, entry)
}

fn builder(home: &Path, entry: &[String]) -> SessionBuilder {
    let builder =
        Session::builder().without_discovery().listen([localhost()]).state_folder(home.join("state"));
    builder.configure(|config| {
        config.engine.dht = true;
        config.dht_bootstrap = entry.to_vec();
    })
}

async fn publish(node: &DhtNode, owner: &SecretKey, seq: i64, torrent: InfoHash) {
    let item = owner.sign(b"salt", seq, &following_value(torrent)).unwrap();
    let mut put = node.begin(DhtRequest::Put { item: Item::Mutable(item), cas: None }).await.unwrap();
    while let Some(event) = within(put.next()).await {
        if let Event::Done { outcome, .. } = event {
            assert!(matches!(outcome, Outcome::Put { stored: 1.., .. }), "{outcome:?}");
        }
    }
}

/// A session that seeds a file in `home`, and the torrent's name.
async fn seed(home: &Path, entry: &[String]) -> (Session, InfoHash) {
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(home.join("file"), bytes).unwrap();
    let torrent = CreateTorrent::new(home.join("file")).create(|_, _| ControlFlow::Continue(())).unwrap();
    let hash = Metainfo::parse(&torrent).unwrap().info.hashes().next().unwrap();
    let session = builder(home, entry).start().await.unwrap();
    let torrent = session.add(AddTorrent::bytes(torrent).folder(home)).await.unwrap();
    within(torrent.wait_complete()).await.unwrap();
    (session, hash)
}

#[tokio::test]
async fn bep_0046_a_session_follows_a_key_to_a_torrent_and_to_the_next_one() {
    let (_first, second, entry) = dht().await;
    let home = folder("session");
    fs::create_dir_all(home.join("seed")).unwrap();
    let (seeding, hash) = seed(&home.join("seed"), &entry).await;
    let owner = SecretKey::from_seed(&[7; 32]);
    publish(&second, &owner, 1, hash).await;

    let link = KeyLink { key: owner.public(), salt: b"salt".to_vec() };
    let session = builder(&home.join("leech"), &entry).start().await.unwrap();
    let mut follow = session.follow(link.clone()).await.unwrap();
    let followed = within(follow.next()).await.unwrap();
    assert_eq!((followed.seq, followed.info_hash), (1, hash));
    // A second follower hears at once what the first one was told.
    let mut other = session.follow(link.clone()).await.unwrap();
    assert_eq!(within(other.next()).await, Some(followed.clone()));

    let torrent = session.add(AddTorrent::info_hash(followed.info_hash).folder(&home)).await.unwrap();
    within(torrent.wait_complete()).await.unwrap();
    assert!(fs::read(home.join("file")).unwrap() == fs::read(home.join("seed/file")).unwrap());

    publish(&second, &owner, 2, InfoHash([9; 20])).await;
    // Whoever begins anew asks at once.
    drop((follow, other));
    let mut again = session.follow(link).await.unwrap();
    let followed = within(again.next()).await.unwrap();
    assert_eq!((followed.seq, followed.info_hash), (2, InfoHash([9; 20])));
    session.shutdown(Duration::from_secs(2)).await;
    assert_eq!(within(again.next()).await, None, "the session's end is the stream's");
    seeding.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn bep_0046_a_session_adds_the_torrent_that_a_links_key_names() {
    let (_first, second, entry) = dht().await;
    let home = folder("add");
    fs::create_dir_all(home.join("seed")).unwrap();
    let (seeding, hash) = seed(&home.join("seed"), &entry).await;
    let owner = SecretKey::from_seed(&[9; 32]);
    publish(&second, &owner, 1, hash).await;
    let link = KeyLink { key: owner.public(), salt: b"salt".to_vec() };
    let session = builder(&home.join("leech"), &entry).start().await.unwrap();
    let add =
        AddTorrent::magnet(format!("{link}&dn=as+said&tr=udp://127.0.0.1:9")).folder(&home).paused(true);
    let torrent = within(session.add(add)).await.unwrap();
    assert_eq!((&*torrent.status().name, torrent.trackers().await.len()), ("as said", 1));
    torrent.resume().await.unwrap();
    within(torrent.wait_complete()).await.unwrap();
    assert!(fs::read(home.join("file")).unwrap() == fs::read(home.join("seed/file")).unwrap());
    seeding.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_session_without_the_dht_follows_nothing() {
    let home = folder("without");
    let session = builder(&home, &[]).without_discovery().configure(|c| c.engine.dht = false);
    let session = session.start().await.unwrap();
    let refused = session.follow(KeyLink { key: [1; 32], salt: Vec::new() }).await;
    assert_eq!(refused.unwrap_err().to_string(), "the DHT is off");
    let link = KeyLink { key: [1; 32], salt: Vec::new() }.to_string();
    assert_eq!(session.add(link.as_str()).await.unwrap_err().to_string(), "the DHT is off");
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn bep_0046_the_command_downloads_what_a_key_names() {
    let (_first, second, entry) = dht().await;
    let home = folder("command");
    fs::create_dir_all(home.join("seed")).unwrap();
    let (_seeding, hash) = seed(&home.join("seed"), &entry).await;
    let owner = SecretKey::from_seed(&[8; 32]);
    publish(&second, &owner, 1, hash).await;
    let link = KeyLink { key: owner.public(), salt: b"salt".to_vec() }.to_string();

    let run = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.current_dir(&home).env("XDG_STATE_HOME", home.join("state"));
        command.args(["download", &link, "-o", "out", "--listen", "127.0.0.1:0", "--json", "--no-lsd"]);
        command.args(["--port-mapping", "off"]).args(more).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let output = within(run(&["--dht-bootstrap", &entry[0]])).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let line = format!(r#"{{"event":"followed","info_hash":"{hash}","seq":1}}"#);
    assert!(told.lines().any(|told| told == line), "{told}");
    assert!(fs::read(home.join("out/file")).unwrap() == fs::read(home.join("seed/file")).unwrap());

    let output = within(run(&["--no-dht"])).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("only the DHT knows which torrent the key names"), "{said}");
}
