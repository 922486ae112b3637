//! Two sessions over loopback: bytes go from one folder to the other, over TCP and over uTP, and come back after a
//! restart.
#![allow(clippy::unwrap_used)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use millstream::core::engine::{CommandError, UtpUse};
use millstream::{
    AddTorrent, CommandFailed, Rates, Session, SessionBuilder, State, Torrent, TorrentEvent, TrackerStatus,
};
use sha1::{Digest, Sha1};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::net::{TcpStream, UdpSocket};

const PIECE: usize = 256 << 10;

fn localhost() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A fresh folder.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("millstream-transfer-{name}-{}", std::process::id()));
    // Left over from a run with the same process id, if it is there.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Bytes that differ everywhere.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A torrent file of one file (BEP 3).
fn torrent_file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let pieces: Vec<u8> = bytes.chunks(PIECE).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
    let head = format!(
        "d4:infod6:lengthi{}e4:name{}:{name}12:piece lengthi{PIECE}e6:pieces{}:",
        bytes.len(),
        name.len(),
        pieces.len()
    );
    [head.as_bytes(), &pieces, b"ee"].concat()
}

async fn session(home: &Path) -> Session {
    builder(home).start().await.unwrap()
}

fn builder(home: &Path) -> SessionBuilder {
    Session::builder().without_discovery().listen([localhost()]).state_folder(home.join("state"))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it takes too long")
}

/// A session that seeds `bytes`, and the torrent file.
async fn seed(home: &Path, bytes: &[u8]) -> (Session, Torrent, Vec<u8>) {
    seed_of(session(home).await, home, bytes).await
}

/// The same, of a session that was started already.
async fn seed_of(session: Session, home: &Path, bytes: &[u8]) -> (Session, Torrent, Vec<u8>) {
    fs::write(home.join("file"), bytes).unwrap();
    let file = torrent_file("file", bytes);
    let torrent = session.add(AddTorrent::bytes(file.clone()).folder(home).only_peers(true)).await.unwrap();
    within(torrent.wait_complete()).await.unwrap();
    (session, torrent, file)
}

#[tokio::test]
async fn a_file_goes_from_one_session_to_another() {
    goes_over("read", Ipv4Addr::LOCALHOST.into(), false).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_goes_from_one_session_to_another_by_sendfile() {
    goes_over("sendfile", Ipv4Addr::LOCALHOST.into(), true).await;
}

#[tokio::test]
async fn a_file_goes_from_one_session_to_another_over_ipv6() {
    goes_over("six", Ipv6Addr::LOCALHOST.into(), false).await;
}

async fn goes_over(name: &str, host: IpAddr, sendfile: bool) {
    let (from, to) = (folder(&format!("{name}-from")), folder(&format!("{name}-to")));
    let bytes = content(16 << 20);
    let start = async |home: &Path| {
        let builder = builder(home).listen([SocketAddr::from((host, 0))]);
        let session = builder.configure(|config| config.sendfile_locally = sendfile).start().await;
        session.unwrap_or_else(|error| panic!("this test needs a host that has {host}: {error}"))
    };
    let (seeder, seeding, file) = seed_of(start(&from).await, &from, &bytes).await;
    let leecher = start(&to).await;
    assert!(!seeder.listening().is_empty() && seeder.listening().iter().all(|addr| addr.ip() == host));
    let add = AddTorrent::bytes(file).folder(&to).only_peers(true).peers(seeder.listening());
    let leeching = leecher.add(add).await.unwrap();
    within(leeching.wait_complete()).await.unwrap();
    assert!(fs::read(to.join("file")).unwrap() == bytes);
    let status = leeching.status();
    assert_eq!((status.state, status.verified), (State::Seeding, bytes.len() as u64));
    within(seeding.wait_until(|status| status.uploaded >= bytes.len() as u64)).await.unwrap();
    // The thread answers when it has done with what it sent.
    within(seeding.peers()).await;
    let by_sendfile = seeder.sent_by_sendfile();
    let all = bytes.len() as u64;
    assert!(if sendfile { by_sendfile >= all } else { by_sendfile == 0 }, "{by_sendfile} of {all}");
    within(leecher.shutdown(Duration::from_secs(5))).await;
    within(seeder.shutdown(Duration::from_secs(5))).await;
}

#[tokio::test]
async fn what_has_a_deadline_comes_before_all_else() {
    let (from, to) = (folder("deadline-from"), folder("deadline-to"));
    let bytes = content(128 * PIECE);
    let (seeder, _seeding, file) = seed(&from, &bytes).await;
    let leecher = session(&to).await;
    // Paused until it is known what comes first; slow enough that most is still missing when it is there.
    let rates = Rates { download: Some(4 << 20), ..Rates::default() };
    let add = AddTorrent::bytes(file).folder(&to).only_peers(true).paused(true).rates(rates);
    let leeching = leecher.add(add).await.unwrap();
    let mut events = leeching.events();
    let (start, length) = (100 * PIECE as u64, 3 * PIECE as u64);
    let beyond = leeching.set_deadline(bytes.len() as u64, 1, Duration::ZERO).await;
    assert!(matches!(beyond, Err(CommandFailed::Refused(CommandError::Range))), "{beyond:?}");
    leeching.set_deadline(start, length, Duration::from_secs(2)).await.unwrap();
    leeching.resume().await.unwrap();
    leeching.add_peers(seeder.listening()).await.unwrap();
    // Some pieces may be had while it is choked (BEP 6): those come when they come.
    let mut first = Vec::new();
    while first.len() < 16 {
        if let TorrentEvent::Verified(piece) = within(events.next()).await.unwrap() {
            first.push(piece.get());
        }
    }
    assert!((100..103).all(|piece| first.contains(&piece)), "{first:?}");
}

#[tokio::test]
async fn a_running_torrent_is_given_other_trackers_and_they_come_back_with_its_resume_data() {
    let home = folder("trackers");
    let bytes = content(PIECE);
    fs::write(home.join("file"), &bytes).unwrap();
    let (session, file) = (session(&home).await, torrent_file("file", &bytes));
    let seeding = session.add(AddTorrent::bytes(file.clone()).folder(&home)).await.unwrap();
    within(seeding.wait_complete()).await.unwrap();
    let urls = ["http://127.0.0.1:1/announce", "udp://127.0.0.1:1"];
    seeding.set_trackers([[urls[0]], [urls[1]]]).await.unwrap();
    let wrong = seeding.set_trackers([["ftp://127.0.0.1/"]]).await;
    assert!(matches!(wrong, Err(CommandFailed::Refused(CommandError::Tracker { .. }))), "{wrong:?}");
    let shown = |trackers: Vec<TrackerStatus>| -> Vec<String> {
        trackers.into_iter().map(|tracker| tracker.url.to_string()).collect()
    };
    assert_eq!(shown(seeding.trackers().await), urls);
    let mut events = seeding.events();
    seeding.save().await.unwrap();
    while !matches!(within(events.next()).await.unwrap(), TorrentEvent::Saved) {}
    within(session.shutdown(Duration::from_secs(5))).await;
    let session = self::session(&home).await;
    let seeding = session.add(AddTorrent::bytes(file.clone()).folder(&home)).await.unwrap();
    within(seeding.wait_complete()).await.unwrap();
    assert_eq!(shown(seeding.trackers().await), urls);
    within(seeding.remove()).await.unwrap();
    let given = AddTorrent::bytes(file).folder(&home).trackers(vec![vec![urls[1].to_owned()]]);
    assert_eq!(shown(session.add(given).await.unwrap().trackers().await), [urls[1]]);
}

#[tokio::test]
async fn a_peer_is_sent_away_and_banned() {
    let (from, to) = (folder("away-from"), folder("away-to"));
    let (seeder, _seeding, file) = seed(&from, &content(64 * PIECE)).await;
    let leecher = session(&to).await;
    let rates = Rates { download: Some(100_000), ..Rates::default() };
    let add = AddTorrent::bytes(file).folder(&to).only_peers(true).rates(rates).peers(seeder.listening());
    let leeching = leecher.add(add).await.unwrap();
    within(leeching.wait_until(|status| status.downloaded > 0)).await.unwrap();
    let peer = seeder.listening()[0];
    leeching.disconnect(peer).await.unwrap();
    assert!(leeching.peers().await.is_empty());
    let gone = leeching.disconnect(peer).await;
    assert!(matches!(gone, Err(CommandFailed::Refused(CommandError::NoPeer(_)))), "{gone:?}");
    assert_eq!(leeching.status_now().await.known, 1);
    leeching.ban(peer).await.unwrap();
    assert_eq!(leeching.status_now().await.known, 0, "its address is forgotten");
}

#[tokio::test]
async fn bep_0009_a_magnet_link_brings_the_torrent_and_the_file() {
    let (from, to) = (folder("magnet-from"), folder("magnet-to"));
    let bytes = content(3 << 20);
    let (seeder, seeding, _file) = seed(&from, &bytes).await;
    let hash = seeding.status().info_hash_v1.unwrap();
    let leecher = session(&to).await;
    let add = AddTorrent::magnet(format!("magnet:?xt=urn:btih:{hash}")).folder(&to).only_peers(true);
    let leeching = leecher.add(add).await.unwrap();
    assert_eq!(leeching.status().state, State::Metadata);
    leeching.add_peers(seeder.listening()).await.unwrap();
    within(leeching.wait_complete()).await.unwrap();
    assert!(fs::read(to.join("file")).unwrap() == bytes);
}

#[tokio::test]
async fn a_failing_disk_stops_the_torrent_and_names_the_file() {
    let (from, to) = (folder("failing-from"), folder("failing-to"));
    let (seeder, _seeding, file) = seed(&from, &content(1 << 20)).await;
    // Where the file should be, a folder is in the way.
    fs::create_dir(to.join("file")).unwrap();
    let leecher = session(&to).await;
    let add = AddTorrent::bytes(file).folder(&to).only_peers(true).peers(seeder.listening());
    let leeching = leecher.add(add).await.unwrap();
    let failure = within(leeching.wait_complete()).await.unwrap_err().to_string();
    assert!(failure.contains("failing-to") && failure.contains("/file: "), "{failure}");
    assert_eq!(leeching.status().state, State::Failed);
}

#[tokio::test]
async fn what_was_verified_is_known_after_a_restart() {
    let home = folder("restart");
    let (first, _torrent, file) = seed(&home, &content(1 << 20)).await;
    within(first.shutdown(Duration::from_secs(5))).await;
    assert_eq!(fs::read_dir(home.join("state")).unwrap().count(), 1, "resume data is kept");
    let second = session(&home).await;
    let torrent = second.add(AddTorrent::bytes(file).folder(&home).only_peers(true)).await.unwrap();
    within(torrent.wait_complete()).await.unwrap();
    assert_eq!(torrent.status().checked.1, 0, "nothing had to be looked at");
}

#[tokio::test]
async fn removing_a_torrent_ends_its_events_and_keeps_its_files() {
    let home = folder("remove");
    let (session, torrent, _file) = seed(&home, &content(100_000)).await;
    let mut events = torrent.events();
    within(torrent.remove()).await.unwrap();
    let mut last = None;
    while let Some(event) = within(events.next()).await {
        last = Some(event);
    }
    assert!(matches!(last, Some(TorrentEvent::Removed)), "{last:?}");
    assert!(home.join("file").exists() && session.torrents().is_empty());
}

#[tokio::test]
async fn a_session_that_is_dropped_ends_its_streams() {
    let home = folder("drop");
    let session = session(&home).await;
    let mut events = session.events();
    drop(session);
    while within(events.next()).await.is_some() {}
}

/// Sessions that carry links as told. A file goes over, to where `towards` leads from the seed's address.
async fn goes_over_utp(
    name: &str,
    [seeds, leeches]: [UtpUse; 2],
    towards: impl AsyncFnOnce(SocketAddr) -> SocketAddr,
) {
    let (from, to) = (folder(&format!("{name}-from")), folder(&format!("{name}-to")));
    let bytes = content(4 << 20);
    let start = async |home: &Path, utp| {
        builder(home).configure(|config| config.engine.utp = utp).start().await.unwrap()
    };
    let (seeder, seeding, file) = seed_of(start(&from, seeds).await, &from, &bytes).await;
    let leecher = start(&to, leeches).await;
    let peer = towards(seeder.listening()[0]).await;
    let leeching =
        leecher.add(AddTorrent::bytes(file).folder(&to).only_peers(true).peers([peer])).await.unwrap();
    within(leeching.wait_complete()).await.unwrap();
    assert!(fs::read(to.join("file")).unwrap() == bytes);
    within(seeding.wait_until(|status| status.uploaded >= bytes.len() as u64)).await.unwrap();
    within(leecher.shutdown(Duration::from_secs(5))).await;
    within(seeder.shutdown(Duration::from_secs(5))).await;
}

#[tokio::test]
async fn bep_0029_a_file_goes_over_utp_alone() {
    goes_over_utp("utp-only", [UtpUse::Only; 2], async |seed| seed).await;
}

#[tokio::test]
async fn bep_0029_a_file_goes_over_utp_to_who_takes_no_link_over_tcp() {
    goes_over_utp("utp-accept", [UtpUse::Only, UtpUse::On], async |seed| seed).await;
}

#[tokio::test]
async fn bep_0029_a_file_goes_over_utp_to_where_tcp_is_refused() {
    let relay = async |seed| {
        // A port that nobody listens at but for datagrams, which it passes on both ways.
        let front = UdpSocket::bind(localhost()).await.unwrap();
        let back = UdpSocket::bind(localhost()).await.unwrap();
        let address = front.local_addr().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "somebody took the port for TCP");
        back.connect(seed).await.unwrap();
        tokio::spawn(async move {
            let (mut there, mut here) = (vec![0; 65_536], vec![0; 65_536]);
            let mut leech = None;
            // What can't be passed on is lost, as on any path.
            loop {
                tokio::select! {
                    Ok((bytes, from)) = front.recv_from(&mut there) => {
                        leech = Some(from);
                        let _ = back.send(&there[..bytes]).await;
                    }
                    Ok(bytes) = back.recv(&mut here) => if let Some(leech) = leech {
                        let _ = front.send_to(&here[..bytes], leech).await;
                    }
                }
            }
        });
        address
    };
    goes_over_utp("utp-relay", [UtpUse::On; 2], relay).await;
}
