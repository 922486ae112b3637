//! Proxies, interfaces and filters: what goes through, and that nothing goes by.

use crate::behind::{https_tracker, secure_tracker};
use crate::fixture::{Fixture, Node, lines, text, with_event};
use crate::proxy::Proxy;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::core::wire::tracker::SwarmCounts;
use millstream::core::wire::tracker_udp::{
    ConnectionId, Family, Request, read_request, write_announced, write_connected,
};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::thread;

/// What the trackers tell: the seed, at an address that only the proxy leads anywhere.
pub(crate) fn seed_as_told(seed: &Node) -> SocketAddr {
    let seed: SocketAddr = seed.address.parse().unwrap();
    SocketAddr::from((Ipv4Addr::new(203, 0, 113, 5), seed.port()))
}

/// What a tracker over HTTP answers that knows one peer.
pub(crate) fn answer_with(peer: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(peer) = peer else { panic!("{peer}") };
    let packed = [&peer.ip().octets()[..], &peer.port().to_be_bytes()].concat();
    let body = [b"d8:intervali60e5:peers6:", &packed[..], b"e"].concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// A tracker that tells everybody of one peer, over HTTP. Its port.
fn http_tracker(peer: SocketAddr) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer_with(peer);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(&answer);
        }
    });
    port
}

/// The same over UDP (BEP 15).
fn udp_tracker(peer: SocketAddr) -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            let answer = match read_request(&buffer[..bytes]) {
                Ok(Request::Connect { transaction }) => write_connected(transaction, ConnectionId(7)),
                Ok(Request::Announce { transaction, .. }) => {
                    write_announced(transaction, Family::V4, 60, SwarmCounts::default(), &[peer])
                }
                Ok(Request::Scrape { .. }) | Err(_) => continue,
            };
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

const ALONE: [&str; 4] = ["--no-dht", "--no-lsd", "--port-mapping", "off"];

/// A file, its torrent, and a process that seeds it.
pub(crate) fn seeded(length: usize, more: &[&str]) -> (Fixture, Node, String) {
    let fixture = Fixture::new();
    fixture.file("data/f", length);
    assert!(fixture.run(&["create", "data/f", "--v1"]).status.success());
    let hash =
        fixture.json(0, &["inspect", "f.torrent", "--json"])["info_hash_v1"].as_str().unwrap().to_owned();
    let args = ["seed", "f.torrent", "--data", "data", "--listen", "127.0.0.1:0", "--json", "--only-peers"];
    let seed = Node::start(&fixture, &[&args[..], more].concat());
    (fixture, seed, hash)
}

pub(crate) fn assert_whole(fixture: &Fixture) {
    assert!(fs::read(fixture.path("out/f")).unwrap() == fs::read(fixture.path("data/f")).unwrap());
}

#[test]
fn a_magnet_comes_through_a_socks5_proxy_by_a_udp_tracker_that_only_the_proxy_can_name() {
    let (fixture, seed, hash) = seeded(400_000, &[]);
    let port = udp_tracker(seed_as_told(&seed));
    let proxy = Proxy::start(false);
    let magnet = format!("magnet:?xt=urn:btih:{hash}&tr=udp://udp.tracker.invalid:{port}/announce");
    let url = format!("socks5://me:p%40ss@{}", proxy.addr);
    let args = ["download", &magnet, "-o", "out", "--json", "--proxy", &url];
    let output = fixture.run(&[&args[..], &ALONE].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_whole(&fixture);
    let asked = proxy.asked();
    assert!(asked.contains(&format!("udp udp.tracker.invalid:{port}")), "{asked:?}");
    assert!(asked.contains(&format!("tcp {}", seed_as_told(&seed))), "{asked:?}");
    assert!(with_event(&lines(&output.stdout), "listening").is_empty(), "nobody can reach it");
}

#[test]
fn an_http_proxy_leads_to_trackers_and_peers() {
    let (fixture, seed, hash) = seeded(400_000, &[]);
    let port = http_tracker(seed_as_told(&seed));
    let proxy = Proxy::start(true);
    let magnet = format!("magnet:?xt=urn:btih:{hash}&tr=http://tracker.invalid:{port}/announce");
    let url = format!("http://me:p%40ss@{}", proxy.addr);
    let args = ["download", &magnet, "-o", "out", "--json", "--proxy", &url];
    let output = fixture.run(&[&args[..], &ALONE].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_whole(&fixture);
    assert!(proxy.asked().contains(&format!("tcp tracker.invalid:{port}")), "{:?}", proxy.asked());
    let lines = lines(&output.stdout);
    let stopped = with_event(&lines, "stopped")[0];
    assert_eq!(stopped["found"]["trackers"], 1, "{stopped}");
}

#[test]
fn whence_peers_came_is_logged_if_that_is_asked_for_and_the_last_line_stays_short() {
    let (fixture, seed, _) = seeded(1000, &[]);
    for (out, v) in [("out", &[][..]), ("again", &["-v"])] {
        let args = ["download", "f.torrent", "-o", out, "--peer", &seed.address, "--listen", "127.0.0.1:0"];
        let output = fixture.run(&[v, &args[..], &ALONE].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let (said, logged) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
        assert_eq!(said.unwrap().lines().last(), Some("stopped: 1000 B received, 0 B sent"));
        assert_eq!(logged.unwrap().contains("found=Found { user: 1, trackers: 0"), !v.is_empty(), "{out}");
    }
}

#[test]
fn a_proxy_that_refuses_the_password_is_told() {
    let (fixture, _seed, hash) = seeded(1000, &[]);
    let proxy = Proxy::start(true);
    let magnet = format!("magnet:?xt=urn:btih:{hash}&tr=http://tracker.invalid:9/announce");
    let url = format!("http://me:wrong@{}", proxy.addr);
    let mut child = fixture.command(&["download", &magnet, "-o", "out", "--json", "--proxy", &url]);
    let mut child = child.args(ALONE).stdout(Stdio::piped()).spawn().unwrap();
    let reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let told = std::io::BufRead::lines(reader).map_while(Result::ok).find(|line| line.contains("password"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(told.is_some());
}

#[test]
fn a_peer_by_name_is_reached_through_a_proxy_over_either_carrier_also_with_a_list_of_reserved_addresses() {
    for utp in ["off", "only"] {
        let (fixture, seed, _) = seeded(400_000, &[]);
        fs::write(fixture.path("list"), "240.0.0.0/4\n").unwrap();
        let proxy = Proxy::start(false);
        let (url, port) = (format!("socks5://me:p%40ss@{}", proxy.addr), seed_as_told(&seed).port());
        let peer = format!("peer.invalid:{port}");
        let args = ["download", "f.torrent", "-o", "out", "--json", "--proxy", &url, "--only-peers"];
        let more = ["--peer", peer.as_str(), "--ip-filter", "list", "--utp", utp];
        let output = fixture.run(&[&args[..], &more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_whole(&fixture);
        let carrier = if utp == "off" { "tcp" } else { "udp" };
        assert!(proxy.asked().contains(&format!("{carrier} {peer}")), "{:?}", proxy.asked());
    }
}

/// The command under strace, which writes down what it does with the network.
fn traced(fixture: &Fixture, args: &[&str]) -> Command {
    assert!(Command::new("strace").arg("-V").output().is_ok(), "strace is needed here: please install it");
    let mut command = Command::new("strace");
    command.current_dir(&fixture.folder).env("XDG_STATE_HOME", fixture.path("state"));
    command.args(["-f", "-qq", "-e", "trace=network", "-o", text(&fixture.path("trace"))]);
    command.arg(env!("CARGO_BIN_EXE_millstream")).args(args);
    command
}

/// The lines of a trace that say that something went anywhere but to these addresses.
fn leaks(trace: &str, allowed: &[SocketAddr]) -> Vec<String> {
    let far = |line: &&str| {
        // A name service, a multicast group, a listener: each shows an address, or is a call that needs none.
        let shows_address =
            line.contains("sin_port") || line.contains("sin6_port") || line.contains("sun_path");
        let asks = ["connect(", "sendto(", "sendmsg(", "sendmmsg(", "bind(", "listen("];
        shows_address && asks.iter().any(|call| line.contains(call)) || line.contains("listen(")
    };
    let may = |line: &&str| {
        allowed.iter().any(|addr| {
            let port = format!("sin_port=htons({})", addr.port());
            line.contains(&port) && line.contains(&format!("inet_addr(\"{}\")", addr.ip()))
        })
    };
    trace.lines().filter(far).filter(|line| !may(line)).map(str::to_owned).collect()
}

/// Trackers by name over HTTP and UDP, the DHT with its well-known names, a web seed, a magnet, local discovery and port
/// mapping as far as they are on by default; and the proxy dies on the way and comes back.
#[test]
fn the_kill_switch_nothing_goes_by_the_proxy_also_when_it_dies_and_comes_back() {
    let (fixture, seed, hash) = seeded(1_500_000, &["--max-upload", "300K"]);
    let told = seed_as_told(&seed);
    let (http, udp) = (http_tracker(told), udp_tracker(told));
    let proxy = Proxy::start(false);
    let (addr, url) = (proxy.addr, format!("socks5://me:p%40ss@{}", proxy.addr));
    let magnet = format!(
        "magnet:?xt=urn:btih:{hash}&tr=http://tracker.invalid:{http}/announce\
         &tr=udp://udp.invalid:{udp}/announce&ws=http://web.invalid/f&x.pe=peer.invalid:9&x.pe={told}"
    );
    let args = ["download", &magnet, "-o", "out", "--json", "--proxy", &url, "--peer", "name.invalid:9"];
    let mut command = traced(&fixture, &args);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut progress = std::io::BufRead::lines(reader).map_while(Result::ok);
    let verified = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["verified"].as_u64().is_some_and(|bytes| bytes > 100_000)
    };
    assert!(progress.any(|line| verified(&line)), "it begins");
    let mut relays = proxy.relays();
    let before = proxy.asked();
    proxy.die();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(child.try_wait().unwrap(), None, "it waits");
    let again = Proxy::at(addr, false);
    let rest: Vec<String> = progress.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert_whole(&fixture);
    relays.extend(again.relays());
    let trace = fs::read_to_string(fixture.path("trace")).unwrap();
    let mut allowed = relays.clone();
    allowed.push(addr);
    let leaks = leaks(&trace, &allowed);
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(trace.contains("connect("), "the trace shows what went to the proxy");
    assert!(before.contains(&format!("tcp tracker.invalid:{http}")), "{before:?}");
    assert!(before.contains(&"tcp name.invalid:9".to_owned()), "the proxy is asked for names: {before:?}");
    assert!(again.asked().contains(&format!("tcp {told}")), "it comes back by itself");
}

/// An HTTP proxy has no way for datagrams: the UDP tracker, the DHT and neighbours stay unasked, and all else goes by it.
/// The tracker over TLS is believed by the authority in `SSL_CERT_FILE`; the one before it fails, or it wouldn't be asked.
#[test]
fn the_kill_switch_nothing_goes_by_an_http_proxy_which_takes_no_datagrams() {
    let (fixture, seed, hash) = seeded(1_500_000, &["--max-upload", "300K"]);
    let told = seed_as_told(&seed);
    let udp = udp_tracker(told);
    let (secure, heard) = secure_tracker(&fixture);
    let proxy = Proxy::start(true);
    let (addr, url) = (proxy.addr, format!("http://me:p%40ss@{}", proxy.addr));
    let magnet = format!(
        "magnet:?xt=urn:btih:{hash}&tr=http://dead.invalid:9/announce\
         &tr=udp://udp.invalid:{udp}/announce&tr=wss://tracker.invalid:{secure}/announce\
         &ws=http://web.invalid/f&x.pe=peer.invalid:9&x.pe={told}"
    );
    let args = ["download", &magnet, "-o", "out", "--json", "--proxy", &url, "--peer", "name.invalid:9"];
    let mut command = traced(&fixture, &args);
    let output = command.env("SSL_CERT_FILE", fixture.path("ca.pem")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_whole(&fixture);
    assert!(heard.recv_timeout(Duration::from_secs(10)).is_ok(), "the tracker over TLS was reached");
    let asked = proxy.asked();
    for name in [format!("tracker.invalid:{secure}"), "dead.invalid:9".into(), "name.invalid:9".into()] {
        assert!(asked.contains(&format!("tcp {name}")), "{name}: {asked:?}");
    }
    let trace = fs::read_to_string(fixture.path("trace")).unwrap();
    let leaks = leaks(&trace, &[addr]);
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(!trace.contains("SOCK_DGRAM"), "not even a socket for datagrams");
}

/// Trackers over TLS, by HTTP and by WebSockets, behind proxies of both kinds: names are the proxy's to look up, also those
/// that certificates are checked for.
#[test]
fn the_kill_switch_nothing_goes_by_a_proxy_to_trackers_over_tls() {
    for (socket, http) in [(false, false), (false, true), (true, false), (true, true)] {
        let (fixture, seed, hash) = seeded(600_000, &["--max-upload", "300K"]);
        let told = seed_as_told(&seed);
        let (paths, events, tracker) = if socket {
            let (port, events) = secure_tracker(&fixture);
            (None, Some(events), format!("wss://tracker.invalid:{port}/announce&x.pe={told}"))
        } else {
            let (port, paths) = https_tracker(&fixture, told);
            (Some(paths), None, format!("https://tracker.invalid:{port}/announce"))
        };
        let proxy = Proxy::start(http);
        let (addr, scheme) = (proxy.addr, if http { "http" } else { "socks5" });
        let url = format!("{scheme}://me:p%40ss@{addr}");
        let magnet = format!("magnet:?xt=urn:btih:{hash}&tr={tracker}");
        let mut command =
            traced(&fixture, &["download", &magnet, "-o", "out", "--json", "--no-dht", "--proxy", &url]);
        let output = command.env("SSL_CERT_FILE", fixture.path("ca.pem")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_whole(&fixture);
        let patience = Duration::from_secs(10);
        let heard = paths.is_none_or(|it| it.recv_timeout(patience) == Ok("GET /announce".to_owned()));
        assert!(heard && events.is_none_or(|it| it.recv_timeout(patience).is_ok()), "{scheme} {tracker}");
        let asked = proxy.asked();
        let named = |what: &&String| what.starts_with("tcp tracker.invalid:");
        assert!(asked.iter().any(|what| named(&what)), "{asked:?}");
        let trace = fs::read_to_string(fixture.path("trace")).unwrap();
        let allowed = [&[addr][..], &proxy.relays()].concat();
        let leaks = leaks(&trace, &allowed);
        assert!(leaks.is_empty(), "{scheme} {tracker}: {leaks:#?}");
    }
}

#[test]
fn the_trace_shows_a_leak_where_there_is_no_proxy() {
    let (fixture, seed, _) = seeded(1000, &[]);
    let args = ["download", "f.torrent", "-o", "out", "--peer", &seed.address, "--listen", "127.0.0.1:0"];
    let mut command = traced(&fixture, &[&args[..], &ALONE].concat());
    assert!(command.output().unwrap().status.success());
    let trace = fs::read_to_string(fixture.path("trace")).unwrap();
    let leaks = leaks(&trace, &[]);
    for call in ["connect(", "bind(", "listen("] {
        assert!(leaks.iter().any(|line| line.contains(call)), "{call}: {leaks:#?}");
    }
}

#[test]
fn a_filter_list_keeps_peers_away_and_says_which_lines_are_no_rules() {
    let (fixture, seed, _) = seeded(1000, &[]);
    fs::write(fixture.path("list"), "not a rule\n127.0.0.0 - 127.0.0.255 , 0 , here\n").unwrap();
    let args = ["download", "f.torrent", "-o", "out", "--json", "--listen", "127.0.0.1:0", "--only-peers"];
    let args = [&args[..], &["--peer", &seed.address, "--ip-filter", "list"]].concat();
    let node = Node::start(&fixture, &args);
    thread::sleep(Duration::from_millis(700));
    let (code, lines) = node.interrupt();
    assert_eq!(code, Some(130));
    assert!(with_event(&lines, "complete").is_empty());
    let stopped = with_event(&lines, "stopped")[0];
    assert!(stopped["filtered"]["addresses"].as_u64() > Some(0), "{stopped}");
    assert_eq!(stopped["found"]["user"], 0, "who is forbidden isn't found: {stopped}");
    let warning = with_event(&lines, "warning")[0]["message"].as_str().unwrap();
    assert_eq!(warning, "list: 1 line is no rule, skipped; the first is line 1: no address range");
    fs::write(fixture.path("list"), "<html>\n").unwrap();
    let why = fixture.complaint(1, &args.iter().copied().filter(|arg| *arg != "--json").collect::<Vec<_>>());
    assert!(why.contains("list: no line is a rule; line 1"), "{why}");
}

#[test]
fn everything_comes_from_the_bound_address_and_a_missing_interface_is_said() {
    let (fixture, seed, hash) = seeded(200_000, &[]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tracker = listener.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let body = b"d8:intervali60e5:peers0:e";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        from.ip()
    });
    let magnet = format!("magnet:?xt=urn:btih:{hash}&tr=http://{tracker}/announce");
    let args = ["download", &magnet, "-o", "out", "--json", "--peer", &seed.address, "--bind", "127.0.0.9"];
    let output = fixture.run(&[&args[..], &ALONE].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output.stdout);
    let listening = with_event(&lines, "listening");
    assert!(listening.iter().all(|line| line["address"].as_str().unwrap().starts_with("127.0.0.9:")));
    assert_eq!(asked.join().unwrap().to_string(), "127.0.0.9");
    let why = fixture.complaint(1, &["download", &magnet, "--bind", "nosuch0"]);
    assert!(why.contains("--bind: the interface nosuch0 has no address"), "{why}");
    let why = fixture.complaint(2, &["download", &magnet, "--proxy", "ftp://x"]);
    assert!(why.contains("a proxy is socks5://host:port or http://host:port"), "{why}");
}
