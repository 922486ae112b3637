//! A fixed exchange between two engines in memory, and one digest of every effect, event and byte of it. A build that
//! gives another digest than a native one behaves differently. Hashes and disk are the simplest there can be.

use core::net::SocketAddr;
use millstream_core::base::{BLOCK, Chunk, ConnId, Digests, Instant, LocalId, Part, Rng, Segment, Want};
use millstream_core::create::{CreateFile, CreateOptions, Plan};
use millstream_core::engine::{
    AddTorrent, Command, Config, Effect, Endpoint, Engine, Event, FileNow, FilesOp, Incoming, Input,
    LinkInfo, Outcome, Reply, SocketKind, Source, State, TorrentEvent, Work,
};
use millstream_core::mse::exchange;
use millstream_core::wire::metainfo::Metainfo;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// Bytes of the torrent: many pieces, the last one short.
const LENGTH: usize = 300_001;
/// More steps than the exchange ever takes.
const STEPS_MAX: usize = 10_000;

/// The digest in hex of a fixed exchange that `seed` draws; the same wherever it is built.
///
/// # Panics
/// If the exchange doesn't end: the build is broken.
#[wasm_bindgen(js_name = selftestDigest)]
pub fn selftest_digest(seed: u32) -> String {
    let rng = Rng::new([7; 32]).fork_at("selftest", u64::from(seed));
    let mut data = vec![0; LENGTH];
    rng.fork("payload").fill(&mut data);
    let metainfo = Arc::new(torrent(&data));
    let mut pair = Pair {
        sides: [
            Side::new(rng.fork("seed").bytes(), 1, data),
            Side::new(rng.fork("leech").bytes(), 2, Vec::new()),
        ],
        now: Instant::ZERO,
        trace: Sha256::new(),
        carried: 0,
    };
    pair.add(0, &metainfo, Vec::new());
    pair.add(1, &metainfo, vec![pair.sides[0].addr]);
    let whole = (0..STEPS_MAX).any(|_| pair.step());
    assert!(whole && pair.carried > LENGTH && pair.sides[0].disk == pair.sides[1].disk, "the exchange ends");
    crate::events::hex(&pair.trace.finalize())
}

/// A hybrid torrent of one file.
fn torrent(data: &[u8]) -> Metainfo {
    let file =
        CreateFile { path: vec!["data".to_owned()], length: data.len() as u64, ..CreateFile::default() };
    let mut options = CreateOptions::new("data", vec![file]);
    options.multi_file = false;
    options.piece_length = Some(32 << 10);
    let mut plan = Plan::new(options).expect("the options make a torrent");
    while let Some(job) = plan.next_job() {
        let bytes: Vec<u8> =
            job.extents.iter().flat_map(|e| span(data, e.offset, e.length)).copied().collect();
        plan.on_digests(job.piece, &digests(&bytes, job.pad, job.want)).expect("digests as asked for");
    }
    Metainfo::parse(&plan.finish().expect("all is hashed")).expect("what we make we can read")
}

fn span(data: &[u8], offset: u64, length: u32) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    data.get(start..start.saturating_add(length as usize)).unwrap_or_default()
}

fn digests(bytes: &[u8], pad: u32, want: Want) -> Digests {
    let sha1 = || Sha1::new().chain_update(bytes).chain_update(vec![0; pad as usize]).finalize().into();
    let leaves = bytes.chunks(BLOCK as usize).map(|block| Sha256::digest(block).into());
    Digests { sha1: want.sha1.then(sha1), leaves: if want.leaves { leaves.collect() } else { Vec::new() } }
}

/// An engine, its address, and a disk of one file.
struct Side {
    engine: Engine,
    addr: SocketAddr,
    disk: Vec<u8>,
    whole: bool,
    /// The other end of our link.
    far: Option<ConnId>,
}

impl Side {
    fn new(seed: [u8; 32], host: u8, disk: Vec<u8>) -> Self {
        let mut engine = Engine::new(Config::default(), seed, Instant::ZERO);
        let addr = SocketAddr::from(([10, 0, 0, host], 6881));
        let bound = Input::Bound { local: LocalId(1), addr, kind: SocketKind::TcpListener };
        engine.handle_input(Instant::ZERO, bound);
        Self { engine, addr, disk, whole: false, far: None }
    }

    fn carry_out(&mut self, work: Work) -> Outcome {
        let read = |parts: &[Part]| -> Vec<u8> {
            let stored = |part: &Part| match *part {
                Part::Stored(extent) => span(&self.disk, extent.offset, extent.length).to_vec(),
                Part::Pad(length) => vec![0; length as usize],
            };
            parts.iter().flat_map(stored).collect()
        };
        match work {
            Work::Files { op: FilesOp::Close, .. } => Outcome::Files(Vec::new()),
            Work::Files { op: FilesOp::Open { .. } | FilesOp::Sync, .. } => {
                let length = (!self.disk.is_empty()).then_some(self.disk.len() as u64);
                Outcome::Files(vec![FileNow { length, modified_ns: 0 }])
            }
            Work::Read { parts, .. } => Outcome::Bytes(vec![Chunk::from(read(&parts))]),
            Work::Write { extents, data, .. } => {
                let bytes: Vec<u8> = data.iter().flat_map(|chunk| chunk.iter()).copied().collect();
                let mut rest = bytes.as_slice();
                for extent in extents {
                    let (now, later) = rest.split_at(extent.length as usize);
                    let start = extent.offset as usize;
                    self.disk.resize(self.disk.len().max(start + now.len()), 0);
                    self.disk[start..start + now.len()].copy_from_slice(now);
                    rest = later;
                }
                Outcome::Written
            }
            Work::Hash { data, pad, want } => {
                let bytes: Vec<u8> = data.iter().flat_map(|chunk| chunk.iter()).copied().collect();
                Outcome::Digests(digests(&bytes, pad, want))
            }
            Work::HashStored { parts, pad, want, .. } => {
                let (bytes, owed) = (read(&parts), parts.iter().map(Part::len).sum::<u32>());
                if bytes.len() < owed as usize {
                    return Outcome::Absent;
                }
                Outcome::Digests(digests(&bytes, pad, want))
            }
            Work::Save { .. } => Outcome::Saved,
            Work::Exchange(job) => Outcome::Exchanged(Box::new(exchange(&job))),
            Work::Http { .. } | Work::Resolve { .. } | Work::MapPort { .. } => Outcome::Cancelled,
        }
    }
}

/// Two sides, a clock, and the trace of what they do.
struct Pair {
    sides: [Side; 2],
    now: Instant,
    trace: Sha256,
    carried: usize,
}

impl Pair {
    fn add(&mut self, n: usize, metainfo: &Arc<Metainfo>, peers: Vec<SocketAddr>) {
        let add = AddTorrent { peers, ..AddTorrent::new(Source::Metainfo(Arc::clone(metainfo)), "disk") };
        let reply = self.sides[n].engine.command(self.now, Command::Add(Box::new(add)));
        assert!(matches!(reply, Ok(Reply::Added(_))), "the torrent is taken on");
    }

    /// Does what is to be done, or else lets time pass; whether the exchange is over.
    fn step(&mut self) -> bool {
        let busy = [0, 1].map(|n| self.drain(n));
        if busy == [false, false] {
            let done = self.sides.iter().all(|side| side.whole);
            let due = self.sides.iter().filter_map(|side| side.engine.poll_timeout()).min();
            let Some(due) = due.filter(|_| !done) else { return done };
            self.now = self.now.max(due);
            self.sides.iter_mut().for_each(|side| side.engine.handle_timeout(self.now));
        }
        false
    }

    fn drain(&mut self, n: usize) -> bool {
        let mut busy = false;
        while let Some(effect) = self.sides[n].engine.poll_effect() {
            busy = true;
            self.note(&format!("{n} {:?} {effect:?}", self.now));
            self.carry_out(n, effect);
        }
        while let Some(event) = self.sides[n].engine.poll_event() {
            self.note(&format!("{n} {:?} {event:?}", self.now));
            self.sides[n].whole |= matches!(event, Event::Torrent(_, TorrentEvent::Completed));
            if let Event::Torrent(id, TorrentEvent::Progress) = event {
                let status = self.sides[n].engine.status(self.now, id);
                assert!(status.is_none_or(|status| status.state != State::Failed), "nothing fails");
            }
        }
        busy
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Connect { conn, to, route: _ } => {
                let Endpoint::Tcp(to) = to else { unreachable!("the exchange is of two peers") };
                let from = self.sides[n].addr;
                let incoming = Incoming { local: LocalId(1), to, from };
                let far = self.sides[1 - n].engine.accept(now, incoming).expect("there is room for a link");
                (self.sides[n].far, self.sides[1 - n].far) = (Some(far), Some(conn));
                self.sides[n]
                    .engine
                    .handle_input(now, Input::Opened { conn, info: LinkInfo::between(from, to) });
            }
            Effect::Close { conn, .. } => {
                self.sides[n].engine.handle_input(now, Input::Drained { conn });
                if let Some(conn) = self.sides[n].far.take() {
                    let why = millstream_core::engine::LinkEnd::Finished;
                    self.sides[1 - n].engine.handle_input(now, Input::Closed { conn, why });
                }
            }
            Effect::Interest { conn, write: true, .. } => self.pull(n, conn),
            Effect::Job { job, work } => {
                let outcome = self.sides[n].carry_out(work);
                self.sides[n].engine.handle_input(now, Input::Done { job, outcome });
            }
            Effect::Interest { .. } | Effect::DatagramsReady { .. } | Effect::Cancel { .. } => {}
        }
    }

    fn pull(&mut self, n: usize, conn: ConnId) {
        while let Some(transmit) = self.sides[n].engine.poll_transmit(self.now, conn, 64 << 10) {
            let mut data = Vec::new();
            for segment in transmit.segments {
                match segment {
                    Segment::Bytes(chunk) => data.extend_from_slice(&chunk),
                    Segment::Stored(..) => unreachable!("nothing was answered as stored"),
                }
            }
            self.trace.update(&data);
            self.carried += data.len();
            self.sides[n].engine.handle_input(self.now, Input::Wrote { conn, bytes: data.len() as u64 });
            if let Some(conn) = self.sides[n].far {
                let input = Input::Received { conn, data: Chunk::from(data) };
                self.sides[1 - n].engine.handle_input(self.now, input);
            }
        }
    }

    fn note(&mut self, line: &str) {
        self.trace.update(line.as_bytes());
        self.trace.update(b"\n");
    }
}
