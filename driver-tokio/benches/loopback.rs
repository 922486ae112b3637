//! Two processes over loopback: what a GiB costs the seed and the leech, in CPU seconds, memory and time.
//! `cargo bench --bench loopback -- [MiB] [KiB a piece] [utp]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::{AddTorrent, Session, UtpUse};
use sha1::{Digest, Sha1};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["seed", folder, carrier] => runtime.block_on(seed(Path::new(folder), carrier)),
        ["leech", folder, carrier, peer, mib] => {
            let (peer, mib) = (peer.parse().unwrap(), mib.parse().unwrap());
            runtime.block_on(leech(Path::new(folder), carrier, peer, mib));
        }
        [mib, kib, carrier] => compare(mib.parse().unwrap(), kib.parse().unwrap(), carrier),
        [mib, kib] => compare(mib.parse().unwrap(), kib.parse().unwrap(), "tcp"),
        [mib] => compare(mib.parse().unwrap(), 1024, "tcp"),
        _ => compare(1024, 1024, "tcp"),
    }
}

fn compare(mib: usize, piece_kib: usize, carrier: &str) {
    let home = std::env::temp_dir().join(format!("millstream-loopback-{}", std::process::id()));
    fs::create_dir_all(home.join("seed")).unwrap();
    fs::create_dir_all(home.join("leech")).unwrap();
    let torrent = make(&home.join("seed/file"), mib, piece_kib << 10);
    fs::write(home.join("seed/torrent"), &torrent).unwrap();
    fs::write(home.join("leech/torrent"), &torrent).unwrap();
    let (mut seed, peer) = child(&["seed", home.join("seed").to_str().unwrap(), carrier]);
    let leech = home.join("leech");
    let (mut leech, result) = child(&["leech", leech.to_str().unwrap(), carrier, &peer, &mib.to_string()]);
    println!("leech: {result}");
    leech.wait().unwrap();
    let mut stdin = seed.stdin.take().unwrap();
    writeln!(stdin, "{mib}").unwrap();
    seed.wait().unwrap();
    fs::remove_dir_all(home).unwrap();
}

/// A child and the first line that it writes.
fn child(arguments: &[&str]) -> (Child, String) {
    let program = std::env::current_exe().unwrap();
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    std::thread::spawn(move || {
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        print!("{rest}");
    });
    (child, line.trim().to_owned())
}

async fn session(folder: &Path, carrier: &str) -> Session {
    let utp = if carrier == "utp" { UtpUse::Only } else { UtpUse::Off };
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Session::builder()
        .without_discovery()
        .configure(|config| config.engine.utp = utp)
        .listen([local])
        .state_folder(folder.join("state"))
        .start()
        .await
        .unwrap()
}

async fn seed(folder: &Path, carrier: &str) {
    let session = session(folder, carrier).await;
    let add = AddTorrent::file(folder.join("torrent")).folder(folder).only_peers(true);
    let torrent = session.add(add).await.unwrap();
    torrent.wait_complete().await.unwrap();
    let before = cpu();
    println!("{}", session.listening()[0]);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let gib = line.trim().parse::<f64>().unwrap() / 1024.0;
    println!("seed: {:.2} CPU s/GiB, peak {} MiB", (cpu() - before) / gib, peak_mib());
    session.shutdown(Duration::from_secs(1)).await;
}

async fn leech(folder: &Path, carrier: &str, peer: SocketAddr, mib: f64) {
    let session = session(folder, carrier).await;
    let before = cpu();
    let began = Instant::now();
    let add = AddTorrent::file(folder.join("torrent")).folder(folder).only_peers(true).peers([peer]);
    let torrent = session.add(add).await.unwrap();
    torrent.wait_complete().await.unwrap();
    let rate = mib / began.elapsed().as_secs_f64();
    let cost = (cpu() - before) / (mib / 1024.0);
    println!("{rate:.0} MiB/s, {cost:.2} CPU s/GiB, peak {} MiB", peak_mib());
    session.shutdown(Duration::from_secs(1)).await;
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let ticks = after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

/// The most memory that this process ever had resident.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// Writes a file and returns its torrent file.
fn make(path: &Path, mib: usize, piece: usize) -> Vec<u8> {
    let mut file = fs::File::create(path).unwrap();
    let mut state = 1_u64;
    let mut pieces = Vec::new();
    let length = mib << 20;
    for _ in 0..length.div_ceil(piece) {
        let mut bytes = Vec::with_capacity(piece);
        while bytes.len() < piece {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        pieces.extend_from_slice(&Sha1::digest(&bytes));
        file.write_all(&bytes).unwrap();
    }
    let head =
        format!("d4:infod6:lengthi{length}e4:name4:file12:piece lengthi{piece}e6:pieces{}:", pieces.len());
    [head.as_bytes(), &pieces, b"ee"].concat()
}
