//! The load for a UDP tracker, the same for whichever is measured: many ports, each with some announces under way. It owns
//! the load and reads what the tracker's process used meanwhile; no judgement, that is the harness's in `bench/`.
//!
//! `tracker_load ADDRESS PID TORRENTS PEERS SECONDS` connects, announces PEERS peers to each of TORRENTS torrents once, a
//! quarter of them seeds, says `{"event":"filled"}` with the memory that process PID has then, announces for SECONDS
//! seconds known peers of random torrents that want 30 peers each, and says `{"event":"done"}` with the announces
//! answered, the milliseconds, the CPU milliseconds of the process, and the peers that an answer had on average.
//!
//! `tracker_load hashes TORRENTS` prints the info-hashes of so many torrents, for a tracker that must be told them.
#![allow(clippy::print_stdout, reason = "its output is its interface")]

use core::net::SocketAddr;
use core::time::Duration;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::time::Instant;

/// Ports that announces come from.
const SOCKETS: u32 = 64;
/// Announces under way for each.
const WINDOW: usize = 16;
/// A port that heard nothing for longer lost what was under way.
const LOST: Duration = Duration::from_millis(200);
/// How long a connection id is used.
const CONNECTED: Duration = Duration::from_secs(50);
const PROTOCOL: u64 = 0x0417_2710_1980;

type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

struct Port {
    socket: UdpSocket,
    id: Option<[u8; 8]>,
    connected: Instant,
    heard: Instant,
    under_way: usize,
    /// The next peer that it announces while it fills.
    next: u64,
    /// Its numbers.
    number: u32,
    chance: u64,
}

#[derive(Clone, Copy)]
struct Plan {
    torrents: u64,
    peers: u64,
    /// Each peer once, rather than any.
    fill: bool,
}

#[derive(Default)]
struct Sum {
    announces: u64,
    peers: u64,
    errors: u64,
}

/// A number that looks random, of a number.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn hash(torrent: u64) -> [u8; 20] {
    let mut out = [0; 20];
    for (n, part) in out.chunks_mut(8).enumerate() {
        part.copy_from_slice(&mix(torrent * 3 + n as u64 + 1).to_be_bytes()[..part.len()]);
    }
    out
}

impl Port {
    fn new(number: u32, to: SocketAddr, poll: &Poll) -> Outcome<Self> {
        // The whole of 127/8 is here.
        let from = SocketAddr::from(([127, 0, 1, 1 + (number % 200) as u8], 0));
        let mut socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        poll.registry().register(&mut socket, Token(number as usize), Interest::READABLE)?;
        let now = Instant::now();
        let next = u64::from(number);
        let chance = mix(next + 1);
        Ok(Self { socket, id: None, connected: now, heard: now, under_way: 0, next, number, chance })
    }

    fn connect(&mut self) {
        let mut packet = [0; 16];
        packet[..8].copy_from_slice(&PROTOCOL.to_be_bytes());
        packet[12..].copy_from_slice(&self.number.to_be_bytes());
        // What is lost is sent again.
        let _ = self.socket.send(&packet);
    }

    /// The next peer, or none when each was announced.
    fn choose(&mut self, plan: Plan) -> Option<(u64, u64)> {
        let of_port = u64::from(SOCKETS);
        if plan.fill {
            let index = self.next;
            self.next += of_port;
            return (index < plan.torrents * plan.peers).then(|| (index / plan.peers, index % plan.peers));
        }
        self.chance = mix(self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15));
        // As it was when it filled: the peer's port has the same number.
        let all = (plan.torrents * plan.peers).div_ceil(of_port);
        let index = (self.chance % all) * of_port + u64::from(self.number);
        let index = if index < plan.torrents * plan.peers { index } else { u64::from(self.number) };
        Some((index / plan.peers, index % plan.peers))
    }

    fn announce(&mut self, (torrent, peer): (u64, u64), id: [u8; 8]) {
        let mut packet = [0; 98];
        packet[..8].copy_from_slice(&id);
        packet[11] = 1;
        packet[16..36].copy_from_slice(&hash(torrent));
        packet[36..44].copy_from_slice(b"-XX0001-");
        packet[44..52].copy_from_slice(&mix(torrent << 32 | peer).to_be_bytes());
        packet[52..56].copy_from_slice(&(peer as u32).to_be_bytes());
        packet[71] = u8::from(!peer.is_multiple_of(4));
        packet[95] = 30;
        packet[96..].copy_from_slice(&(1024 + (peer % 60_000) as u16).to_be_bytes());
        if self.socket.send(&packet).is_ok() {
            self.under_way += 1;
        }
    }

    /// Fills the window; whether there is anything left to wait for.
    fn go_on(&mut self, plan: Plan) -> bool {
        let Some(id) = self.id else { return true };
        while self.under_way < WINDOW {
            let Some(which) = self.choose(plan) else { return self.under_way > 0 };
            self.announce(which, id);
        }
        true
    }

    fn receive(&mut self, sum: &mut Sum) {
        let mut room = [0; 2048];
        loop {
            let len = match self.socket.recv(&mut room) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            self.heard = Instant::now();
            match room[3] {
                0 if len >= 16 => {
                    self.id = room[8..16].try_into().ok();
                    self.connected = self.heard;
                }
                1 if len >= 20 => {
                    sum.announces += 1;
                    sum.peers += (len as u64 - 20) / 6;
                    self.under_way = self.under_way.saturating_sub(1);
                }
                _ => {
                    sum.errors += 1;
                    self.under_way = self.under_way.saturating_sub(1);
                    self.connect();
                }
            }
        }
    }

    fn tend(&mut self) {
        if self.id.is_none() || self.connected.elapsed() > CONNECTED {
            self.connect();
            // Not again before this one had its time.
            self.connected = Instant::now() - CONNECTED + LOST;
        }
        if self.heard.elapsed() > LOST {
            self.under_way = 0;
            self.heard = Instant::now();
        }
    }
}

/// CPU milliseconds and resident KiB of a process.
fn used(pid: u32) -> Outcome<(u64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib = line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?;
    Ok((ticks * 10, kib))
}

/// Announces until the time is over or all is announced.
fn run(ports: &mut [Port], poll: &mut Poll, plan: Plan, until: Option<Instant>) -> Outcome<Sum> {
    let mut sum = Sum::default();
    let mut events = Events::with_capacity(ports.len());
    let mut tended = Instant::now();
    for port in &mut *ports {
        port.tend();
        port.go_on(plan);
    }
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(50)))?;
        for event in &events {
            let port = &mut ports[event.token().0];
            port.receive(&mut sum);
            port.go_on(plan);
        }
        if tended.elapsed() > Duration::from_millis(50) {
            tended = Instant::now();
            let mut left = false;
            for port in &mut *ports {
                port.tend();
                left |= port.go_on(plan);
            }
            if !left || until.is_some_and(|until| tended > until) {
                return Ok(sum);
            }
        }
    }
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, verb, torrents] = &words[..]
        && verb == "hashes"
    {
        for torrent in 0..torrents.parse()? {
            println!("{}", hash(torrent).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        return Ok(());
    }
    let [_, to, pid, torrents, peers, seconds] = &words[..] else {
        return Err("usage: tracker_load ADDRESS PID TORRENTS PEERS SECONDS".into());
    };
    let (to, pid): (SocketAddr, u32) = (to.parse()?, pid.parse()?);
    let plan = Plan { torrents: torrents.parse()?, peers: peers.parse()?, fill: true };
    let mut poll = Poll::new()?;
    let mut ports = (0..SOCKETS).map(|n| Port::new(n, to, &poll)).collect::<Outcome<Vec<_>>>()?;
    let sum = run(&mut ports, &mut poll, plan, None)?;
    let (_, kib) = used(pid)?;
    println!("{{\"event\":\"filled\",\"announces\":{},\"resident_kib\":{kib}}}", sum.announces);
    let seconds: u64 = seconds.parse()?;
    if seconds == 0 {
        return Ok(());
    }
    ports.iter_mut().for_each(|port| port.under_way = 0);
    // The first half second is not counted.
    let plan = Plan { fill: false, ..plan };
    run(&mut ports, &mut poll, plan, Some(Instant::now() + Duration::from_millis(500)))?;
    let (before, _) = used(pid)?;
    let began = Instant::now();
    let sum = run(&mut ports, &mut poll, plan, Some(began + Duration::from_secs(seconds)))?;
    let (ms, (after, kib)) = (began.elapsed().as_millis(), used(pid)?);
    let (announces, errors, cpu_ms) = (sum.announces, sum.errors, after - before);
    let peers = sum.peers as f64 / sum.announces.max(1) as f64;
    println!(
        "{{\"event\":\"done\",\"announces\":{announces},\"errors\":{errors},\"ms\":{ms},\"cpu_ms\":{cpu_ms},\
        \"peers\":{peers:.2},\"resident_kib\":{kib}}}"
    );
    Ok(())
}
