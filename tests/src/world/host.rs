//! One engine with its disk and its jobs: what a driver is to an engine, without any network.

use super::content::digests;
use super::disk::Disk;
use super::tape::{Answer, Call, Tape, make, own};
use super::weather::Weather;
use core::net::SocketAddr;
use millstream_core::base::{
    Chunk, ConnId, Digests, Extent, Instant, JobId, LocalId, Part, Rng, Segment, TorrentId, Want,
};
use millstream_core::engine::{
    Command, CommandError, Config, Datagrams, Effect, Engine, Event, FileNow, FilesOp, HostError,
    HostErrorKind, Incoming, Input, Outcome, Refusal, Reply, Source, Transmit, Work,
};
use millstream_core::mse::exchange;
use std::collections::{BTreeMap, VecDeque};

/// The listener of every host.
pub const LISTENER: LocalId = LocalId(1);
/// The UDP socket of every host.
pub const UDP: LocalId = LocalId(2);
/// The listener over IPv6 of hosts that have it.
pub const LISTENER_6: LocalId = LocalId(3);
/// The UDP socket over IPv6 of hosts that have it.
pub const UDP_6: LocalId = LocalId(4);

/// The multicast socket of hosts on the local network.
pub const MULTICAST: LocalId = LocalId(5);

/// One engine and all that belongs to it.
#[derive(Debug)]
pub struct Host {
    /// The engine; look, don't call: calls go through the host, which keeps the journal.
    pub engine: Engine,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it listens over IPv6, if it has that.
    pub addr_6: Option<SocketAddr>,
    /// The router that it is behind, if any.
    pub router: Option<super::lan::Router>,
    /// When the local network's group heard from it.
    pub multicasts: Vec<Instant>,
    /// It is on the local network.
    pub(super) on_lan: bool,
    /// Its disk.
    pub disk: Disk,
    /// All its news so far.
    pub events: Vec<Event>,
    /// Its journal, if one is kept.
    pub tape: Option<Tape>,
    /// Counts its starts: what belongs to an earlier one is void.
    pub boot: u32,
    /// Whom it called, in order.
    pub dialed: Vec<SocketAddr>,
    /// Bytes that were written, over all starts.
    pub bytes_written: u64,
    pub(super) config: Config,
    pub(super) conns: BTreeMap<ConnId, (usize, usize)>,
    pub(super) dialing: BTreeMap<ConnId, SocketAddr>,
    pub(crate) jobs: BTreeMap<JobId, (Work, bool)>,
    pub(super) uplink_free: Instant,
    /// Ends of wires that wait for the uplink, in turn.
    pub(super) waiting: VecDeque<(usize, usize)>,
    pub(super) uplink_planned: bool,
    pub(super) dirty: bool,
    mounts: BTreeMap<TorrentId, Mount>,
}

/// Where a torrent's files are.
#[derive(Clone, Debug, Default)]
struct Mount {
    /// By extent's file number; empty for pads.
    paths: Vec<String>,
    /// What its resume data is saved under.
    name: String,
}

impl Host {
    pub(crate) fn new(config: Config, addr: SocketAddr, seed: [u8; 32], now: Instant) -> Self {
        // No host of this world stands behind a router.
        let config = Config { port_mapping: false, ..config };
        Self {
            engine: Engine::new(config.clone(), seed, now),
            addr,
            addr_6: None,
            router: None,
            multicasts: Vec::new(),
            on_lan: false,
            disk: Disk::default(),
            events: Vec::new(),
            tape: None,
            boot: 0,
            dialed: Vec::new(),
            bytes_written: 0,
            config,
            conns: BTreeMap::new(),
            dialing: BTreeMap::new(),
            jobs: BTreeMap::new(),
            uplink_free: now,
            waiting: VecDeque::new(),
            uplink_planned: false,
            dirty: true,
            mounts: BTreeMap::new(),
        }
    }

    /// Starts again with what the disk has.
    pub(super) fn restart(&mut self, seed: [u8; 32], now: Instant) {
        self.engine = Engine::new(self.config.clone(), seed, now);
        self.boot += 1;
        self.conns.clear();
        self.dialing.clear();
        self.jobs.clear();
        self.mounts.clear();
        self.uplink_free = now;
        self.waiting.clear();
        self.uplink_planned = false;
        self.dirty = true;
        self.tape = None;
    }

    /// Keeps a journal from now on; only right before the first call.
    pub(super) fn keep_tape(&mut self, seed: [u8; 32], start: Instant) {
        self.tape = Some(Tape { config: self.config.clone(), seed, start, calls: Vec::new() });
    }

    fn call(&mut self, now: Instant, call: Call) -> Answer {
        let Some(tape) = &mut self.tape else { return make(&mut self.engine, now, call) };
        let kept = own(&call);
        let answer = make(&mut self.engine, now, call);
        tape.calls.push((now, kept, answer.clone()));
        answer
    }

    pub(crate) fn input(&mut self, now: Instant, input: Input) {
        self.call(now, Call::Input(input));
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.call(now, Call::Timeout);
    }

    pub(crate) fn effect(&mut self, now: Instant) -> Option<Effect> {
        if let Answer::Effect(effect) = self.call(now, Call::Effect) { effect } else { None }
    }

    pub(crate) fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.engine.poll_event() {
            if let Some(tape) = &mut self.tape {
                tape.calls.push((now, Call::Event, Answer::Event(Some(format!("{event:?}")))));
            }
            self.events.push(event);
        }
    }

    pub(crate) fn transmit(&mut self, now: Instant, conn: ConnId, max: usize) -> Option<Transmit> {
        if let Answer::Transmit(transmit) = self.call(now, Call::Transmit(conn, max)) {
            transmit
        } else {
            None
        }
    }

    pub(crate) fn datagrams(&mut self, now: Instant, local: LocalId) -> Option<Datagrams> {
        if let Answer::Datagrams(datagrams) = self.call(now, Call::Datagrams(local, 1 << 16)) {
            datagrams
        } else {
            None
        }
    }

    pub(crate) fn command(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        let name = if let Command::Add(add) = &command { Some(name(&add.source)) } else { None };
        let Answer::Command(reply) = self.call(now, Call::Command(command)) else {
            unreachable!("a command is answered by its reply")
        };
        if let (Ok(Reply::Added(id)), Some(name)) = (&reply, name) {
            self.mounts.entry(*id).or_default().name = name;
        }
        reply
    }

    pub(crate) fn accept(&mut self, now: Instant, from: SocketAddr) -> Result<ConnId, Refusal> {
        let (local, to) = match self.addr_6.filter(|_| from.is_ipv6()) {
            Some(addr) => (LISTENER_6, addr),
            None => (LISTENER, self.addr),
        };
        let incoming = Incoming { local, to, from };
        let Answer::Accept(reply) = self.call(now, Call::Accept(incoming)) else {
            unreachable!("an incoming link is answered by its name")
        };
        reply
    }

    /// The socket that has this address.
    pub(super) fn socket(&self, addr: SocketAddr) -> Option<LocalId> {
        if self.addr == addr {
            return Some(UDP);
        }
        (self.addr_6 == Some(addr)).then_some(UDP_6)
    }

    /// Whether a link to this address leads to it: no router lets one in.
    pub(super) fn is_called_at(&self, addr: SocketAddr) -> bool {
        self.router.is_none() && self.socket(addr).is_some()
    }

    /// Its own address of the same family.
    pub(super) fn addr_like(&self, other: SocketAddr) -> SocketAddr {
        self.addr_6.filter(|_| other.is_ipv6()).unwrap_or(self.addr)
    }

    /// The jobs that it owes an answer.
    pub fn owed(&self) -> impl Iterator<Item = &Work> {
        self.jobs.values().map(|(work, _)| work)
    }

    /// Resume data that was saved for what comes from this source.
    pub fn saved(&self, source: &Source) -> Option<Vec<u8>> {
        self.disk.saved(&name(source)).cloned()
    }

    /// The bytes of a transmit; `None` if the disk fails.
    pub(super) fn bytes_of(&self, transmit: &Transmit) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(transmit.len);
        for segment in &transmit.segments {
            match segment {
                Segment::Bytes(chunk) => out.extend_from_slice(chunk),
                Segment::Stored(torrent, extent) => {
                    out.extend_from_slice(self.read_extent(*torrent, extent)?)
                }
            }
        }
        assert_eq!(out.len(), transmit.len, "a transmit is as long as it says");
        Some(out)
    }

    fn path(&self, torrent: TorrentId, file: u32) -> &str {
        let mount = self.mounts.get(&torrent).expect("files are opened before they are used");
        let path = mount.paths.get(file as usize).expect("an extent names a file of the torrent");
        assert!(!path.is_empty(), "no extent names a pad file");
        path
    }

    fn read_extent(&self, torrent: TorrentId, extent: &Extent) -> Option<&[u8]> {
        if self.disk.broken {
            return None;
        }
        self.disk.read(self.path(torrent, extent.file), extent.offset, extent.length)
    }

    fn read_parts(&self, torrent: TorrentId, parts: &[Part]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for part in parts {
            match part {
                Part::Pad(n) => out.resize(out.len() + *n as usize, 0),
                Part::Stored(extent) => out.extend_from_slice(self.read_extent(torrent, extent)?),
            }
        }
        Some(out)
    }

    /// Does a job that needs no network.
    pub(crate) fn work(&mut self, now: Instant, work: &Work, weather: &Weather, rng: &mut Rng) -> Outcome {
        let faulty = rng.chance(weather.faults_per_mille, 1000);
        match work {
            Work::Files { torrent, op } => self.files_op(now, *torrent, op),
            Work::Read { .. } | Work::Write { .. } if faulty => failed(HostErrorKind::Other),
            Work::Read { torrent, parts, plain } => {
                let Some(mut bytes) = self.read_parts(*torrent, parts) else {
                    return if self.disk.broken { failed(HostErrorKind::Other) } else { Outcome::Absent };
                };
                if rng.chance(self.disk.lies_per_mille, 1000) {
                    bytes[0] ^= 0x55;
                } else if *plain && rng.chance(weather.stored_per_mille, 1000) {
                    return Outcome::Stored;
                }
                Outcome::Bytes(vec![Chunk::from(bytes)])
            }
            Work::Write { torrent, extents, data } => {
                self.write(now, *torrent, extents, &data.concat_bytes())
            }
            Work::Hash { data, pad, want } => Outcome::Digests(digests(&data.concat_bytes(), *pad, *want)),
            Work::HashStored { torrent, parts, pad, want } => {
                match self.hash_stored(*torrent, parts, *pad, *want) {
                    _ if self.disk.broken => failed(HostErrorKind::Other),
                    Some(digests) => Outcome::Digests(digests),
                    None => Outcome::Absent,
                }
            }
            Work::Save { torrent, data } => {
                let name = self.mounts.get(torrent).map_or_else(String::new, |mount| mount.name.clone());
                self.disk.save(&name, data);
                Outcome::Saved
            }
            Work::Exchange(job) => Outcome::Exchanged(Box::new(exchange(job))),
            Work::Http { .. } | Work::Resolve { .. } | Work::MapPort { .. } => {
                unreachable!("the world does what needs a network")
            }
        }
    }

    fn hash_stored(&self, torrent: TorrentId, parts: &[Part], pad: u32, want: Want) -> Option<Digests> {
        Some(digests(&self.read_parts(torrent, parts)?, pad, want))
    }

    fn write(&mut self, now: Instant, torrent: TorrentId, extents: &[Extent], data: &[u8]) -> Outcome {
        let total: usize = extents.iter().map(|extent| extent.length as usize).sum();
        assert_eq!(total, data.len(), "a write has as many bytes as its extents");
        let mut at = 0;
        for extent in extents {
            let part = &data[at..][..extent.length as usize];
            at += part.len();
            let path = self.path(torrent, extent.file).to_owned();
            let now_ns = 1_000_000_000 + now.as_micros() * 1000;
            if !self.disk.write(now_ns, &path, extent.offset, part) {
                return failed(HostErrorKind::Full);
            }
        }
        self.bytes_written += data.len() as u64;
        Outcome::Written
    }

    fn files_op(&mut self, now: Instant, torrent: TorrentId, op: &FilesOp) -> Outcome {
        let mount = self.mounts.entry(torrent).or_default();
        match op {
            FilesOp::Open { folder, files, allocation: _ } => {
                let path = |path: &[String]| [&[folder.to_string()], path].concat().join("/");
                mount.paths =
                    files.iter().map(|f| if f.pad { String::new() } else { path(&f.path) }).collect();
                for (file, path) in files.iter().zip(mount.paths.clone()) {
                    if file.wanted && file.length == 0 && !file.pad && file.symlink.is_none() {
                        self.disk.write(now.as_micros() * 1000, &path, 0, &[]);
                    }
                }
            }
            FilesOp::Sync => self.disk.sync(&mount.paths.clone()),
            FilesOp::Close => {
                mount.paths.clear();
                return Outcome::Files(Vec::new());
            }
        }
        Outcome::Files(self.files_now(torrent))
    }

    fn files_now(&self, torrent: TorrentId) -> Vec<FileNow> {
        let paths = self.mounts.get(&torrent).map_or(&[][..], |mount| &mount.paths);
        let now = |path: &String| match self.disk.file(path) {
            Some(file) => FileNow { length: Some(file.bytes.len() as u64), modified_ns: file.modified_ns },
            None => FileNow::default(),
        };
        paths.iter().map(now).collect()
    }
}

/// Chunks as one run of bytes.
trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<Chunk> {
    fn concat_bytes(&self) -> Vec<u8> {
        let parts: Vec<&[u8]> = self.iter().map(|chunk| &**chunk).collect();
        parts.concat()
    }
}

/// A failed outcome of this kind.
pub(crate) fn failed(kind: HostErrorKind) -> Outcome {
    Outcome::Failed(HostError { kind, message: format!("{kind:?}") })
}

fn name(source: &Source) -> String {
    let hashes: Vec<_> = match source {
        Source::Metainfo(metainfo) => metainfo.info.hashes().collect(),
        Source::Magnet(magnet) => magnet.hashes().collect(),
    };
    format!("{:?}", hashes.last())
}
