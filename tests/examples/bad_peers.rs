//! Many misbehaving peers in one process: what a benchmark lets loose on an engine. It owns the misbehaviour, no
//! judgement: the harness in `bench/` watches the engine.
//!
//! `bad_peers ADDRESS INFO_HASH PIECES PIECE_LENGTH COUNT MODE [FILE [ROUND_US]]` dials COUNT links, each from an
//! address of its own in 127/8, with MODE one of
//! - `trickle`: seeds of FILE that deliver at most 1,448 bytes a write, one write a link in each round;
//! - `give`: seeds of FILE that deliver as fast as they can;
//! - `stall`: leeches that ask for much and read nothing from then on;
//! - `greedy`: leeches that ask for the whole again and again;
//! - `idle`: peers that say who they are and no more.
//!
//! Says `{"event":"connected"}` with the number of links that were answered with a handshake, and ten times a second
//! `{"event":"payload"}` with the bytes of blocks that all links have received, and all bytes that they have sent; ends when it is killed.
#![allow(clippy::print_stdout, reason = "its output is its interface")]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// One segment's payload on an ordinary Internet path.
const SEGMENT: usize = 1448;
const BLOCK: u32 = 16 << 10;
const HANDSHAKE: usize = 68;
/// Requests that a stalling reader sends.
const REQUESTS: u32 = 250;
/// Requests that a greedy reader keeps waiting.
const AHEAD: u32 = 16;
/// How long a handshake is waited for.
const GREET: Duration = Duration::from_secs(5);
/// How often payload is told.
const TELL: Duration = Duration::from_millis(100);

type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Trickle,
    Give,
    Stall,
    Greedy,
    Idle,
}

struct Plan {
    address: SocketAddr,
    info_hash: Vec<u8>,
    pieces: u32,
    piece_length: u32,
    mode: Mode,
    file: Option<File>,
    round: Duration,
}

struct Link {
    stream: TcpStream,
    inbox: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
    /// Bytes of blocks.
    received: u64,
    delivered: u64,
    asked: u32,
    greeted: bool,
    deaf: bool,
    open: bool,
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [address, info_hash, pieces, piece_length, count, mode, rest @ ..] = &words[..] else {
        return Err("see the first lines of bad_peers.rs".into());
    };
    let plan = Plan {
        address: address.parse()?,
        info_hash: hex(info_hash)?,
        pieces: pieces.parse()?,
        piece_length: piece_length.parse()?,
        mode: match *mode {
            "trickle" => Mode::Trickle,
            "give" => Mode::Give,
            "stall" => Mode::Stall,
            "greedy" => Mode::Greedy,
            "idle" => Mode::Idle,
            _ => return Err("an unknown mode".into()),
        },
        file: rest.first().map(File::open).transpose()?,
        round: Duration::from_micros(rest.get(1).map_or(Ok(5000), |text| text.parse())?),
    };
    run(&plan, count.parse()?)
}

fn run(plan: &Plan, count: u32) -> Outcome<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut links = Vec::new();
    for n in 0..count {
        let mut link = dial(plan, n)?;
        poll.registry().register(&mut link.stream, Token(n as usize), Interest::READABLE)?;
        links.push(link);
    }
    let greeted = links.iter().filter(|link| link.greeted).count();
    println!(r#"{{"event":"connected","links":{greeted}}}"#);
    let mut next = Instant::now();
    let mut tell = next;
    loop {
        poll.poll(&mut events, Some(next.saturating_duration_since(Instant::now())))?;
        for event in &events {
            let link = &mut links[event.token().0];
            if link.open && !link.deaf && on_readable(plan, link).is_err() {
                link.open = false;
            }
        }
        if Instant::now() >= next {
            next += plan.round;
            // A link that fails is one that the engine has closed: that is its right.
            links.iter_mut().filter(|link| link.open).for_each(|link| link.open = flush(plan, link).is_ok());
        }
        if tell <= Instant::now() {
            tell += TELL;
            let received: u64 = links.iter().map(|link| link.received).sum();
            let sent: u64 = links.iter().map(|link| link.delivered).sum();
            println!(r#"{{"event":"payload","received":{received},"sent":{sent}}}"#);
        }
    }
}

/// A link from an address of its own, greeted by the other side unless it refuses.
fn dial(plan: &Plan, n: u32) -> Outcome<Link> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let [.., high, low] = n.to_be_bytes();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 77, high, low.max(1)), 0)).into())?;
    if plan.mode == Mode::Stall {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.connect(&plan.address.into())?;
    let mut out = b"\x13BitTorrent protocol".to_vec();
    out.extend([0; 8]);
    out.extend(&plan.info_hash);
    out.extend(format!("-XX0000-{n:012}").as_bytes());
    match plan.mode {
        Mode::Trickle | Mode::Give => {
            let bytes = plan.pieces.div_ceil(8) as usize;
            let mut field = vec![0xff; bytes];
            if !plan.pieces.is_multiple_of(8) {
                field[bytes - 1] = 0xff << (8 - plan.pieces % 8);
            }
            message(&mut out, 5, &field);
        }
        Mode::Stall | Mode::Greedy => message(&mut out, 2, &[]),
        Mode::Idle => {}
    }
    // Greeted one after the other: an engine has room for few links that haven't said who they are.
    let mut stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(GREET))?;
    let greeted = stream.write_all(&out).and_then(|()| stream.read_exact(&mut [0; HANDSHAKE])).is_ok();
    stream.set_nonblocking(true)?;
    Ok(Link {
        stream: TcpStream::from_std(stream),
        inbox: Vec::new(),
        out: Vec::new(),
        sent: 0,
        received: 0,
        delivered: 0,
        asked: n,
        greeted,
        deaf: false,
        open: greeted,
    })
}

fn on_readable(plan: &Plan, link: &mut Link) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    while !link.deaf {
        match link.stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => link.inbox.extend(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        parse(plan, link)?;
    }
    Ok(())
}

fn parse(plan: &Plan, link: &mut Link) -> io::Result<()> {
    while let Some(length) = link.inbox.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes) as usize) {
        if link.inbox.len() < 4 + length {
            break;
        }
        let body: Vec<u8> = link.inbox.drain(..4 + length).skip(4).collect();
        on_message(plan, link, &body)?;
    }
    Ok(())
}

fn on_message(plan: &Plan, link: &mut Link, body: &[u8]) -> io::Result<()> {
    match (body.first(), plan.mode) {
        (Some(2), Mode::Trickle | Mode::Give) => message(&mut link.out, 1, &[]),
        (Some(6), Mode::Trickle | Mode::Give) => return on_request(plan, link, body),
        (Some(1), Mode::Stall) => {
            (0..REQUESTS).for_each(|_| ask(plan, link));
            link.deaf = true;
        }
        (Some(1), Mode::Greedy) => (0..AHEAD).for_each(|_| ask(plan, link)),
        (Some(7), Mode::Greedy) => {
            link.received += body.len() as u64 - 9;
            ask(plan, link);
        }
        _ => {}
    }
    Ok(())
}

/// Asks for the next block of all.
fn ask(plan: &Plan, link: &mut Link) {
    let blocks = plan.piece_length / BLOCK;
    let fields = [link.asked / blocks % plan.pieces, link.asked % blocks * BLOCK, BLOCK];
    link.asked = link.asked.wrapping_add(1);
    message(&mut link.out, 6, &fields.map(u32::to_be_bytes).concat());
}

fn on_request(plan: &Plan, link: &mut Link, body: &[u8]) -> io::Result<()> {
    let field =
        |at: usize| body.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let (piece, begin, length) = (field(1), field(5), field(9));
    let mut reply = [piece.to_be_bytes(), begin.to_be_bytes()].concat();
    let start = reply.len();
    reply.resize(start + length as usize, 0);
    if let Some(file) = &plan.file {
        let at = u64::from(piece) * u64::from(plan.piece_length) + u64::from(begin);
        file.read_exact_at(&mut reply[start..], at)?;
    }
    message(&mut link.out, 7, &reply);
    Ok(())
}

/// One write of at most a segment; others than trickling peers write all they have.
fn flush(plan: &Plan, link: &mut Link) -> io::Result<()> {
    let most = if plan.mode == Mode::Trickle { SEGMENT } else { usize::MAX };
    let end = link.out.len().min(link.sent.saturating_add(most));
    if link.sent < end {
        match link.stream.write(&link.out[link.sent..end]) {
            Ok(wrote) => {
                link.sent += wrote;
                link.delivered += wrote as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    if link.sent == link.out.len() || link.sent > 1 << 20 {
        link.out.drain(..link.sent);
        link.sent = 0;
    }
    Ok(())
}

fn message(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.extend(u32::try_from(body.len() + 1).unwrap_or(u32::MAX).to_be_bytes());
    out.push(id);
    out.extend(body);
}

fn hex(text: &str) -> Outcome<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(core::str::from_utf8(pair)?, 16)?)).collect()
}
