//! What is reached by name alone: trackers over WebSockets with TLS, directly and behind a proxy, and the DHT behind one.

use crate::fixture::{Fixture, Node};
use crate::proxy::Proxy;
use crate::ways::{answer_with, assert_whole, seed_as_told, seeded};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream::core::wire::krpc::{
    Body, Message as Krpc, Method, NodeId, Nodes4, Response, Values, write_node,
};
use millstream::core::wire::tracker::TrackerEvent;
use millstream::core::wire::tracker_ws::{SignalRequest, read_request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio_tungstenite::tungstenite::{self, Message};

/// What a tracker over TLS is known by. Its authority's certificate is left in the folder as `ca.pem`.
fn known_by(fixture: &Fixture) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(fixture.path("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let authority = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let names = ["localhost", "tracker.invalid"].map(str::to_owned).to_vec();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&own, &authority).unwrap();
    let settings = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(own.serialize_der()).unwrap())
        .unwrap();
    Arc::new(settings)
}

/// A tracker over HTTPS that tells everybody of one peer, and which paths it was asked for. It is known as `ca.pem` says.
pub(crate) fn https_tracker(fixture: &Fixture, peer: SocketAddr) -> (u16, Receiver<String>) {
    let settings = known_by(fixture);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hearing) = mpsc::channel();
    let answer = answer_with(peer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&settings)).unwrap();
            let (mut stream, mut buffer) = (StreamOwned::new(session, stream), [0; 4096]);
            let Ok(bytes) = stream.read(&mut buffer) else { continue };
            let request = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            // The story may be over.
            let _ = heard.send(request.split('?').next().unwrap_or_default().to_owned());
            let _ = stream.write_all(&answer);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, hearing)
}

/// A tracker over WebSockets and TLS, known likewise.
pub(crate) fn secure_tracker(fixture: &Fixture) -> (u16, Receiver<TrackerEvent>) {
    let settings = known_by(fixture);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, hearing) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&settings)).unwrap();
            let Ok(mut socket) = tungstenite::accept(StreamOwned::new(session, stream)) else { continue };
            while let Ok(message) = socket.read() {
                if let Message::Text(text) = message
                    && let Ok(SignalRequest::Announce(announce)) = read_request(&text)
                {
                    // The story may be over.
                    let _ = heard.send(announce.query.event);
                }
            }
        }
    });
    (port, hearing)
}

const ALONE: [&str; 5] = ["--json", "--no-dht", "--no-lsd", "--port-mapping", "off"];

/// Slow enough that the tracker hears of the download before it ends.
const SLOW: [&str; 2] = ["--max-upload", "300K"];

#[test]
fn a_tracker_over_tls_web_sockets_is_believed_by_the_authority_in_ssl_cert_file_and_not_without() {
    let (fixture, seed, hash) = seeded(600_000, &SLOW);
    let (port, heard) = secure_tracker(&fixture);
    let magnet = format!("magnet:?xt=urn:btih:{hash}&tr=wss://localhost:{port}/announce");
    let run = |out: &str, trusts: bool| {
        let args = ["download", &magnet, "-o", out, "--peer", &seed.address, "--listen", "127.0.0.1:0"];
        let mut command = fixture.command(&[&args[..], &ALONE].concat());
        if trusts {
            command.env("SSL_CERT_FILE", fixture.path("ca.pem"));
        } else {
            command.env_remove("SSL_CERT_FILE");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let told = run("strange", false);
    assert!(told.contains("UnknownIssuer"), "{told}");
    assert!(heard.try_recv().is_err());
    run("out", true);
    assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(TrackerEvent::Started));
    assert_whole(&fixture);
}

#[test]
fn a_tracker_over_tls_web_sockets_is_reached_through_a_proxy_of_either_kind_by_its_name() {
    for http in [false, true] {
        let (fixture, seed, hash) = seeded(600_000, &SLOW);
        let (port, heard) = secure_tracker(&fixture);
        let proxy = Proxy::start(http);
        let told = seed_as_told(&seed);
        let magnet =
            format!("magnet:?xt=urn:btih:{hash}&tr=wss://tracker.invalid:{port}/announce&x.pe={told}");
        let url = format!("{}://me:p%40ss@{}", if http { "http" } else { "socks5" }, proxy.addr);
        let args = ["download", &magnet, "-o", "out", "--proxy", &url];
        let mut command = fixture.command(&[&args[..], &ALONE].concat());
        let output = command.env("SSL_CERT_FILE", fixture.path("ca.pem")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok(TrackerEvent::Started));
        assert!(proxy.asked().contains(&format!("tcp tracker.invalid:{port}")), "{:?}", proxy.asked());
        assert_whole(&fixture);
    }
}

/// A node of a DHT that tells of one other node, and of one peer if it has one. Its port, and what it was asked: the
/// names of methods, with `ro` behind those who are read-only.
fn dht_node(
    id: NodeId,
    other: Option<(NodeId, SocketAddr)>,
    peer: Option<SocketAddr>,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        let mut nodes = Vec::new();
        if let Some((id, addr)) = other {
            write_node(&mut nodes, id, addr);
        }
        let mut list = Vec::new();
        Values::write(&mut list, peer);
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            let Ok(message) = Krpc::parse(&buffer[..bytes]) else { continue };
            let Body::Query(query) = message.body else { continue };
            let (name, values) = match query.method {
                Method::Ping => ("ping", Values::default()),
                Method::FindNode { .. } => ("find_node", Values::default()),
                Method::GetPeers { .. } => ("get_peers", Values::written(&list)),
                Method::AnnouncePeer { .. } => ("announce_peer", Values::default()),
                Method::Get { .. }
                | Method::Put { .. }
                | Method::SampleInfohashes { .. }
                | Method::Other { .. } => ("other", Values::default()),
            };
            let values = if peer.is_some() { values } else { Values::default() };
            heard.lock().unwrap().push(format!("{name}{}", if message.read_only { " ro" } else { "" }));
            let response = Response {
                id,
                nodes: Nodes4(Some(&nodes)),
                token: Some(b"t"),
                values,
                ..Response::default()
            };
            let mut answer = Vec::new();
            let transaction = message.transaction;
            Krpc { transaction, version: None, ip: None, read_only: false, body: Body::Response(response) }
                .write(&mut answer);
            let _ = socket.send_to(&answer, from);
        }
    });
    (port, asked)
}

#[test]
fn bep_0043_the_dht_is_entered_by_name_behind_a_socks5_proxy_read_only_and_finds_peers() {
    let (fixture, seed, hash) = seeded(400_000, &[]);
    let told = seed_as_told(&seed);
    let (knowing, asked_knowing) = dht_node(NodeId([0x22; 20]), None, Some(told));
    // As the proxy's datagrams seem to come from.
    let other = SocketAddr::from((Ipv4Addr::new(198, 51, 100, 77), knowing));
    let (router, asked_router) = dht_node(NodeId([0x99; 20]), Some((NodeId([0x22; 20]), other)), None);
    let proxy = Proxy::start(false);
    let magnet = format!("magnet:?xt=urn:btih:{hash}");
    let (url, entry) = (format!("socks5://me:p%40ss@{}", proxy.addr), format!("dht.invalid:{router}"));
    let args = ["download", &magnet, "-o", "out", "--json", "--proxy", &url, "--dht-bootstrap", &entry];
    let output = fixture.run(&[&args[..], &["--no-lsd", "--port-mapping", "off"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_whole(&fixture);
    let asked = proxy.asked();
    assert!(asked.contains(&format!("udp dht.invalid:{router}")), "{asked:?}");
    assert!(asked.contains(&format!("udp {other}")), "{asked:?}");
    for asked in [asked_router, asked_knowing] {
        let asked = asked.lock().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|query| query.ends_with(" ro")), "{asked:?}");
        assert!(
            asked.iter().all(|query| !query.starts_with("announce_peer")),
            "nobody reaches us: {asked:?}"
        );
    }
    drop::<Node>(seed);
}
