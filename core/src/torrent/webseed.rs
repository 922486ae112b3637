//! Web seeds (BEP 19): sources like peers, asked by HTTP. What they are asked for comes from the same picker, memory and
//! rate limits; what a URL and an answer mean is the room `webseed`'s.

mod asking;

use super::gate::{Direction, Pass};
use super::{Context, Leave, Output, Torrent, TorrentEvent, WebSeedStatus};
use crate::base::{BLOCK, Bits, BlockRef, Chunk, Instant, PeerRef};
use crate::peer::Parts;
use crate::picker::{PeerPieces, SourceId};
use crate::webseed::{Fact, WebSeed, WebSeedConfig, WebSeedState};
use crate::wire::http::{HttpHead, HttpRequest};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use asking::Asking;

/// The web seeds of a torrent.
#[derive(Debug, Default)]
pub(super) struct Web {
    urls: Vec<Arc<str>>,
    /// By the number that they share with peers; made when there is something to fetch for the first time.
    seats: BTreeMap<u32, Seat>,
}

/// One of them.
#[derive(Debug)]
struct Seat {
    seed: WebSeed,
    /// While there is something to fetch.
    pass: Option<Pass>,
    armed: Option<Instant>,
    /// What the picker counts: nothing, all, or these.
    counted: Counted,
    /// It waits for tokens before it may be asked for more.
    held_down: bool,
    /// It stands in `Torrent::hungry`.
    hungry: bool,
    /// A request that no link was opened for yet.
    wish: Option<Box<HttpRequest>>,
    /// Its facts are being heard.
    heard: bool,
    /// Its failure was told.
    failed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Counted {
    No,
    All,
    Some(Bits),
}

/// Blocks asked of a slow web seed at a time.
const SLOW_BLOCKS: u64 = 4;

impl Torrent {
    /// URLs of web seeds, from wherever; those that are known, or too many, are left out.
    pub(super) fn know_web_seeds(
        &mut self,
        urls: impl IntoIterator<Item = Arc<str>>,
        config: &WebSeedConfig,
    ) {
        if self.only_peers {
            return;
        }
        for url in urls {
            let web = self.web.get_or_insert_default();
            if web.urls.len() < config.web_seeds_max && !web.urls.contains(&url) {
                web.urls.push(url);
            }
        }
    }

    /// Those that are known, for resume data.
    pub(super) fn web_urls(&self) -> Vec<String> {
        self.web.iter().flat_map(|web| &web.urls).map(|url| String::from(&**url)).collect()
    }

    /// Web seeds that the application names.
    pub fn add_web_seeds(&mut self, cx: &mut Context<'_>, urls: &[String]) {
        self.know_web_seeds(urls.iter().map(|url| url.as_str().into()), &cx.config.web_seed);
        self.begin_web(cx);
    }

    /// Other pieces may matter more now: web seeds end what they were asked for, and choose anew.
    pub(super) fn cut_web_runs(&mut self) {
        for seat in self.web.iter_mut().flat_map(|web| web.seats.values_mut()) {
            let run = seat.seed.run();
            if run.len() > 1 {
                seat.seed.shorten(run.start + 1);
            }
        }
    }

    /// Each web seed at a glance.
    pub fn web_seed_statuses(&self, now: Instant) -> Vec<WebSeedStatus> {
        let Some(web) = self.web.as_deref() else { return Vec::new() };
        let status = |url: &Arc<str>| {
            let seat = web.seats.values().find(|seat| seat.seed.url() == url);
            let view = seat.map(|seat| seat.seed.view(now));
            WebSeedStatus {
                url: Arc::clone(url),
                state: view.as_ref().map_or(WebSeedState::Idle, |view| view.state),
                error: view.as_ref().and_then(|view| view.error_text()),
                downloaded: view.as_ref().map_or(0, |view| view.downloaded),
                download_rate: view.as_ref().map_or(0, |view| view.rate),
            }
        };
        web.urls.iter().map(status).collect()
    }

    /// Lets web seeds work, if there is something to fetch.
    pub(super) fn begin_web(&mut self, cx: &mut Context<'_>) {
        let (Some(web), Some(content), Some(pass)) = (&mut self.web, self.content.as_deref(), self.pass)
        else {
            return;
        };
        let wanted =
            !content.picker.is_wanted_complete() && matches!(self.phase, super::phase::Phase::Active);
        if !wanted || !cx.config.web_seeds {
            return;
        }
        let config = Arc::new(cx.config.web_seed);
        let known: Vec<Arc<str>> = web.seats.values().map(|seat| Arc::clone(seat.seed.url())).collect();
        for url in web.urls.iter().filter(|url| !known.contains(url)) {
            let n = self.next_peer;
            self.next_peer += 1;
            let rng = self.rng.fork_at("web seed", u64::from(n));
            let (info, config) = (Arc::clone(&content.info), Arc::clone(&config));
            web.seats.insert(n, Seat::new(WebSeed::new(Arc::clone(url), info, config, rng)));
        }
        let numbers: Vec<u32> = web.seats.keys().copied().collect();
        let torrent = self.id;
        for &n in &numbers {
            if let Some(seat) = self.seat(n).filter(|seat| seat.pass.is_none()) {
                seat.pass = Some(cx.gate.add_peer(pass, PeerRef { torrent, n }));
            }
        }
        for n in numbers {
            self.hear_web(cx, n);
        }
    }

    /// Nothing is to be fetched now.
    pub(super) fn end_web(&mut self, cx: &mut Context<'_>) {
        let numbers: Vec<u32> = self.web.iter().flat_map(|web| web.seats.keys().copied()).collect();
        for n in numbers {
            let Some(seat) = self.seat(n) else { continue };
            seat.seed.stop();
            self.hear_web(cx, n);
            let Some(seat) = self.seat(n) else { continue };
            if let Some(pass) = seat.pass.take() {
                cx.gate.remove(cx.now, pass);
            }
            seat.held_down = false;
            self.count_web(n);
            if let Some(content) = &mut self.content {
                content.picker.on_source_gone(SourceId(n));
            }
            self.arm_web(n);
        }
    }

    /// What is known of pieces is forgotten: so is what web seeds were found to have.
    pub(super) fn forget_web(&mut self) {
        if let Some(web) = &mut self.web {
            for (n, mut seat) in core::mem::take(&mut web.seats) {
                self.timers.disarm(n, &mut seat.armed);
                self.hungry.retain(|&other| other != n);
            }
        }
    }

    /// Whether a link to a web server is wanted.
    pub(super) fn wants_fetch(&self) -> bool {
        self.web.as_deref().is_some_and(|web| web.seats.values().any(|seat| seat.wish.is_some()))
    }

    /// The next request of a web seed, by its number.
    pub fn next_fetch(&mut self) -> Option<(u32, Box<HttpRequest>)> {
        let web = self.web.as_deref_mut()?;
        web.seats.iter_mut().find_map(|(&n, seat)| Some((n, seat.wish.take()?)))
    }

    /// A web server answers.
    pub fn on_web_opened(&mut self, cx: &mut Context<'_>, n: u32, head: &HttpHead) {
        if let Some(seat) = self.seat(n) {
            seat.seed.on_opened(cx.now, head);
            self.hear_web(cx, n);
        }
    }

    /// The link to a web server ended: in order, or for this reason.
    pub fn on_web_closed(&mut self, cx: &mut Context<'_>, n: u32, failure: Option<&str>) {
        if let Some(seat) = self.seat(n) {
            seat.seed.on_closed(cx.now, failure);
            self.hear_web(cx, n);
        }
    }

    pub(super) fn on_web_received(&mut self, cx: &mut Context<'_>, n: u32, data: Chunk) {
        if let Some(seat) = self.seat(n) {
            seat.seed.on_received(cx.now, data);
            self.hear_web(cx, n);
        }
    }

    pub(super) fn on_web_timeout(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(seat) = self.seat(n) {
            seat.armed = None;
            seat.seed.on_timeout(cx.now);
            self.hear_web(cx, n);
        }
    }

    pub(super) fn on_web_allowed(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(seat) = self.seat(n) {
            seat.held_down = false;
            self.hear_web(cx, n);
        }
    }

    /// Blocks or room became free.
    pub(super) fn feed_web(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(seat) = self.seat(n) {
            seat.hungry = false;
            self.hear_web(cx, n);
        }
    }

    /// A block came from elsewhere.
    pub(super) fn take_back_web(&mut self, cx: &mut Context<'_>, n: u32, block: BlockRef) {
        let Some(seat) = self.seat(n) else { return };
        if !seat.seed.cancel(block) {
            return;
        }
        let pass = seat.pass;
        self.settle_web(cx, pass, block);
        self.hear_web(cx, n);
    }

    /// It sent blocks that made a piece fail.
    pub(super) fn blame_web(&mut self, cx: &mut Context<'_>, n: u32) {
        if let Some(seat) = self.seat(n) {
            seat.seed.on_bad_piece();
            self.hear_web(cx, n);
        }
    }

    /// How many of them are being asked, `n` included.
    pub(super) fn web_sources(&self, n: u32) -> usize {
        let seats = self.web.iter().flat_map(|web| &web.seats);
        seats.filter(|&(&m, seat)| m == n || seat.seed.asked_bytes() > 0).count()
    }

    /// Bytes that may be read from the link of a web seed.
    pub(super) fn web_credit(&self, n: u32) -> u64 {
        self.web.as_deref().and_then(|web| web.seats.get(&n)).map_or(0, |seat| seat.seed.credit())
    }

    fn seat(&mut self, n: u32) -> Option<&mut Seat> {
        self.web.as_deref_mut()?.seats.get_mut(&n)
    }

    /// Takes in all that a web seed has to say, and asks it for more.
    fn hear_web(&mut self, cx: &mut Context<'_>, n: u32) {
        match self.seat(n) {
            Some(seat) if !seat.heard => seat.heard = true,
            Some(_) | None => return,
        }
        loop {
            while let Some(fact) = self.seat(n).and_then(|seat| seat.seed.next_fact()) {
                self.on_web_fact(cx, n, fact);
            }
            self.count_web(n);
            self.plan_web(cx, n);
            let Some(seat) = self.seat(n) else { return };
            // A request that ended is heard of before the next one begins: its end would be taken for that one's.
            let mut fact = seat.seed.next_fact();
            if fact.is_none() {
                if let Some(request) = seat.seed.next_request(cx.now) {
                    seat.wish = Some(Box::new(request));
                }
                fact = seat.seed.next_fact();
            }
            match fact {
                Some(fact) => self.on_web_fact(cx, n, fact),
                None => break,
            }
        }
        if let Some(seat) = self.seat(n) {
            seat.heard = false;
        }
        self.tell_web_failure(cx, n);
        self.arm_web(n);
        self.output(Output::Touched(n));
    }

    fn on_web_fact(&mut self, cx: &mut Context<'_>, n: u32, fact: Fact) {
        match fact {
            Fact::Block { block, data } => {
                let mut parts = Parts::default();
                data.into_iter().for_each(|part| parts.push(part));
                self.on_block(cx, n, block, parts);
            }
            Fact::Lost(blocks) => {
                let pass = self.seat(n).and_then(|seat| seat.pass);
                for block in blocks {
                    if let Some(content) = &mut self.content {
                        content.picker.on_released(SourceId(n), block);
                    }
                    self.settle_web(cx, pass, block);
                }
                self.feed(cx);
            }
            Fact::Close(whole) => {
                if let Some(seat) = self.seat(n) {
                    seat.wish = None;
                }
                self.output(Output::Leave(n, if whole { Leave::Fetched } else { Leave::Unneeded }));
            }
            Fact::Slow => self.on_snubbed(cx, n),
            Fact::Recovered => {
                if let Some(content) = &mut self.content {
                    content.picker.on_source_recovered(SourceId(n));
                }
            }
            Fact::Lessened => {}
        }
    }

    /// A block that was asked for won't come from there.
    fn settle_web(&mut self, cx: &mut Context<'_>, pass: Option<Pass>, block: BlockRef) {
        let length = u64::from(block.length);
        if let Some(content) = &mut self.content {
            content.marks.on_settled(length);
        }
        if let Some(pass) = pass {
            cx.gate.refund(cx.now, pass, Direction::Down, length);
        }
    }

    /// Lets the picker count what it has, while it can be asked.
    fn count_web(&mut self, n: u32) {
        let Some(seat) = self.web.as_deref_mut().and_then(|web| web.seats.get_mut(&n)) else { return };
        let Some(content) = &mut self.content else { return };
        let now = match seat.seed.pieces() {
            _ if !seat.seed.is_up() || seat.pass.is_none() => Counted::No,
            None => Counted::All,
            Some(bits) => Counted::Some(bits.clone()),
        };
        if now == seat.counted {
            return;
        }
        match core::mem::replace(&mut seat.counted, now) {
            Counted::No => {}
            Counted::All => content.picker.on_pieces_gone(PeerPieces::All),
            Counted::Some(bits) => content.picker.on_pieces_gone(PeerPieces::Some(&bits)),
        }
        match &seat.counted {
            Counted::No => {}
            Counted::All => content.picker.on_pieces(PeerPieces::All),
            Counted::Some(bits) => content.picker.on_pieces(PeerPieces::Some(bits)),
        }
    }

    fn arm_web(&mut self, n: u32) {
        let Some(seat) = self.web.as_deref_mut().and_then(|web| web.seats.get_mut(&n)) else { return };
        let deadline = seat.seed.deadline();
        self.timers.arm(n, &mut seat.armed, deadline);
    }

    fn tell_web_failure(&mut self, cx: &mut Context<'_>, n: u32) {
        let Some(seat) = self.seat(n) else { return };
        let view = seat.seed.view(cx.now);
        let text = view.error_text().map(|error| format!("web seed {}: {error}", view.url));
        let failed = text.is_some();
        let news = text.filter(|_| !seat.failed);
        seat.failed = failed;
        if let Some(news) = news {
            tracing::debug!(torrent = ?self.id, news);
            self.event(TorrentEvent::Warning(news));
        }
    }

    /// Asks it for as many blocks as its share of the memory and the rate limits allow.
    fn plan_web(&mut self, cx: &mut Context<'_>, n: u32) {
        if !self.is_active() {
            return;
        }
        let share = self.share(cx, n);
        let Some(seat) = self.web.as_deref_mut().and_then(|web| web.seats.get_mut(&n)) else { return };
        let (Some(content), Some(pass)) = (&mut self.content, seat.pass) else { return };
        if seat.held_down || !seat.seed.is_up() || content.picker.is_wanted_complete() {
            return;
        }
        let slow = seat.seed.is_slow();
        let share = if slow { SLOW_BLOCKS * u64::from(BLOCK) } else { share.min(seat.seed.window(cx.now)) };
        let asked = seat.seed.asked_bytes();
        // Asked for in large steps, so that the credit isn't told with every block.
        if asked > share / 2 {
            return;
        }
        let wanted = (share - asked).div_ceil(u64::from(BLOCK));
        let count = wanted.min(content.marks.room() / u64::from(BLOCK));
        let allowed = match count {
            0 => 0,
            _ => cx.gate.take(cx.now, pass, Direction::Down, count * u64::from(BLOCK)),
        };
        if count > 0 && allowed < u64::from(BLOCK) {
            cx.gate.refund(cx.now, pass, Direction::Down, allowed);
            seat.held_down = allowed == 0;
            return;
        }
        let taken = self.ask_web(cx.now, n, (allowed / u64::from(BLOCK)) as usize);
        cx.gate.refund(cx.now, pass, Direction::Down, allowed.saturating_sub(taken));
        let Some(seat) = self.web.as_deref_mut().and_then(|web| web.seats.get_mut(&n)) else { return };
        if taken < wanted * u64::from(BLOCK) && !core::mem::replace(&mut seat.hungry, true) {
            self.hungry.push_back(n);
        }
    }

    /// Asks it for blocks: of its run, of a new one, or, where nothing is left to begin, of what others began. Gives
    /// how many bytes were asked.
    fn ask_web(&mut self, now: Instant, n: u32, count: usize) -> u64 {
        let (Some(web), Some(content)) = (self.web.as_deref_mut(), self.content.as_deref_mut()) else {
            return 0;
        };
        let Some(free) = web.seats.get(&n).map(|seat| seat.seed.is_free()) else { return 0 };
        if count == 0 {
            return 0;
        }
        let run = if free { web.next_run(content, n) } else { None };
        if let Some((_, Some((other, from)))) = run
            && let Some(other) = web.seats.get_mut(&other)
        {
            other.seed.shorten(from);
        }
        let Some(seat) = web.seats.get_mut(&n) else { return 0 };
        let mut asking =
            Asking { seed: &mut seat.seed, content, source: SourceId(n), now, left: count, bytes: 0 };
        match run {
            Some((run, _)) => asking.seed.begin(run),
            None if free => asking.scattered(&mut self.rng),
            None => {}
        }
        asking.run();
        let bytes = asking.bytes;
        content.marks.on_asked(bytes);
        seat.seed.on_asked(now);
        bytes
    }
}

impl Seat {
    fn new(seed: WebSeed) -> Self {
        Self {
            seed,
            pass: None,
            armed: None,
            counted: Counted::No,
            held_down: false,
            hungry: false,
            wish: None,
            heard: false,
            failed: false,
        }
    }
}

/// Another web seed's run that is shared, and the piece at which that one is to end.
type Shared = (u32, u32);
