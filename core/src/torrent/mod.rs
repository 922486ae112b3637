//! One swarm: wires its rooms, its peers in join order, its states. It hands up what is to be done; links, sockets and
//! upload slots are the engine's.
//!
//! | file | owns |
//! |---|---|
//! | `phase` | the states of a torrent and every transition between them |
//! | `content` | all that exists once the metadata is known |
//! | `dht` | whether and how the DHT is asked |
//! | `files` | opening and checking what is stored |
//! | `calls` | whom to call, and how |
//! | `peers` | who joined, and what their sessions say |
//! | `bans` | whom it has nothing to do with |
//! | `download` | what is asked of whom, and what becomes of blocks |
//! | `judging` | what digests say of pieces, and of who sent them |
//! | `wants` | which files are wanted, and how much |
//! | `upload` | what is read and sent for whom |
//! | `metadata` | the info dictionary, from peers and to peers (BEP 9) |
//! | `hashes` | v2 hashes, from peers and to peers (BEP 52) |
//! | `trackers` | announcing |
//! | `webseed` | web seeds: asked by HTTP what peers are asked by requests |
//! | `holepunch` | peers behind routers, brought together by others (BEP 55) |
//! | `pex` | peers from peers and to peers (BEP 11) |
//! | `save` | resume data |
//! | `shared` | files that other torrents have (BEP 38) |
//! | `updates` | newer torrents (BEP 39) |
//! | `views` | what the engine sees of peers |
//! | `spread` | who passes on what it gets |
//! | `gate` | rate limits |

mod add;
mod bans;
mod calls;
mod config;
mod content;
mod dht;
mod download;
mod event;
mod files;
mod gate;
mod hashes;
mod holepunch;
mod judging;
mod metadata;
mod output;
mod owed;
mod peers;
mod pex;
mod phase;
mod save;
mod shared;
mod spread;
mod status;
mod trackers;
mod updates;
mod upload;
mod views;
mod wants;
mod webseed;
mod work;

pub use crate::announce::{AskId, UdpAsk};
pub use crate::book::{Source as PeerSource, Sources};
pub use crate::choke::SeedPolicy;
pub use add::{AddTorrent, Priorities, Priority, Selection, Source};
pub use config::{Config, Encryption, Rates, UtpUse};
pub use event::TorrentEvent;
pub use gate::{Direction, Gate};
pub use output::{Call, Context, Errand, Host, JoinError, Joining, Leave, Output, Teller};
pub use owed::{Owed, OwedError};
pub use shared::{Shared, Sought};
pub use status::{PeerStatus, State, Status, TrackerStatus, WebSeedStatus};
pub use work::{
    Allocation, FileNow, FileSpec, FilesOp, HostError, HostErrorKind, Outcome, PortProtocol, Route, Work,
};

use crate::announce::Announce;
use crate::base::{Bits, Instant, Meter, PieceIndex, Rng, Timers, TorrentId};
use crate::book::Book;
use crate::metadata::Fetch;
use crate::wire::metainfo::Info;
use crate::wire::{InfoHash, InfoHashV2};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use content::Content;
use core::net::SocketAddr;
use gate::Pass;
use peers::Peer;
use phase::Phase;

/// One swarm.
#[derive(Debug)]
pub struct Torrent {
    id: TorrentId,
    /// What it answers to: v1, then v2 truncated.
    names: Vec<InfoHash>,
    hash_v2: Option<InfoHashV2>,
    name: Arc<str>,
    folder: Arc<str>,
    allocation: Allocation,
    only_peers: bool,
    /// Whether our node may be asked for it, as far as the settings go.
    dht: bool,
    super_seed: bool,
    sequential: bool,
    /// `None`: nothing was said of which files are wanted, or how much.
    wants: Option<Box<wants::Wants>>,
    rates: Rates,
    /// The resume data that it was added with, until the files are open.
    resume: Option<Vec<u8>>,
    phase: Phase,
    /// What the application wants, whatever phase it is in.
    paused: bool,
    content: Option<Box<Content>>,
    fetch: Option<Box<Fetch>>,
    rng: Rng,
    outputs: VecDeque<Output>,
    peers: BTreeMap<u32, Box<Peer>>,
    next_peer: u32,
    timers: Timers<u32>,
    /// Peers that could be asked for more if there was more, or room for it: who waits longest is served first.
    hungry: VecDeque<u32>,
    pass: Option<Pass>,
    book: Book,
    /// Made with the first tracker.
    announce: Option<Box<Announce>>,
    /// The trackers that the application named, if it did, now or in an earlier run.
    trackers: Option<Box<add::Tiers>>,
    web: Option<Box<webseed::Web>>,
    jobs: usize,
    /// Those of them that ask trackers.
    asks: usize,
    /// Those of them whose answers mean something to the content there is now.
    content_jobs: usize,
    /// A file that is selected and doesn't exist.
    no_file: Option<u32>,
    /// All is to be checked again, as soon as no job is outstanding on what was known before.
    recheck: bool,
    down: Meter,
    up: Meter,
    wasted: u64,
    save: save::Saving,
    completed: bool,
    /// Somebody reads what isn't selected, and may want more of it.
    on_demand: bool,
    announced_completed: bool,
    /// Trackers are to know of it, if it has any.
    announcing: bool,
    /// What one peer alone was given, until somebody else has it.
    given: BTreeMap<PieceIndex, u32>,
    /// Calls under way.
    calls: usize,
    /// Addresses on this very host that sent bad data.
    banned_here: BTreeSet<SocketAddr>,
    /// Payload sent and received in earlier runs, bytes.
    before: (u64, u64),
    /// The moment of the last look at the trackers.
    clock: Instant,
    /// `Host::own_serial` as its book knows it.
    own_serial: u32,
    /// The exchange of peers, while there are any that may be told.
    pex: Option<Box<crate::pex::Pex>>,
    punching: Option<Box<holepunch::Punching>>,
    /// Where its source says that newer ones are, until its content is looked at.
    update_url: Option<Box<str>>,
    updates: Option<Box<updates::Updates>>,
    sharing: Option<Box<shared::Sharing>>,
}

impl Torrent {
    /// A torrent that hasn't started.
    pub fn new(id: TorrentId, add: AddTorrent, config: &Config, host: &Host, rng: Rng) -> Self {
        let names = add.source.names();
        let trackers = add.named_trackers();
        let announce = add.announce(&names, host, &mut rng.fork("announce"));
        let wants = wants::Wants::of(&add);
        let mut torrent = Self {
            id,
            names,
            hash_v2: add.source.hash_v2(),
            name: add.source.name(),
            folder: add.folder,
            allocation: add.allocation,
            only_peers: add.only_peers,
            dht: config.dht && cfg!(feature = "dht") && !add.only_peers,
            super_seed: add.super_seed,
            sequential: add.sequential,
            wants,
            rates: add.rates,
            resume: add.resume,
            phase: Phase::Metadata,
            paused: add.paused,
            content: None,
            fetch: None,
            rng,
            outputs: VecDeque::new(),
            peers: BTreeMap::new(),
            next_peer: 1,
            timers: Timers::default(),
            hungry: VecDeque::new(),
            pass: None,
            book: Book::default(),
            announce,
            trackers: trackers.map(Box::new),
            web: None,
            jobs: 0,
            asks: 0,
            content_jobs: 0,
            no_file: None,
            recheck: false,
            down: Meter::default(),
            up: Meter::default(),
            wasted: 0,
            save: save::Saving::new(id),
            completed: false,
            on_demand: false,
            announced_completed: false,
            announcing: false,
            given: BTreeMap::new(),
            calls: 0,
            banned_here: BTreeSet::new(),
            before: (0, 0),
            clock: Instant::ZERO,
            own_serial: host.own_serial,
            pex: None,
            punching: None,
            update_url: add.source.update_url(),
            updates: None,
            sharing: None,
        };
        let own = host.own();
        torrent.know_peers(&add.peers, config, &own);
        torrent.know_web_seeds(add.source.web_seeds(), &config.web_seed);
        match add.source {
            Source::Metainfo(metainfo) => torrent.set_content(add::info_of(metainfo), config),
            Source::Magnet(magnet) => torrent.know_magnet(&magnet, config, &own),
        }
        torrent
    }

    /// What it answers to: v1, then v2 truncated.
    pub fn names(&self) -> &[InfoHash] {
        &self.names
    }

    /// Whether it has a v2 half, for handshakes (BEP 52).
    pub fn is_v2(&self) -> bool {
        self.hash_v2.is_some()
    }

    /// The info dictionary, once it is known.
    pub fn info(&self) -> Option<&Arc<Info>> {
        self.content.as_ref().map(|content| &content.info)
    }

    /// Which pieces are verified and written, once the metadata is known.
    pub fn verified(&self) -> Option<Bits> {
        self.content.as_ref().map(|content| content.picker.have().clone())
    }

    /// The next thing to carry out for it.
    pub fn next_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.peers.is_empty() {
            // It may rest for long now: room for outputs is the largest thing that it would keep for nothing.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let announce = self.announce.as_ref().filter(|_| self.may_announce()).and_then(|a| a.deadline());
        let book = if self.may_dial() { self.book.deadline() } else { None };
        let rooms = [
            self.timers.next(),
            announce,
            book,
            self.save.deadline(),
            self.fetch_deadline(),
            self.hashes_deadline(),
            self.pex_deadline(),
            self.update_deadline(),
        ];
        rooms.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(n) = self.timers.pop_due(cx.now) {
            self.on_peer_timeout(cx, n);
        }
        self.book.on_timeout(cx.now);
        self.on_announce_timeout(cx);
        self.on_fetch_timeout(cx);
        self.on_hashes_timeout(cx);
        self.on_pex_timeout(cx);
        self.on_update_timeout(cx);
        self.on_save_timeout(cx);
    }

    /// A job of ours is answered.
    pub fn on_done(&mut self, cx: &mut Context<'_>, errand: Errand, outcome: Outcome) {
        self.jobs -= 1;
        self.asks -= usize::from(errand.asks());
        self.content_jobs -= usize::from(errand.is_about_content());
        match errand {
            Errand::Open => self.on_files_open(cx, outcome),
            Errand::Make => self.on_files_made(cx, outcome),
            Errand::Check(piece) => self.on_piece_checked(cx, piece, outcome),
            Errand::Hash(piece) => self.on_piece_hashed(cx, piece, outcome),
            Errand::HashStored(piece) => self.on_stored_hashed(cx, piece, outcome),
            Errand::Blame(piece, senders) => self.on_blame(cx, piece, &senders, outcome),
            Errand::Write(piece, bytes) => self.on_piece_written(cx, piece, bytes, outcome),
            Errand::Spill { piece, epoch, bytes } => self.on_spilled(cx, (piece, epoch), bytes, outcome),
            Errand::Read { peer, range, requests } => self.on_read(cx, peer, (range, requests), outcome),
            Errand::Leaves(n, range) => self.on_leaves(n, range, outcome),
            Errand::Sync => self.on_synced(cx, outcome),
            Errand::Save => self.on_saved(cx, outcome),
            Errand::Close => {}
            Errand::Ask(ask, limits) => self.on_asked(cx, (ask, &limits), outcome),
            Errand::Scrape => self.on_scrape_done(cx, outcome),
            Errand::Update => self.on_update(cx, outcome),
            Errand::Share(piece) => self.on_shared(cx, piece, outcome),
            Errand::Exchange => debug_assert!(false, "links exchange keys"),
            Errand::Resolve(_) | Errand::MapPort(_) => {
                debug_assert!(false, "the engine asks for that itself")
            }
        }
        self.begin_recheck(cx);
        self.check_left(cx);
    }

    /// Pieces in order, or rarest first.
    pub fn set_sequential(&mut self, on: bool) {
        self.sequential = on;
        if let Some(content) = &mut self.content {
            content.picker.set_sequential(on);
        }
    }

    /// Has these bytes of the span by then, before others, also those that aren't selected. `false` if they leave the
    /// torrent.
    pub fn set_deadline(&mut self, cx: &mut Context<'_>, start: u64, length: u64, by: Instant) -> bool {
        let sated = self.is_sated();
        let Some(content) = &mut self.content else { return false };
        if start.checked_add(length).is_none_or(|end| end > content.geometry.span()) {
            return false;
        }
        let mut more = false;
        let geometry = Arc::clone(&content.geometry);
        for piece in geometry.touched(start, length).filter_map(|n| geometry.piece(n)) {
            more |= content.want(piece);
            content.picker.set_deadline(piece, Some(by));
        }
        if more {
            self.on_demand = true;
            self.heed_wants(cx, sated);
        }
        self.feed(cx);
        true
    }

    /// What is wanted has changed: everyone's part in it is looked at anew. `was_sated`: nothing was to be fetched before.
    fn heed_wants(&mut self, cx: &mut Context<'_>, was_sated: bool) {
        if !self.is_sated() {
            self.tell_upload_only(false);
            if was_sated {
                self.book.on_wants();
            }
        }
        let numbers: Vec<u32> = self.peers.keys().copied().collect();
        for n in numbers {
            self.heed_interest(cx.now, n);
            self.plan(cx, n);
        }
        self.begin_web(cx);
    }

    /// Changes its rate limits.
    pub fn set_rates(&mut self, cx: &mut Context<'_>, rates: Rates) {
        self.rates = rates;
        if let Some(pass) = self.pass {
            cx.gate.set_pass(cx.now, pass, rates);
        }
    }

    /// It was taken out of the engine.
    pub fn on_removed(&mut self, now: Instant, gate: &mut Gate) {
        if let Some(pass) = self.pass.take() {
            gate.remove(now, pass);
        }
    }

    /// Addresses of peers, given by the application.
    pub fn add_peers(&mut self, cx: &mut Context<'_>, addrs: &[SocketAddr]) {
        self.know_peers(addrs, cx.config, &cx.host.own());
    }

    /// Our own addresses may have changed since the last call: priorities follow (BEP 40).
    pub fn heed_own(&mut self, host: &Host) {
        if self.own_serial != host.own_serial {
            self.own_serial = host.own_serial;
            self.book.on_own(&host.own());
        }
    }

    /// A snapshot.
    pub fn status(&self, now: Instant) -> Status {
        let content = self.content.as_deref();
        let picker = content.map(|content| &content.picker);
        let seeds = self.peers.values().filter(|peer| peer.is_seed()).count();
        Status {
            state: self.phase.state(picker.is_some_and(|picker| picker.is_wanted_complete())),
            name: Arc::clone(&self.name),
            info_hash_v1: self
                .names
                .first()
                .copied()
                .filter(|_| self.hash_v2.is_none() || self.names.len() > 1),
            info_hash_v2: self.hash_v2,
            length: content.map_or(0, |content| content.geometry.length()),
            wanted: content.map_or(0, Content::wanted_bytes),
            verified: content.map_or(0, |c| c.wanted_bytes() - c.picker.wanted_bytes_left()),
            pieces: content.map_or(0, |content| content.geometry.pieces()),
            pieces_verified: picker.map_or(0, |picker| picker.have().count()),
            checked: self
                .phase
                .checked(content.map_or(0, |content| u64::from(content.geometry.piece_length()))),
            downloaded: self.down.total(),
            uploaded: self.up.total(),
            wasted: self.wasted,
            download_rate: self.down.rate(now),
            upload_rate: self.up.rate(now),
            peers: self.peers.len() as u32,
            seeds: seeds as u32,
            known: self.book.len() as u32,
            failure: self.phase.failure(),
        }
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn event(&mut self, event: TorrentEvent) {
        self.output(Output::Event(event));
    }

    fn job(&mut self, errand: Errand, work: Work) {
        self.jobs += 1;
        self.asks += usize::from(errand.asks());
        self.content_jobs += usize::from(errand.is_about_content());
        self.output(Output::Job(errand, work));
    }
}
