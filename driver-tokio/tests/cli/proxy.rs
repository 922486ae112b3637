//! A tiny proxy for tests: SOCKS5 with a name and a password, links and datagrams, or HTTP's `CONNECT`. It leads whatever
//! is asked for to this host, at the same port, and remembers what that was. It can die and come back.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use millstream::core::wire::socks5::{Target, read_udp, write_udp_head};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where its datagrams seem to come from: nobody told the client this address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

/// The proxy.
pub(crate) struct Proxy {
    /// Where it is.
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<String>>,
    /// Its relays for datagrams.
    relays: Mutex<Vec<SocketAddr>>,
    links: Mutex<Vec<TcpStream>>,
    dead: AtomicBool,
}

impl Proxy {
    /// Starts one. SOCKS5 takes the name `me` with the password `p@ss` alone; so does HTTP.
    pub(crate) fn start(http: bool) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), http)
    }

    /// Starts one at an address, as after `die`.
    pub(crate) fn at(addr: SocketAddr, http: bool) -> Self {
        let listener = listen(addr);
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            while !theirs.dead.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).unwrap();
                        theirs.keep(&stream);
                        let shared = Arc::clone(&theirs);
                        // What goes wrong ends the link, as with any proxy.
                        thread::spawn(move || drop(serve(stream, &shared, http)));
                    }
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { addr, shared }
    }

    /// What was asked for so far, such as `tcp tracker.test:80`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Where its relays are, or were.
    pub(crate) fn relays(&self) -> Vec<SocketAddr> {
        self.shared.relays.lock().unwrap().clone()
    }

    /// Cuts all links and listens no more.
    pub(crate) fn die(self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.dead.store(true, Ordering::Relaxed);
        for link in self.shared.links.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn keep(&self, link: &TcpStream) {
        self.links.lock().unwrap().push(link.try_clone().unwrap());
    }

    fn note(&self, what: &str, target: &Target) {
        let target = match target {
            Target::Addr(addr) => addr.to_string(),
            Target::Name(name, port) => format!("{name}:{port}"),
        };
        self.asked.lock().unwrap().push(format!("{what} {target}"));
    }
}

/// A port that was just closed may take a moment.
fn listen(addr: SocketAddr) -> TcpListener {
    for _ in 0..400 {
        if let Ok(listener) = TcpListener::bind(addr) {
            return listener;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("{addr} can't be listened at")
}

fn serve(mut client: TcpStream, shared: &Arc<Shared>, http: bool) -> io::Result<()> {
    let target = if http { greet_http(&mut client)? } else { greet_socks(&mut client)? };
    let Some(target) = target else { return relay(client, shared) };
    shared.note("tcp", &target);
    let port = port_of(&target);
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let answer: &[u8] = match (http, &server) {
        (true, Ok(_)) => b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n",
        (true, Err(_)) => b"HTTP/1.1 502 Bad gateway\r\n\r\n",
        (false, Ok(_)) => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        (false, Err(_)) => &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
    };
    client.write_all(answer)?;
    let server = server?;
    shared.keep(&server);
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let done = io::copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Write);
    done.map(drop)
}

fn greet_http(client: &mut TcpStream) -> io::Result<Option<Target>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // me:p@ss
    if !head.contains("Proxy-Authorization: Basic bWU6cEBzcw==\r\n") {
        client.write_all(b"HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n")?;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let authority = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or("");
    let (host, port) = authority.rsplit_once(':').ok_or(io::ErrorKind::InvalidData)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Target::new(host, port.parse().unwrap()))
}

/// `None`: a relay for datagrams is wanted.
fn greet_socks(client: &mut TcpStream) -> io::Result<Option<Target>> {
    let hello = read(client, 2)?;
    let methods = read(client, hello[1].into())?;
    if !methods.contains(&2) {
        client.write_all(&[5, 255])?;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    client.write_all(&[5, 2])?;
    let user = read(client, 2)?[1];
    let user = read(client, user.into())?;
    let password = read(client, 1)?[0];
    let password = read(client, password.into())?;
    let known = (user, password) == (b"me".to_vec(), b"p@ss".to_vec());
    client.write_all(&[1, u8::from(!known)])?;
    let request = read(client, 4)?;
    let host = match request[3] {
        1 => read(client, 4)?,
        4 => read(client, 16)?,
        _ => {
            let length = read(client, 1)?;
            let name = read(client, length[0].into())?;
            [length, name].concat()
        }
    };
    let port = read(client, 2)?;
    // As the head of a datagram, it is read by the same codec.
    let head = [&[0, 0, 0, request[3]], &host[..], &port].concat();
    let (target, _) = read_udp(&head).ok_or(io::ErrorKind::InvalidData)?;
    Ok((request[1] == 1).then_some(target))
}

fn read(client: &mut TcpStream, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    client.read_exact(&mut buffer)?;
    Ok(buffer)
}

/// Passes datagrams on until the link ends.
fn relay(mut client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let local = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let (inside, outside) = (local()?, local()?);
    let at = inside.local_addr()?;
    shared.relays.lock().unwrap().push(at);
    let mut answer = vec![5, 0, 0, 1, 0, 0, 0, 0];
    answer.extend(at.port().to_be_bytes());
    client.write_all(&answer)?;
    let ended = Arc::new(AtomicBool::new(false));
    for socket in [&inside, &outside] {
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    }
    let (theirs, shared) = (Arc::clone(&ended), Arc::clone(shared));
    thread::spawn(move || {
        let mut home = None;
        let mut buffer = [0; 4096];
        outside.set_nonblocking(true).unwrap();
        while !theirs.load(Ordering::Relaxed) {
            if let Ok((bytes, from)) = inside.recv_from(&mut buffer) {
                home = Some(from);
                if let Some((target, payload)) = read_udp(&buffer[..bytes]) {
                    shared.note("udp", &target);
                    let _ = outside.send_to(payload, (Ipv4Addr::LOCALHOST, port_of(&target)));
                }
            }
            // Answers come at once over the loopback, or with the next turn.
            thread::sleep(Duration::from_millis(2));
            while let (Ok((bytes, from)), Some(home)) = (outside.recv_from(&mut buffer), home) {
                let mut datagram = Vec::new();
                write_udp_head(&mut datagram, &Target::Addr((ELSEWHERE, from.port()).into()));
                datagram.extend_from_slice(&buffer[..bytes]);
                let _ = inside.send_to(&datagram, home);
            }
        }
    });
    let _ = io::copy(&mut client, &mut io::sink());
    ended.store(true, Ordering::Relaxed);
    Ok(())
}

fn port_of(target: &Target) -> u16 {
    match target {
        Target::Addr(addr) => addr.port(),
        Target::Name(_, port) => *port,
    }
}
