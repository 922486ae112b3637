//! What the engine costs, without disk, digests and network: `cargo bench -p millstream-core --bench engine`. Prints;
//! judges nothing.

use core::net::SocketAddr;
use millstream_core::base::{Chunk, ConnId, Digests, Instant, LocalId, Segment, Want};
use millstream_core::create::{CreateFile, CreateOptions, Plan};
use millstream_core::engine::{
    AddTorrent, Command, Config, Effect, Engine, FileNow, FilesOp, Incoming, Input, LinkInfo, Outcome, Reply,
    SocketKind, Source, Work,
};
use millstream_core::mse::exchange;
use millstream_core::wire::handshake::{Feature, Handshake, Reserved};
use millstream_core::wire::message::Message;
use millstream_core::wire::metainfo::{Metainfo, Version};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant as Clock;

const LISTENER: LocalId = LocalId(1);
const PIECE: u32 = 256 << 10;

/// Bytes of an idle torrent.
const SMALL: u64 = 1000;

fn main() {
    blocks();
    messages();
    for torrents in [100, 10_000, 100_000] {
        wakes(torrents);
    }
}

fn line(what: &str, start: Clock, count: u64) {
    let each = start.elapsed().as_nanos() / u128::from(count.max(1));
    writeln!(std::io::stdout(), "{what:<56} {each:>8} ns").ok();
}

/// A v1 torrent of zeros: all its pieces share one digest.
fn zeros(length: u64) -> Arc<Metainfo> {
    let file = CreateFile { path: vec!["zeros".into()], length, ..CreateFile::default() };
    let options = CreateOptions {
        multi_file: false,
        piece_length: Some(PIECE),
        version: Version::V1,
        ..CreateOptions::new("zeros", vec![file])
    };
    let mut plan = Plan::new(options).expect("it is a torrent");
    let mut known = BTreeMap::new();
    while let Some(job) = plan.next_job() {
        let length = job.extents.iter().map(|extent| extent.length).sum();
        plan.on_digests(job.piece, &digests(length, job.want, &mut known)).expect("as asked for");
    }
    Arc::new(Metainfo::parse(&plan.finish().expect("all is there")).expect("what we write we read"))
}

/// A v1 torrent of one small piece of zeros, like no other by its name. `announce` is the pair that names its tracker,
/// or nothing.
fn small(n: u64, announce: &str) -> Arc<Metainfo> {
    let mut torrent =
        format!("d{announce}4:infod6:lengthi{SMALL}e4:name10:{n:010}12:piece lengthi16384e6:pieces20:")
            .into_bytes();
    torrent.extend_from_slice(&Sha1::digest([0; SMALL as usize]));
    torrent.extend_from_slice(b"ee");
    Arc::new(Metainfo::parse(&torrent).expect("it is a torrent"))
}

/// The digests of so many zeros, made once for each length.
fn digests(length: u32, want: Want, known: &mut BTreeMap<u32, [u8; 20]>) -> Digests {
    let sha1 = *known.entry(length).or_insert_with(|| Sha1::digest(vec![0; length as usize]).into());
    Digests { sha1: want.sha1.then_some(sha1), leaves: Vec::new() }
}

/// An engine and a driver without disk: what is read is zeros, what is written is forgotten.
struct Side {
    engine: Engine,
    addr: SocketAddr,
    length: Option<u64>,
    zeros: Chunk,
    known: BTreeMap<u32, [u8; 20]>,
    link: Option<ConnId>,
    dialed: Option<ConnId>,
    write: bool,
}

impl Side {
    fn new(host: u8, length: Option<u64>, metainfo: &Arc<Metainfo>, peers: Vec<SocketAddr>) -> Self {
        let addr = SocketAddr::from(([81, host, 1, 1], 6881));
        let mut engine = Engine::new(Config::default(), [host; 32], Instant::ZERO);
        engine.handle_input(
            Instant::ZERO,
            Input::Bound { local: LISTENER, addr, kind: SocketKind::TcpListener },
        );
        let mut side = Self {
            engine,
            addr,
            length,
            zeros: Chunk::from(vec![0; 1 << 20]),
            known: BTreeMap::new(),
            link: None,
            dialed: None,
            write: false,
        };
        let add = AddTorrent { peers, ..AddTorrent::new(Source::Metainfo(Arc::clone(metainfo)), "nowhere") };
        side.engine.command(Instant::ZERO, Command::Add(Box::new(add))).expect("it is taken");
        side.drain(Instant::ZERO);
        side
    }

    fn add(&mut self, now: Instant, metainfo: Arc<Metainfo>) {
        let add = AddTorrent::new(Source::Metainfo(metainfo), "nowhere");
        let reply = self.engine.command(now, Command::Add(Box::new(add)));
        assert!(matches!(reply, Ok(Reply::Added(_))), "{reply:?}");
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Job { job, work } => {
                    let outcome = self.work(&work);
                    self.engine.handle_input(now, Input::Done { job, outcome });
                }
                Effect::Connect { conn, .. } => self.dialed = Some(conn),
                Effect::Interest { write, .. } => self.write = write,
                Effect::Close { conn, .. } => self.engine.handle_input(now, Input::Drained { conn }),
                Effect::DatagramsReady { .. } | Effect::Cancel { .. } => {}
            }
        }
        while self.engine.poll_event().is_some() {}
    }

    fn work(&mut self, work: &Work) -> Outcome {
        match work {
            Work::Files { op: FilesOp::Close, .. } => Outcome::Files(Vec::new()),
            Work::Files { .. } => Outcome::Files(vec![FileNow { length: self.length, modified_ns: 1 }]),
            Work::Read { parts, .. } => {
                let length: u32 = parts.iter().map(|part| part.len()).sum();
                Outcome::Bytes(vec![self.zeros.slice(0, length as usize)])
            }
            Work::Write { .. } => Outcome::Written,
            Work::Hash { data, want, .. } => {
                let length: usize = data.iter().map(|chunk| chunk.len()).sum();
                Outcome::Digests(digests(length as u32, *want, &mut self.known))
            }
            Work::HashStored { parts, want, .. } if self.length.is_some() => {
                let length = parts.iter().map(|part| part.len()).sum();
                Outcome::Digests(digests(length, *want, &mut self.known))
            }
            Work::HashStored { .. } => Outcome::Absent,
            Work::Save { .. } => Outcome::Saved,
            Work::Http { .. } => {
                Outcome::Http { status: 200, body: Chunk::copy_from(b"d8:intervali1800e5:peers0:e") }
            }
            Work::Exchange(job) => Outcome::Exchanged(Box::new(exchange(job))),
            Work::Resolve { .. } => Outcome::Resolved(Vec::new()),
            Work::MapPort { .. } => Outcome::Cancelled,
        }
    }

    /// What this side has to say goes to the other.
    fn give(&mut self, now: Instant, other: &mut Self) -> bool {
        let (Some(conn), Some(to)) = (self.link, other.link) else { return false };
        let mut any = false;
        while let Some(transmit) = self.engine.poll_transmit(now, conn, 128 << 10) {
            any = true;
            let mut bytes = Vec::with_capacity(transmit.len);
            for segment in &transmit.segments {
                match segment {
                    Segment::Bytes(chunk) => bytes.extend_from_slice(chunk),
                    Segment::Stored(_, extent) => bytes.resize(bytes.len() + extent.length as usize, 0),
                }
            }
            self.engine.handle_input(now, Input::Wrote { conn, bytes: transmit.len as u64 });
            self.drain(now);
            other.engine.handle_input(now, Input::Received { conn: to, data: Chunk::from(bytes) });
            other.drain(now);
        }
        any
    }
}

/// A seed and a leech of 256 MiB.
fn blocks() {
    let length = 256 << 20;
    let metainfo = zeros(length);
    let mut seed = Side::new(1, Some(length), &metainfo, Vec::new());
    let mut leech = Side::new(2, None, &metainfo, vec![seed.addr]);
    let mut now = Instant::from_micros(1_000);
    let dialed = leech.dialed.expect("the leech calls");
    let incoming = Incoming { local: LISTENER, to: seed.addr, from: leech.addr };
    seed.link = seed.engine.accept(now, incoming).ok();
    leech.link = Some(dialed);
    leech
        .engine
        .handle_input(now, Input::Opened { conn: dialed, info: LinkInfo::between(leech.addr, seed.addr) });
    leech.drain(now);
    let id = leech.engine.torrents()[0];
    let start = Clock::now();
    while leech.engine.status(now, id).is_some_and(|status| status.verified < length) {
        let busy = leech.give(now, &mut seed) | seed.give(now, &mut leech);
        now += core::time::Duration::from_micros(if busy { 500 } else { 100_000 });
        for side in [&mut seed, &mut leech] {
            side.engine.handle_timeout(now);
            side.drain(now);
        }
    }
    line("a block through a seed and a leech", start, length / (16 << 10));
}

/// A stranger says HAVE for each of 100,000 pieces.
fn messages() {
    let pieces = 100_000;
    let metainfo = zeros(pieces * u64::from(PIECE));
    let mut side = Side::new(1, None, &metainfo, Vec::new());
    let now = Instant::from_micros(1_000);
    let from = SocketAddr::from(([81, 9, 1, 1], 5000));
    let conn =
        side.engine.accept(now, Incoming { local: LISTENER, to: side.addr, from }).expect("it is taken");
    let reserved = Reserved::NONE.with(Feature::Fast);
    let info_hash = metainfo.info.info_hash().expect("v1 has it");
    let peer_id = millstream_core::wire::PeerId([9; 20]);
    let mut bytes = Handshake { reserved, info_hash, peer_id }.encode().to_vec();
    Message::HaveNone.encode(&mut bytes);
    side.engine.handle_input(now, Input::Received { conn, data: Chunk::from(bytes) });
    side.drain(now);
    let mut said = Vec::new();
    (0..pieces as u32).for_each(|piece| Message::Have(piece).encode(&mut said));
    let start = Clock::now();
    for part in said.chunks(16 << 10) {
        side.engine.handle_input(now, Input::Received { conn, data: Chunk::copy_from(part) });
        side.drain(now);
    }
    line("a HAVE", start, pieces);
}

/// Idle seeding torrents, and one among them that wakes to announce again and again: others must not be felt.
fn wakes(torrents: u64) {
    let mut side = Side::new(1, Some(SMALL), &small(0, ""), Vec::new());
    let idle: Vec<Arc<Metainfo>> = (1..=torrents).map(|n| small(n, "")).collect();
    let mut now = Instant::from_micros(1_000);
    let start = Clock::now();
    for metainfo in idle {
        side.add(now, metainfo);
    }
    line(&format!("a torrent added to {torrents}"), start, torrents);
    while let Some(at) = side.engine.poll_timeout() {
        now = now.max(at);
        side.engine.handle_timeout(now);
        side.drain(now);
    }
    side.add(now, small(torrents + 1, "8:announce31:http://tracker.example/announce"));
    let wakes = 20_000;
    let start = Clock::now();
    for _ in 0..wakes {
        let Some(at) = side.engine.poll_timeout() else { break };
        now = now.max(at);
        side.engine.handle_timeout(now);
        side.drain(now);
    }
    line(&format!("a wake-up and its announce among {torrents}"), start, wakes);
}
