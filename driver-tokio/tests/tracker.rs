//! The tracker as a server, over loopback: two workers, every protocol, restarts, lists, and hostile clients.
#![cfg(feature = "tracker")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use futures_util::{SinkExt as _, StreamExt as _};
use millstream::core::wire::tracker::{AnnounceQuery, AnswerLimits, SwarmCounts, TrackerEvent};
use millstream::core::wire::tracker_udp::{
    self, ConnectionId, Family, Reply, TransactionId, read_reply, write_announce, write_connect, write_scrape,
};
use millstream::core::wire::tracker_ws::{self, Offer, OfferId, SignalAnnounce, SignalAnswer, SignalReply};
use millstream::core::wire::{InfoHash, PeerId, percent, tracker_http};
use millstream::tracker::{Fault, Protocol, Rules, TrackerServer, TrackerServerConfig};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const T: TransactionId = TransactionId(9);

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn config() -> TrackerServerConfig {
    TrackerServerConfig {
        workers: 2,
        udp: vec![loopback()],
        http: vec![loopback()],
        websocket: vec![loopback()],
        stats: vec![loopback()],
        http_head_timeout_ms: 1000,
        ..TrackerServerConfig::default()
    }
}

fn start() -> TrackerServer {
    TrackerServer::start(config()).unwrap()
}

fn hash(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

fn query(torrent: u8, port: u16, left: u64) -> AnnounceQuery {
    let mut peer_id = PeerId([b'p'; 20]);
    peer_id.0[18..].copy_from_slice(&port.to_be_bytes());
    AnnounceQuery {
        info_hash: hash(torrent),
        peer_id,
        port,
        uploaded: 0,
        downloaded: 0,
        left: Some(left),
        event: TrackerEvent::Started,
        numwant: None,
        key: 0,
    }
}

fn limits() -> AnswerLimits {
    AnswerLimits { loopback: true, ports_per_address_max: 255, ..AnswerLimits::default() }
}

/// A UDP client.
struct Udp(UdpSocket);

impl Udp {
    fn new(tracker: &TrackerServer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(tracker.addresses().udp[0]).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.0.send(packet).unwrap();
        let mut room = [0; 2000];
        let len = self.0.recv(&mut room).unwrap();
        room[..len].to_vec()
    }

    fn connect(&self) -> ConnectionId {
        let reply = self.ask(&write_connect(T));
        let Ok((T, Reply::Connected(id))) = read_reply(&reply) else { panic!("{reply:?}") };
        id
    }

    fn announce(&self, query: &AnnounceQuery) -> Result<Vec<u16>, String> {
        let reply = self.ask(&write_announce(self.connect(), T, query, b"/announce"));
        match read_reply(&reply) {
            Ok((T, Reply::Announced(told))) => {
                let mut ports: Vec<u16> =
                    told.answer(Family::V4, &limits()).peers.iter().map(SocketAddr::port).collect();
                ports.sort_unstable();
                Ok(ports)
            }
            Ok((T, Reply::Failed(why))) => Err(String::from_utf8_lossy(why).into_owned()),
            other => panic!("{other:?}"),
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    percent::encode_into(&mut out, bytes);
    out
}

fn target(query: &AnnounceQuery) -> String {
    format!(
        "/announce?info_hash={}&peer_id={}&port={}&left={}&compact=1&event=started",
        escaped(&query.info_hash.0),
        escaped(&query.peer_id.0),
        query.port,
        query.left.unwrap(),
    )
}

/// Sends raw bytes over one connection; all that comes back until it closes.
fn raw(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The other side may have enough before it is all sent.
    let _ = stream.write_all(bytes);
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out);
    out
}

fn get(addr: SocketAddr, target: &str) -> Vec<u8> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(addr, head.as_bytes());
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    answer[body..].to_vec()
}

type Ws = WebSocketStream<tokio::net::TcpStream>;

async fn websocket(tracker: &TrackerServer) -> Ws {
    let addr = tracker.addresses().websocket[0];
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    tokio_tungstenite::client_async(format!("ws://{addr}/"), stream).await.unwrap().0
}

async fn say(ws: &mut Ws, text: String) {
    ws.send(Message::Text(text.into())).await.unwrap();
}

async fn hear(ws: &mut Ws) -> SignalReply {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), ws.next()).await.unwrap();
        if let Message::Text(text) = message.unwrap().unwrap() {
            return tracker_ws::read_reply(&text, &AnswerLimits::default()).unwrap();
        }
    }
}

fn signal(peer: u8, offers: u8) -> SignalAnnounce {
    let offers = (0..offers).map(|n| Offer { id: OfferId([n; 20]), sdp: format!("v={n}") }).collect();
    let query = AnnounceQuery { peer_id: PeerId([peer; 20]), port: 0, ..query(1, 0, 9) };
    SignalAnnounce { query, tracker_id: None, offers }
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-tracker-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn bep_0015_two_workers_answer_each_for_its_torrents_from_any_port() {
    let tracker = start();
    for torrent in 0..20 {
        assert_eq!(Udp::new(&tracker).announce(&query(torrent, 1, 0)), Ok(vec![]));
        assert_eq!(Udp::new(&tracker).announce(&query(torrent, 2, 9)), Ok(vec![1]));
    }
    let udp = Udp::new(&tracker);
    let asked: Vec<InfoHash> = [3, 77, 4, 5].map(hash).into();
    let reply = udp.ask(&write_scrape(udp.connect(), T, &asked));
    let Ok((T, Reply::Scraped(packed))) = read_reply(&reply) else { panic!() };
    let known = SwarmCounts { complete: 1, downloaded: 0, incomplete: 1 };
    let counts: Vec<_> = tracker_udp::scrape_counts(packed).collect();
    assert_eq!(counts, [known, SwarmCounts::default(), known, known], "over both workers, in order");
    let statistics = tracker.statistics().await;
    assert_eq!((statistics.torrents, statistics.peers, statistics.announces), (20, 40, 40));
    assert_eq!(statistics.protocol(Protocol::Udp).scrapes, 1);
    tracker.shutdown().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bep_0015_an_answer_leaves_from_the_address_that_was_asked_also_when_all_are_listened_at() {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    for workers in [1, 2] {
        let tracker =
            TrackerServer::start(TrackerServerConfig { workers, udp: vec![any], ..config() }).unwrap();
        let port = tracker.addresses().udp[0].port();
        // A socket that is connected hears nobody else.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.2", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let udp = Udp(socket);
        for torrent in 0..4 {
            assert_eq!(udp.announce(&query(torrent, 1, 0)), Ok(vec![]));
        }
        let reply = udp.ask(&write_scrape(udp.connect(), T, &[0, 1, 2, 3].map(hash)));
        assert!(matches!(read_reply(&reply), Ok((T, Reply::Scraped(_)))), "{reply:?}");
        tracker.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn bep_0003_http_and_udp_are_one_swarm_and_connections_are_kept_and_pipelined() {
    let tracker = start();
    let http = tracker.addresses().http[0];
    Udp::new(&tracker).announce(&query(7, 1, 0)).unwrap();
    let told = tracker_http::read_announce(&get(http, &target(&query(7, 2, 9))), &limits()).unwrap();
    assert_eq!(told.peers, [SocketAddr::from(([127, 0, 0, 1], 1))]);
    assert_eq!(told.external_ip, Some(Ipv4Addr::LOCALHOST.into()), "BEP 24");
    assert_eq!(Udp::new(&tracker).announce(&query(7, 3, 9)), Ok(vec![1, 2]));
    let one = |close: &str| {
        format!("GET /scrape?info_hash={} HTTP/1.1\r\nHost: x\r\n{close}\r\n", escaped(&[7; 20]))
    };
    let pipelined = one("") + &one("") + &one("Connection: close\r\n");
    let answers = String::from_utf8_lossy(&raw(http, pipelined.as_bytes())).into_owned();
    assert_eq!(answers.matches("8:completei1e10:downloadedi0e10:incompletei2e").count(), 3, "{answers}");
    let both: Vec<u8> =
        get(http, &format!("/scrape?info_hash={}&info_hash={}", "%07".repeat(20), "%08".repeat(20)));
    let counts = tracker_http::read_scrape(&both, &[hash(7), hash(8)], &limits()).unwrap();
    assert!(counts[0].is_some() && counts[1].is_none());
}

#[tokio::test]
async fn offers_reach_others_over_websockets_and_answers_come_back() {
    let tracker = start();
    let (mut one, mut two) = (websocket(&tracker).await, websocket(&tracker).await);
    say(&mut one, tracker_ws::write_announce(&signal(1, 0))).await;
    let SignalReply::Announced(told) = hear(&mut one).await else { panic!() };
    assert_eq!((told.incomplete, told.interval_s), (Some(1), 120));
    say(&mut two, tracker_ws::write_announce(&signal(2, 3))).await;
    assert!(matches!(hear(&mut two).await, SignalReply::Announced(told) if told.incomplete == Some(2)));
    let SignalReply::Offer(offer) = hear(&mut one).await else { panic!() };
    assert_eq!((offer.peer_id, &*offer.sdp), (PeerId([2; 20]), "v=0"));
    let answer = SignalAnswer {
        info_hash: hash(1),
        peer_id: PeerId([1; 20]),
        to: offer.peer_id,
        offer_id: offer.offer_id,
        sdp: "a".into(),
    };
    say(&mut one, tracker_ws::write_answer(&answer)).await;
    let SignalReply::Answer(got) = hear(&mut two).await else { panic!() };
    assert_eq!((got.peer_id, got.offer_id, &*got.sdp), (PeerId([1; 20]), offer.offer_id, "a"));
    drop(two);
    // A socket that closed has left the swarm.
    while tracker.statistics().await.peers == 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    say(&mut one, tracker_ws::write_scrape(&[hash(1), hash(2)])).await;
    let SignalReply::Scraped(files) = hear(&mut one).await else { panic!() };
    assert_eq!(files, [(hash(1), SwarmCounts { complete: 0, downloaded: 0, incomplete: 1 })]);
}

#[tokio::test]
async fn a_socket_that_stops_a_torrent_may_announce_another_however_many_there_were() {
    let tracker = start();
    let mut ws = websocket(&tracker).await;
    for n in 0..1050u16 {
        let mut announce = signal(1, 0);
        announce.query.info_hash.0[..2].copy_from_slice(&n.to_be_bytes());
        say(&mut ws, tracker_ws::write_announce(&announce)).await;
        let reply = hear(&mut ws).await;
        assert!(matches!(reply, SignalReply::Announced(_)), "{n}: {reply:?}");
        announce.query.event = TrackerEvent::Stopped;
        say(&mut ws, tracker_ws::write_announce(&announce)).await;
        assert!(matches!(hear(&mut ws).await, SignalReply::Announced(_)));
    }
    assert_eq!(tracker.statistics().await.torrents, 0);
}

#[tokio::test]
async fn a_websocket_that_talks_nonsense_is_told_and_one_that_talks_too_much_is_closed() {
    let tracker = start();
    let mut ws = websocket(&tracker).await;
    for nonsense in ["", "[]", "{\"action\":\"x\"}", "{\"action\":\"announce\",\"info_hash\":\"short\"}"] {
        say(&mut ws, nonsense.into()).await;
        assert!(matches!(hear(&mut ws).await, SignalReply::Failed { info_hash: None, .. }));
    }
    let _ = ws.send(Message::Text("x".repeat(70_000).into())).await;
    while let Some(Ok(message)) = ws.next().await {
        assert!(!message.is_text(), "{message:?}");
    }
    let statistics = tracker.statistics().await;
    assert_eq!(statistics.protocol(Protocol::WebSocket).faults[Fault::Malformed as usize], 4);
}

#[tokio::test]
async fn a_tracker_that_is_started_again_knows_its_peers_with_another_number_of_workers() {
    let folder = Folder::new("restart");
    let config = TrackerServerConfig { state: Some(folder.0.join("state")), ..config() };
    let tracker = TrackerServer::start(config.clone()).unwrap();
    for torrent in 0..9 {
        Udp::new(&tracker).announce(&query(torrent, 5, 0)).unwrap();
    }
    tracker.shutdown().await.unwrap();
    let again = TrackerServer::start(TrackerServerConfig { workers: 3, ..config }).unwrap();
    assert_eq!((again.statistics().await.torrents, again.statistics().await.seeds), (9, 9));
    assert_eq!(Udp::new(&again).announce(&query(4, 6, 9)), Ok(vec![5]));
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_with_a_warning() {
    let folder = Folder::new("damaged");
    let path = folder.0.join("state");
    std::fs::write(&path, b"millstream tracker\n\x01 and then something else").unwrap();
    let tracker =
        TrackerServer::start(TrackerServerConfig { state: Some(path.clone()), ..config() }).unwrap();
    assert!(tracker.warning().unwrap().contains("damaged"), "{:?}", tracker.warning());
    assert_eq!(tracker.statistics().await.torrents, 0);
    assert!(!path.exists() && folder.0.join("state.damaged").exists());
    tracker.shutdown().await.unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn what_is_no_state_is_set_aside_unread_however_long_it_is() {
    let folder = Folder::new("long");
    let path = folder.0.join("state");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let tracker =
        TrackerServer::start(TrackerServerConfig { state: Some(path.clone()), ..config() }).unwrap();
    assert!(tracker.warning().unwrap().contains("no tracker's saved state"), "{:?}", tracker.warning());
    assert_eq!(std::fs::metadata(folder.0.join("state.damaged")).unwrap().len(), 1 << 40);
    tracker.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_denied_is_refused_over_every_protocol_also_while_it_runs() {
    let tracker = start();
    let http = tracker.addresses().http[0];
    Udp::new(&tracker).announce(&query(1, 1, 0)).unwrap();
    tracker.set_rules(Rules::new(None, vec![hash(1)])).await;
    let refused = Udp::new(&tracker).announce(&query(1, 1, 0)).unwrap_err();
    assert_eq!(refused, "this tracker does not serve this torrent");
    let body = String::from_utf8(get(http, &target(&query(1, 1, 0)))).unwrap();
    assert!(body.contains("does not serve") && body.ends_with("8:retry in5:nevere"), "BEP 31: {body}");
    let mut ws = websocket(&tracker).await;
    say(&mut ws, tracker_ws::write_announce(&signal(1, 0))).await;
    assert!(
        matches!(hear(&mut ws).await, SignalReply::Failed { info_hash: Some(InfoHash(h)), .. } if h == [1; 20])
    );
    assert_eq!(Udp::new(&tracker).announce(&query(2, 1, 0)), Ok(vec![]));
    assert_eq!(tracker.statistics().await.torrents, 1);
}

#[tokio::test]
async fn hostile_datagrams_get_nothing_or_little_and_the_tracker_goes_on() {
    let tracker = start();
    let udp = Udp::new(&tracker);
    udp.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut junk: Vec<u8> = (0..3000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    for len in [0, 1, 15, 16, 97, 98, 1400, 2368, 3000] {
        udp.0.send(&junk[..len]).unwrap();
    }
    junk[8..12].copy_from_slice(&[0, 0, 0, 1]);
    junk[80..84].fill(0);
    udp.0.send(&junk[..98]).unwrap();
    let mut room = [0; 2000];
    let mut got = 0;
    while let Ok(len) = udp.0.recv(&mut room) {
        got += len;
    }
    assert!(got < 98, "{got}");
    assert_eq!(Udp::new(&tracker).announce(&query(1, 1, 0)), Ok(vec![]));
    let statistics = tracker.statistics().await;
    let faults = statistics.protocol(Protocol::Udp).faults;
    assert_eq!((faults[Fault::Malformed as usize], faults[Fault::Connection as usize]), (9, 1));
}

#[tokio::test]
async fn hostile_http_is_refused_and_a_slow_head_is_given_up() {
    let tracker = start();
    let http = tracker.addresses().http[0];
    for bad in [
        "\r\n\r\n\r\n".to_owned(),
        "POST /announce HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /announce HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /announce?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000)),
        format!("GET /announce HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000)),
    ] {
        let answer = raw(http, bad.as_bytes());
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "), "{bad:.40}");
    }
    let mut slow = TcpStream::connect(http).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"GET /announce").unwrap();
    let mut out = Vec::new();
    let _ = slow.read_to_end(&mut out);
    assert!(!String::from_utf8_lossy(&out).contains(" 200 "));
    assert!(get(http, &target(&query(1, 1, 0))).starts_with(b"d8:complete"));
}

#[tokio::test]
async fn statistics_are_json_prometheus_and_events() {
    let tracker = start();
    let stats = tracker.addresses().stats[0];
    Udp::new(&tracker).announce(&query(1, 1, 0)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&get(stats, "/stats.json")).unwrap();
    assert_eq!((&json["seeds"], &json["protocols"]["udp"]["announces"]["started"]), (&1.into(), &1.into()));
    assert_eq!(json["workers"].as_array().unwrap().len(), 2);
    let text = String::from_utf8(get(stats, "/metrics")).unwrap();
    assert!(text.contains("millstream_tracker_seeds 1\n"), "{text}");
    assert!(text.contains("millstream_tracker_requests_total{protocol=\"udp\",event=\"started\"} 1\n"));
    let mut events = TcpStream::connect(stats).unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut heard, mut room) = (String::new(), [0; 8192]);
    while heard.matches("event: statistics\ndata: {").count() < 2 {
        let len = events.read(&mut room).unwrap();
        assert!(len > 0);
        heard.push_str(&String::from_utf8_lossy(&room[..len]));
    }
    assert!(get(stats, "/").starts_with(b"/stats.json"));
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    let tracker = start();
    let udp = vec![tracker.addresses().udp[0]];
    let error = TrackerServer::start(TrackerServerConfig { udp, ..config() }).err().unwrap();
    assert!(error.to_string().contains("can't be bound"), "{error}");
}
