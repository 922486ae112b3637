//! `seed`, `download` and `demo`: processes that meet over loopback.

use crate::fixture::{Fixture, Node, lines, text, with_event};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

/// A file, its torrent, and a process that seeds it.
struct Swarm {
    fixture: Fixture,
    seed: Node,
}

impl Swarm {
    fn new(version: &str, length: usize, seed_args: &[&str]) -> Self {
        let fixture = Fixture::new();
        fixture.file("data/f", length);
        assert!(fixture.run(&["create", "data/f", version]).status.success());
        let seed = seed(&fixture, "f.torrent", seed_args);
        Self { fixture, seed }
    }

    fn download<'a>(&'a self, what: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let args = ["download", what, "-o", "out", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
        [&args[..], &["--peer", self.seed.address.as_str()], more].concat()
    }
}

fn seed(fixture: &Fixture, torrent: &str, more: &[&str]) -> Node {
    let args = ["seed", torrent, "--data", "data", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
    Node::start(fixture, &[&args[..], more].concat())
}

fn assert_same(one: &Path, other: &Path) {
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{one:?} is not {other:?}");
}

#[test]
fn a_download_from_a_seed_is_whole_and_says_so() {
    for version in ["--v1", "--v2", "--hybrid"] {
        let swarm = Swarm::new(version, 1_000_000, &[]);
        let output = swarm.fixture.run(&swarm.download("f.torrent", &[]));
        assert_eq!(output.status.code(), Some(0), "{version}: {output:?}");
        assert_same(&swarm.fixture.path("out/f"), &swarm.fixture.path("data/f"));
        let lines = lines(&output.stdout);
        for event in ["added", "metadata", "listening", "progress", "complete", "stopped"] {
            assert!(!with_event(&lines, event).is_empty(), "{event}: {lines:?}");
        }
        let last = *with_event(&lines, "progress").last().unwrap();
        assert_eq!((&last["verified"], &last["wanted"]), (&json!(1_000_000), &json!(1_000_000)));
        for key in [
            "length",
            "download_rate",
            "upload_rate",
            "downloaded",
            "uploaded",
            "peers",
            "pieces",
            "pieces_verified",
            "eta",
        ] {
            assert!(last.get(key).is_some_and(Value::is_number), "{key}: {last}");
        }
    }
}

#[test]
fn a_magnet_link_is_enough() {
    for (version, key, urn) in [
        ("--v1", "info_hash_v1", "btih:"),
        ("--v2", "info_hash_v2", "btmh:1220"),
        ("--hybrid", "info_hash_v1", "btih:"),
    ] {
        let swarm = Swarm::new(version, 300_000, &[]);
        let seen = swarm.fixture.json(0, &["inspect", "f.torrent", "--json"]);
        let link = format!("magnet:?xt=urn:{urn}{}", seen[key].as_str().unwrap());
        let output = swarm.fixture.run(&swarm.download(&link, &[]));
        assert_eq!(output.status.code(), Some(0), "{version}: {output:?}");
        assert_same(&swarm.fixture.path("out/f"), &swarm.fixture.path("data/f"));
    }
}

#[test]
fn a_killed_download_goes_on_from_where_it_was() {
    let swarm = Swarm::new("--hybrid", 8_000_000, &["--max-upload", "2M"]);
    let mut node = Node::start(&swarm.fixture, &swarm.download("f.torrent", &[]));
    let part = node.wait(|line| line["verified"].as_u64().is_some_and(|verified| verified > 1_000_000));
    node.kill();
    let output = swarm.fixture.run(&swarm.download("f.torrent", &[]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_same(&swarm.fixture.path("out/f"), &swarm.fixture.path("data/f"));
    let lines = lines(&output.stdout);
    let received = with_event(&lines, "complete")[0]["downloaded"].as_u64().unwrap();
    let first = with_event(&lines, "progress")[0]["verified"].as_u64().unwrap();
    assert!(first >= part["verified"].as_u64().unwrap(), "{first} is a step back");
    assert!(received <= 8_000_000 - part["verified"].as_u64().unwrap(), "{received} came again");
}

#[test]
fn only_selected_files_come() {
    let fixture = Fixture::new();
    for name in ["a", "b", "c", "d"] {
        fixture.file(&format!("data/many/{name}"), 100_000 + name.len());
    }
    assert!(fixture.run(&["create", "data/many", "--piece-length", "16K"]).status.success());
    let swarm = Swarm { seed: seed(&fixture, "many.torrent", &[]), fixture };
    let output = swarm.fixture.run(&swarm.download("many.torrent", &["--select", "1,3"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["b", "d"] {
        let name = format!("many/{name}");
        assert_same(&swarm.fixture.path("out").join(&name), &swarm.fixture.path("data").join(&name));
    }
    for name in ["a", "c"] {
        let path = swarm.fixture.path("out/many").join(name);
        assert!(!path.exists(), "{path:?} wasn't asked for");
    }
    let output = swarm.fixture.run(&swarm.download("many.torrent", &["--high", "2", "--low", "0"]));
    assert_eq!(output.status.code(), Some(0), "the rest comes when it is asked for: {output:?}");
    assert_same(&swarm.fixture.path("out/many/a"), &swarm.fixture.path("data/many/a"));
}

#[test]
fn what_was_downloaded_is_seeded_to_the_next() {
    let Swarm { fixture, seed } = Swarm::new("--hybrid", 1_000_000, &[]);
    fn args<'a>(to: &'a str, peer: &'a str) -> Vec<&'a str> {
        let args = ["download", "f.torrent", "-o", to, "--peer", peer, "--only-peers", "--json"];
        [&args[..], &["--listen", "127.0.0.1:0"]].concat()
    }
    let mut first = Node::start(&fixture, &[&args("one", &seed.address)[..], &["--seed"]].concat());
    first.wait(|line| line["event"] == "complete");
    assert_eq!(seed.interrupt().0, Some(130), "from now on there is only the first leech");
    let output = fixture.run(&args("two", &first.address));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_same(&fixture.path("two/f"), &fixture.path("data/f"));
    let (code, lines) = first.interrupt();
    assert_eq!((code, &lines.last().unwrap()["uploaded"]), (Some(130), &json!(1_000_000)));
}

#[test]
fn a_sequential_download_has_the_beginning_first_and_keeps_to_its_rate() {
    /// Pieces that may be had while the peer chokes (BEP 6), in whatever order.
    const ALLOWED_FAST: u64 = 10;
    const PIECE: u64 = 16 << 10;
    const RATE: u64 = 1 << 20;
    let fixture = Fixture::new();
    fixture.file("data/f", 8 << 20);
    assert!(fixture.run(&["create", "data/f", "--v1", "--piece-length", "16K"]).status.success());
    let swarm = Swarm { seed: seed(&fixture, "f.torrent", &[]), fixture };
    let since = Instant::now();
    let more = ["--sequential", "--max-download", "1M"];
    let mut node = Node::start(&swarm.fixture, &swarm.download("f.torrent", &more));
    node.wait(|line| line["verified"].as_u64().is_some_and(|verified| verified >= 4 << 20));
    let (code, lines) = node.interrupt();
    let took = since.elapsed().as_millis() as u64;
    assert_eq!(code, Some(130));
    let received = lines.last().unwrap()["downloaded"].as_u64().unwrap();
    assert!(received <= RATE * (took + 500) / 1_000, "{received} bytes in {took} ms");
    assert!(received >= RATE * took / 1_000 / 4, "{received} bytes in {took} ms");
    let seen = swarm.fixture.json(1, &["verify", "f.torrent", "--data", "out", "--json"]);
    let missing: Vec<_> = seen["missing"].as_array().unwrap().iter().collect();
    let end = |range: &Value| range["offset"].as_u64().unwrap() + range["length"].as_u64().unwrap();
    let total: u64 = missing.iter().map(|range| range["length"].as_u64().unwrap()).sum();
    let beyond = end(missing.last().unwrap()) - missing[0]["offset"].as_u64().unwrap() - total;
    assert!(missing[0]["offset"].as_u64().unwrap() >= 3 << 20, "{missing:?}");
    assert!(beyond <= ALLOWED_FAST * PIECE, "only what is allowed fast comes out of its turn: {missing:?}");
}

#[test]
fn a_torrent_file_comes_from_a_web_server() {
    let swarm = Swarm::new("--hybrid", 300_000, &[]);
    let torrent = fs::read(swarm.fixture.path("f.torrent")).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/some/f.torrent", server.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", torrent.len());
        stream.write_all(&[head.as_bytes(), &torrent].concat()).unwrap();
        String::from_utf8(request).unwrap()
    });
    // Not out of the file that lies here.
    fs::remove_file(swarm.fixture.path("f.torrent")).unwrap();
    let output = swarm.fixture.run(&swarm.download(&url, &[]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_same(&swarm.fixture.path("out/f"), &swarm.fixture.path("data/f"));
    let request = serving.join().unwrap();
    assert!(request.starts_with("GET /some/f.torrent HTTP/1.1\r\n"), "{request}");
}

#[test]
fn a_full_disk_is_said_and_when_there_is_room_the_rest_comes() {
    let fixture = Fixture::new();
    fixture.file("data/many/a", 1_000_000);
    fixture.file("data/many/b", 3_000_000);
    assert!(fixture.run(&["create", "data/many", "--piece-length", "16K"]).status.success());
    let swarm = Swarm { seed: seed(&fixture, "many.torrent", &[]), fixture };
    let output = swarm.fixture.run(&swarm.download("many.torrent", &["--select", "0"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // No file may be longer than 2,000 blocks of 512 bytes (or of 1,024): too short for the second.
    let args = swarm.download("many.torrent", &[]);
    let output = swarm.fixture.limited("trap '' XFSZ && ulimit -f 2000", &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let full = swarm.fixture.path("out/many/b");
    assert!(said.contains(text(&full)) && said.lines().count() == 1, "{said}");
    let before = lines(&output.stdout);
    let kept = with_event(&before, "progress").last().unwrap()["verified"].as_u64().unwrap();
    assert!(kept >= 1_000_000, "what was there is still there: {kept}");
    let output = swarm.fixture.run(&args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_same(&full, &swarm.fixture.path("data/many/b"));
    let after = lines(&output.stdout);
    assert_eq!(with_event(&after, "complete")[0]["downloaded"], json!(4_000_000 - kept));
}

#[test]
fn a_magnet_link_that_lacks_the_selected_file_fails_as_wrong_usage() {
    let swarm = Swarm::new("--v1", 100_000, &[]);
    let seen = swarm.fixture.json(0, &["inspect", "f.torrent", "--json"]);
    let link = format!("magnet:?xt=urn:btih:{}", seen["info_hash_v1"].as_str().unwrap());
    let said = swarm.fixture.complaint(2, &swarm.download(&link, &["--select", "0,7"]));
    assert!(said.contains("there is no file 7") && said.lines().count() == 1, "{said}");
}

#[test]
fn an_interrupted_download_says_how_far_it_is_and_that_nothing_is_lost() {
    use std::io::{BufRead as _, BufReader};
    let fixture = Fixture::new();
    fixture.file("data/f", 100_000);
    assert!(fixture.run(&["create", "data/f"]).status.success());
    let args = ["download", "f.torrent", "-o", "out", "--only-peers", "--listen", "127.0.0.1:0"];
    let mut child = fixture.command(&args).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // By then it is watched.
    assert!(told.by_ref().any(|line| line.starts_with("f: ")));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let last = told.last();
    assert_eq!(last.as_deref(), Some("f: 0% of 97.6 KiB is there; the same command goes on from there"));
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_signal_ends_a_node_in_good_order() {
    let swarm = Swarm::new("--v1", 100_000, &[]);
    let (code, lines) = swarm.seed.interrupt();
    assert_eq!(code, Some(130));
    assert_eq!(lines.last().unwrap()["event"], "stopped", "{lines:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_seed_that_nobody_asks_sleeps() {
    use core::time::Duration;
    let mut swarm = Swarm::new("--v1", 100_000, &[]);
    swarm.seed.wait(|line| line["event"] == "complete");
    thread::sleep(Duration::from_millis(500));
    let before = swarm.seed.turns();
    thread::sleep(Duration::from_secs(3));
    let turns = swarm.seed.turns() - before;
    assert!(turns <= 1, "{turns} turns in 3 s");
}

#[test]
fn a_seed_without_its_data_says_so() {
    let fixture = Fixture::new();
    fixture.file("data/f", 100_000);
    assert!(fixture.run(&["create", "data/f"]).status.success());
    fs::create_dir(fixture.path("empty")).unwrap();
    let args = ["seed", "f.torrent", "--data", "empty", "--listen", "127.0.0.1:0", "--only-peers"];
    let said = fixture.complaint(1, &args);
    assert!(said.contains("--data") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_seed_writes_nothing_not_even_an_empty_file() {
    let fixture = Fixture::new();
    fixture.file("data/many/a", 100_000);
    fixture.file("data/many/empty", 0);
    assert!(fixture.run(&["create", "data/many"]).status.success());
    fs::create_dir(fixture.path("wrong")).unwrap();
    let args = ["seed", "many.torrent", "--data", "wrong", "--listen", "127.0.0.1:0", "--only-peers"];
    let said = fixture.complaint(1, &args);
    assert!(said.contains("nothing of it is there to be seeded"), "{said}");
    assert_eq!(fs::read_dir(fixture.path("wrong")).unwrap().count(), 0);
    fs::remove_file(fixture.path("data/many/empty")).unwrap();
    let mut node = seed(&fixture, "many.torrent", &[]);
    node.wait(|line| line["event"] == "complete");
    let (code, _) = node.interrupt();
    assert_eq!((code, fixture.path("data/many/empty").exists()), (Some(130), false));
}

#[test]
fn only_selected_files_are_made_and_others_when_they_are() {
    let fixture = Fixture::new();
    fixture.file("data/many/a", 100_000);
    fixture.file("data/many/empty", 0);
    assert!(fixture.run(&["create", "data/many"]).status.success());
    let swarm = Swarm { seed: seed(&fixture, "many.torrent", &[]), fixture };
    let output = swarm.fixture.run(&swarm.download("many.torrent", &["--select", "0"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(swarm.fixture.path("out/many/a").exists() && !swarm.fixture.path("out/many/empty").exists());
    let output = swarm.fixture.run(&swarm.download("many.torrent", &[]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(swarm.fixture.path("out/many/empty")).unwrap(), b"");
}

#[test]
fn a_peer_that_is_not_there_is_warned_of_once() {
    let fixture = Fixture::new();
    fixture.file("data/f", 100_000);
    assert!(fixture.run(&["create", "data/f"]).status.success());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let args = ["download", "f.torrent", "-o", "out", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
    let mut node = Node::start(&fixture, &[&args[..], &["--peer", &nobody, "--utp", "off"]].concat());
    let warning = node.wait(|line| line["event"] == "warning");
    let said = warning["message"].as_str().unwrap().to_owned();
    assert!(said.contains(&nobody) && said.contains("can't be reached"), "{said}");
    let (_, told) = node.interrupt();
    assert_eq!(with_event(&told, "warning").len(), 1, "{told:?}");
}

#[test]
fn a_seed_of_damaged_data_warns_and_changes_nothing() {
    let swarm = Swarm::new("--v1", 400_000, &[]);
    let damaged = swarm.fixture.path("data/f");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[0] ^= 1;
    fs::create_dir(swarm.fixture.path("other")).unwrap();
    fs::write(swarm.fixture.path("other/f"), &bytes).unwrap();
    let args = ["seed", "f.torrent", "--data", "other", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
    let mut node = Node::start(&swarm.fixture, &[&args[..], &["--peer", &swarm.seed.address]].concat());
    let warning = node.wait(|line| line["event"] == "warning");
    assert!(warning["message"].as_str().unwrap().contains("1 piece"), "{warning}");
    let (_, _) = node.interrupt();
    assert_eq!(fs::read(swarm.fixture.path("other/f")).unwrap(), bytes);
}

#[test]
fn a_folder_that_cannot_be_written_fails_with_a_sentence() {
    let swarm = Swarm::new("--v1", 100_000, &[]);
    // A file stands where the folder should be.
    fs::write(swarm.fixture.path("out"), b"").unwrap();
    let args = swarm.download("f.torrent", &[]);
    let lines = lines(&swarm.fixture.run(&args).stdout);
    let events: Vec<&str> = lines.iter().rev().take(2).map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["stopped", "error"], "{lines:?}");
    let said = swarm.fixture.complaint(1, &args);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(text(&swarm.fixture.path("out"))), "{said}");
}

#[test]
fn the_demo_verifies_every_copy() {
    let fixture = Fixture::new();
    let output = fixture.run(&["demo", "--size", "4M", "--leeches", "3", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output.stdout);
    assert_eq!(with_event(&lines, "complete").len(), 3);
    let last = lines.last().unwrap();
    assert_eq!((&last["node"], &last["leeches"]), (&json!("demo"), &json!(3)));
    let sent = last["seed_uploaded"].as_u64().unwrap() + last["leeches_uploaded"].as_u64().unwrap();
    assert!(sent >= 3 * (4 << 20), "{last}");
}

/// A process that seeds, under a limit of open files.
fn limited_seed(fixture: &Fixture, limit: &str) -> Node {
    fixture.file("data/f", 100_000);
    assert!(fixture.run(&["create", "data/f"]).status.success());
    let args = ["seed", "f.torrent", "--data", "data", "--only-peers", "--listen", "127.0.0.1:0", "--json"];
    Node::limited(fixture, limit, &args)
}

#[test]
fn a_host_that_runs_out_of_files_accepts_links_again_when_some_are_free() {
    let fixture = Fixture::new();
    let mut node = limited_seed(&fixture, "-n 40");
    node.wait(|line| line["event"] == "complete");
    let crowd: Vec<_> = (0..100).map(|_| TcpStream::connect(&node.address).unwrap()).collect();
    let open = || fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count();
    // It holds as many as it may.
    while open() < 40 {
        thread::yield_now();
    }
    drop(crowd);
    let mut late = TcpStream::connect(&node.address).unwrap();
    late.set_read_timeout(Some(core::time::Duration::from_secs(20))).unwrap();
    late.write_all(b"no handshake at all, which ends a link that was accepted").unwrap();
    let ended = late.read(&mut [0; 1]);
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(matches!(&ended, Ok(0)) || ended.as_ref().is_err_and(reset), "{ended:?}");
    assert_eq!(node.interrupt().0, Some(130));
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_the_host_allows() {
    let fixture = Fixture::new();
    let node = limited_seed(&fixture, "-S -n 64");
    let limits = fs::read_to_string(format!("/proc/{}/limits", node.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().skip(3);
    assert_eq!(numbers.next(), numbers.next(), "{line}");
}
