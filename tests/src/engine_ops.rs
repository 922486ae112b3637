//! A fuzz body over the engine's doors: operations spelled by bytes, honest and hostile, with stale ids and jobs answered
//! in any order and with failures. It keeps the driver's law; whatever a stranger or a host may do, it does.

mod script;
mod signalling;

use crate::world::Weather;
use crate::world::host::{Host, LISTENER, MULTICAST, UDP, failed};
use crate::world::stranger::all_features;
use core::net::SocketAddr;
use core::time::Duration;
use millstream_core::base::{Chunk, ConnId, Instant, JobId, LocalId, Rng, TorrentId};
use millstream_core::engine::{
    AddTorrent, Command, Config, Effect, Endpoint, Event, HostErrorKind, Input, LinkEnd, LinkInfo, Outcome,
    Priority, Reply, Selection, SocketKind, Source, Work,
};
use millstream_core::wire::PeerId;
use millstream_core::wire::handshake::{Feature, Handshake};
use millstream_core::wire::message::Message;
pub(crate) use script::Script;
use script::{contents, dht, filter, message, rates, trackers};
pub use signalling::tracker_ws_link;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Operations of one run, at the most.
const OPS_MAX: usize = 600;
/// Jobs that may be outstanding, whatever happens.
const JOBS_MAX: usize = 2_000;
/// How often an engine may be due again at one moment.
const WAKES_MAX: u32 = 8;

/// Where a link stands, for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Dialing(SocketAddr),
    Open { read: u64, read_until: u64, write: bool },
    Closing,
}

/// An engine and its driver under the script.
struct Run {
    now: Instant,
    host: Host,
    links: BTreeMap<ConnId, Link>,
    torrents: Vec<TorrentId>,
    rng: Rng,
    stopped: bool,
}

fn config() -> Config {
    Config {
        links_max: 12,
        half_open_max: 4,
        handshakes_max: 6,
        torrents_max: 3,
        events_max: 64,
        store_bytes_max: 128 << 10,
        ..Config::default()
    }
}

/// Operations on an engine: nothing panics, everything stays bounded, and in the end all stops.
pub fn engine_ops(data: &[u8]) {
    let mut run = Run::new();
    let now = run.now;
    let mut script = Script(data);
    let first = script.byte();
    if first & 1 > 0 {
        for (path, bytes) in &contents()[2].files {
            run.host.disk.put(&format!("disk/{path}"), bytes);
        }
    }
    let add = AddTorrent::new(contents()[usize::from(first >> 1) % 3].source(), "disk");
    if let Ok(Reply::Added(id)) = run.host.command(now, Command::Add(Box::new(add))) {
        run.torrents.push(id);
    }
    run.drain();
    run.answer_all();
    for _ in 0..OPS_MAX {
        if script.0.is_empty() {
            break;
        }
        run.operate(&mut script);
        run.drain();
        run.check();
    }
    run.end();
}

impl Run {
    fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        let addr = SocketAddr::from(([81, 1, 7, 3], 6881));
        let mut run = Self {
            now,
            host: Host::new(config(), addr, [7; 32], now),
            links: BTreeMap::new(),
            torrents: Vec::new(),
            rng: Rng::new([8; 32]),
            stopped: false,
        };
        run.host.input(now, Input::Bound { local: LISTENER, addr, kind: SocketKind::TcpListener });
        run.host.input(now, Input::Bound { local: UDP, addr, kind: SocketKind::Udp });
        run.host.input(now, Input::Bound { local: MULTICAST, addr, kind: SocketKind::Multicast });
        run
    }

    fn operate(&mut self, script: &mut Script<'_>) {
        match script.byte() % 32 {
            0..=2 => self.wait(Duration::from_millis(u64::from(script.number()))),
            3 => self.accept(script),
            4 => self.handshake(script),
            5..=11 => {
                let message = message(script);
                self.receive(script, &message);
            }
            12 => {
                let bytes = script.bytes();
                self.receive(script, &bytes);
            }
            13 => self.close(script),
            14..=16 => self.answer(script),
            17 | 18 => self.command(script),
            19 => self.open(script),
            20..=22 => self.pull(script),
            23 => self.stale(script),
            24 | 25 => self.drained(script),
            26..=28 => self.answer_all(),
            29 => self.give(script),
            _ => self.visit(script),
        }
    }

    /// A stranger comes, names a torrent and says what peers say first.
    fn visit(&mut self, script: &mut Script<'_>) {
        self.accept(script);
        self.drain();
        self.handshake(script);
        for message in [Message::HaveAll, Message::Unchoke, Message::Interested] {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            self.receive(script, &bytes);
        }
    }

    /// A peer sends a whole torrent, or what one lie makes of it.
    fn give(&mut self, script: &mut Script<'_>) {
        let content = &contents()[usize::from(script.byte()) % 3];
        let lie = usize::from(script.byte());
        let geometry = content.info().geometry();
        for (n, block) in
            geometry.iter().flat_map(|p| (0..).map_while(move |n| geometry.block(p, n))).enumerate()
        {
            let mut data = content.block(block.piece, block.begin, block.length);
            data[0] ^= u8::from(n == lie);
            let mut bytes = Vec::new();
            Message::Piece { index: block.piece.get(), begin: block.begin, data: &data }.encode(&mut bytes);
            self.receive(&mut Script(&[]), &bytes);
        }
    }

    /// Every job is done as it should be.
    fn answer_all(&mut self) {
        for _ in 0..4 {
            let jobs: Vec<JobId> = self.host.jobs.keys().copied().collect();
            for job in jobs {
                self.finish(job, 7);
                self.drain();
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.host.input(self.now, input);
    }

    fn drain(&mut self) {
        while let Some(effect) = self.host.effect(self.now) {
            match effect {
                Effect::Connect { conn, to, route: _ } => {
                    let to = if let Endpoint::Tcp(to) = to { to } else { self.host.addr };
                    let before = self.links.insert(conn, Link::Dialing(to));
                    assert_eq!(before, None, "a link's name is new");
                }
                Effect::Close { conn, how: _ } => {
                    let link = self.links.insert(conn, Link::Closing);
                    assert!(link.is_some_and(|link| link != Link::Closing), "a link is closed once");
                }
                Effect::Interest { conn, read_until: until, write: wants } => match self.links.get_mut(&conn)
                {
                    Some(Link::Open { read_until, write, .. }) => {
                        assert!(until >= *read_until, "a credit only grows");
                        (*read_until, *write) = (until, wants);
                    }
                    Some(Link::Dialing(_) | Link::Closing) | None => {
                        panic!("interest in a link that isn't open")
                    }
                },
                Effect::DatagramsReady { local } => while self.host.datagrams(self.now, local).is_some() {},
                Effect::Job { job, work } => {
                    assert!(self.host.jobs.insert(job, (work, false)).is_none(), "a job's name is new");
                }
                Effect::Cancel { job } => {
                    if let Some((_, cancelled)) = self.host.jobs.get_mut(&job) {
                        *cancelled = true;
                    }
                }
            }
        }
        self.host.take_events(self.now);
        self.stopped |= self.host.events.iter().any(|event| matches!(event, Event::Stopped));
        self.host.events.clear();
    }

    fn check(&self) {
        let limits = config();
        let (links, half_open) = self.host.engine.link_counts();
        let links_max = limits.links_max + limits.tracker_sockets_max;
        assert!(links <= links_max && half_open <= limits.half_open_max, "{links} {half_open}");
        assert!(self.host.engine.torrents().len() <= limits.torrents_max);
        assert!(self.host.jobs.len() <= JOBS_MAX, "{} jobs", self.host.jobs.len());
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200 {
            let Some(at) = self.host.engine.poll_timeout().filter(|&at| at <= end) else { break };
            self.now = self.now.max(at);
            for n in 0.. {
                if self.host.engine.poll_timeout().is_none_or(|at| at > self.now) {
                    break;
                }
                assert!(n < WAKES_MAX, "due again and again at {:?}", self.now);
                self.host.timeout(self.now);
                self.drain();
            }
        }
        self.now = self.now.max(end);
        self.host.timeout(self.now);
    }

    fn accept(&mut self, script: &mut Script<'_>) {
        let from = SocketAddr::from(([72, 1, 1, script.byte()], 5000));
        if let Ok(conn) = self.host.accept(self.now, from) {
            self.links.insert(conn, Link::Open { read: 0, read_until: 0, write: false });
        }
    }

    fn open_links(&self) -> Vec<ConnId> {
        let open = |(conn, link): (&ConnId, &Link)| matches!(link, Link::Open { .. }).then_some(*conn);
        self.links.iter().filter_map(open).collect()
    }

    fn handshake(&mut self, script: &mut Script<'_>) {
        let hashes: Vec<_> = contents().iter().flat_map(|content| content.info().hashes()).collect();
        let Some(&info_hash) = script.pick(&hashes) else { return };
        let features = if script.coin() { all_features() } else { all_features().with(Feature::V2) };
        let handshake = Handshake { reserved: features, info_hash, peer_id: PeerId([script.byte(); 20]) };
        self.receive(script, &handshake.encode());
    }

    fn receive(&mut self, script: &mut Script<'_>, bytes: &[u8]) {
        let open = self.open_links();
        let newest = open.last().filter(|_| script.coin());
        let Some(&conn) = newest.or_else(|| script.pick(&open)) else { return };
        let step = usize::from(script.byte()).max(1) * 256;
        for part in bytes.chunks(step) {
            let Some(Link::Open { read, read_until, .. }) = self.links.get_mut(&conn) else { return };
            if *read >= *read_until {
                return;
            }
            *read += part.len() as u64;
            self.input(Input::Received { conn, data: Chunk::copy_from(part) });
            self.drain();
        }
    }

    fn close(&mut self, script: &mut Script<'_>) {
        let alive = |(conn, link): (&ConnId, &Link)| (*link != Link::Closing).then_some(*conn);
        let alive: Vec<ConnId> = self.links.iter().filter_map(alive).collect();
        let Some(&conn) = script.pick(&alive) else { return };
        let why = match script.byte() % 4 {
            0 => LinkEnd::Finished,
            1 => LinkEnd::Refused,
            2 => LinkEnd::Host("the story says so".into()),
            _ => LinkEnd::Reset,
        };
        self.input(Input::Closed { conn, why });
    }

    fn drained(&mut self, script: &mut Script<'_>) {
        let closing = |(conn, link): (&ConnId, &Link)| (*link == Link::Closing).then_some(*conn);
        let closing: Vec<ConnId> = self.links.iter().filter_map(closing).collect();
        if let Some(&conn) = script.pick(&closing) {
            self.links.remove(&conn);
            self.input(Input::Drained { conn });
        }
    }

    fn open(&mut self, script: &mut Script<'_>) {
        let dialing = |(conn, link): (&ConnId, &Link)| {
            if let Link::Dialing(to) = link { Some((*conn, *to)) } else { None }
        };
        let dialing: Vec<(ConnId, SocketAddr)> = self.links.iter().filter_map(dialing).collect();
        let Some(&(conn, remote)) = script.pick(&dialing) else { return };
        self.links.insert(conn, Link::Open { read: 0, read_until: 0, write: false });
        self.input(Input::Opened { conn, info: LinkInfo::between(self.host.addr, remote) });
    }

    fn pull(&mut self, script: &mut Script<'_>) {
        let open = self.open_links();
        let Some(&conn) = script.pick(&open) else { return };
        let max = usize::from(script.byte()) * 512;
        for _ in 0..8 {
            let Some(transmit) = self.host.transmit(self.now, conn, max) else { break };
            assert_eq!(transmit.len, transmit.segments.iter().map(|s| s.len()).sum::<usize>());
            self.drain();
            if matches!(self.links.get(&conn), Some(Link::Open { .. })) && (script.coin() || script.coin()) {
                self.input(Input::Wrote { conn, bytes: transmit.len as u64 });
                self.drain();
            }
        }
    }

    fn answer(&mut self, script: &mut Script<'_>) {
        let jobs: Vec<JobId> = self.host.jobs.keys().copied().collect();
        let Some(&job) = script.pick(&jobs) else { return };
        let how = script.byte();
        self.finish(job, how);
    }

    fn finish(&mut self, job: JobId, how: u8) {
        let Some((work, cancelled)) = self.host.jobs.remove(&job) else { return };
        let outcome = match how % 8 {
            0 => failed(HostErrorKind::Full),
            1 => failed(HostErrorKind::Other),
            2 if cancelled => Outcome::Cancelled,
            _ => self.outcome(&work, how),
        };
        self.input(Input::Done { job, outcome });
    }

    fn outcome(&mut self, work: &Work, how: u8) -> Outcome {
        match work {
            Work::Http { .. } => {
                let bodies: [&[u8]; 3] =
                    [b"d8:intervali0e5:peers6:HAAA\x13\x88e", b"d14:failure reason2:noe", b"<html>"];
                Outcome::Http { status: 200, body: Chunk::copy_from(bodies[usize::from(how) % 3]) }
            }
            Work::Resolve { port, .. } => Outcome::Resolved(vec![SocketAddr::from(([91, 1, 1, 1], *port))]),
            Work::MapPort { external, lease, .. } => {
                let external = SocketAddr::from(([91, 1, 1, how], *external));
                Outcome::Mapped { external, lease: *lease / u32::from(how).max(1) }
            }
            Work::Files { .. }
            | Work::Read { .. }
            | Work::Write { .. }
            | Work::Hash { .. }
            | Work::HashStored { .. }
            | Work::Exchange(_)
            | Work::Save { .. } => self.host.work(self.now, work, &Weather::calm(), &mut self.rng),
        }
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let id = script.pick(&self.torrents).copied().unwrap_or(TorrentId(0));
        let command = match script.byte() % 21 {
            0 | 1 => self.add(script),
            2 => Command::Announce(id),
            3 => Command::Remove(id),
            4 => Command::Pause(id),
            5 => Command::Resume(id),
            6 => Command::Recheck(id),
            7 => Command::Select(id, Selection::Files(vec![script.wild(), script.wild()])),
            8 => Command::Sequential(id, script.coin()),
            9 => {
                let (start, length) = (u64::from(script.wild()) << 12, u64::from(script.wild()) << 12);
                Command::Deadline { torrent: id, start, length, by: self.now }
            }
            10 => {
                Command::Peers(id, vec![SocketAddr::from(([73, 1, 1, script.byte()], script.byte().into()))])
            }
            11 => Command::TorrentRates(id, rates(script)),
            12 => Command::Rates(rates(script)),
            13 => Command::CheckUpdate(id),
            14 => Command::WebSeeds(
                id,
                vec!["http://73.3.3.3/a".into(), String::from_utf8_lossy(&script.bytes()).into_owned()],
            ),
            15 => Command::IpFilter(script.coin().then(|| Arc::new(filter(script)))),
            16 => Command::Dht(Box::new(dht(script))),
            17 => Command::Trackers(id, trackers(script)),
            18 => {
                let peer = SocketAddr::from(([73, 1, 1, script.byte()], script.byte().into()));
                Command::Disconnect { torrent: id, peer, ban: script.coin() }
            }
            19 => Command::Priorities(
                id,
                [(script.wild(), Priority::High), (script.wild(), Priority::Low)].into(),
            ),
            _ => Command::Save(id),
        };
        if let Ok(Reply::Added(id)) = self.host.command(self.now, command) {
            self.torrents.push(id);
        }
    }

    fn add(&self, script: &mut Script<'_>) -> Command {
        let content = &contents()[usize::from(script.byte()) % 3];
        let source = match script.byte() % 3 {
            0 => Source::Magnet(Arc::new(content.magnet(true, true))),
            _ => content.source(),
        };
        let bits = script.byte();
        let resume = (bits & 1 > 0).then(|| self.host.saved(&source).unwrap_or_else(|| script.bytes()));
        Command::Add(Box::new(AddTorrent {
            resume,
            sequential: bits & 2 > 0,
            paused: bits & 4 > 0,
            super_seed: bits & 8 > 0,
            peers: vec![SocketAddr::from(([73, 2, 2, bits], 5000))],
            ..AddTorrent::new(source, "disk")
        }))
    }

    /// Ids that are none any more, or never were.
    fn stale(&mut self, script: &mut Script<'_>) {
        let n = (1 << 40) + u64::from(script.byte());
        let (conn, job, data) = (ConnId(n), JobId(n), Chunk::copy_from(b"\x13BitTorrent"));
        let from = SocketAddr::from(([91, 1, 1, 1], 6969));
        self.input(match script.byte() % 8 {
            0 => Input::Received { conn, data },
            1 => Input::Closed { conn, why: LinkEnd::Reset },
            2 => Input::Drained { conn },
            3 => Input::Wrote { conn, bytes: n },
            4 => Input::Done { job, outcome: Outcome::Written },
            5 => Input::Opened { conn, info: LinkInfo::between(from, from) },
            6 => Input::Unbound { local: LocalId(n) },
            _ => {
                Input::Datagrams { local: UDP, from, to: None, data: Chunk::from(script.bytes()), stride: 16 }
            }
        });
    }

    /// All is answered and the engine is told to stop: it does.
    fn end(&mut self) {
        let by = self.now + Duration::from_secs(120);
        self.host.command(self.now, Command::Stop { by }).expect("an engine can be stopped");
        self.drain();
        for round in 0..60 {
            let jobs: Vec<JobId> = self.host.jobs.keys().copied().collect();
            for job in jobs {
                self.finish(job, 7);
                self.drain();
            }
            self.drained_all();
            if self.stopped {
                break;
            }
            self.wait(Duration::from_secs(round));
            self.drain();
        }
        assert!(self.stopped, "it has stopped: {:?}", self.host.engine.torrents());
    }

    fn drained_all(&mut self) {
        let closing = |(conn, link): (&ConnId, &Link)| (*link == Link::Closing).then_some(*conn);
        let closing: Vec<ConnId> = self.links.iter().filter_map(closing).collect();
        for conn in closing {
            self.links.remove(&conn);
            self.input(Input::Drained { conn });
        }
        self.drain();
    }
}
