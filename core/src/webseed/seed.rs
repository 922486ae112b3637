//! The conversation with one web seed: a run of pieces, the requests that it takes, time, and pauses after failures.

use super::answer::{Asked, Meaning, read};
use super::cut::{Cutter, Whole};
use super::{WebSeedConfig, WebSeedError};
use crate::base::{Bits, BlockRef, Chunk, Instant, Meter, PieceIndex, Rng};
use crate::wire::http::{HttpHead, HttpRequest};
use crate::wire::metainfo::Info;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

/// What a web seed has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A block that was asked for, in slices of what was received.
    Block {
        /// Which.
        block: BlockRef,
        /// Its bytes.
        data: Vec<Chunk>,
    },
    /// These blocks won't come: they may be asked of others.
    Lost(Vec<BlockRef>),
    /// The link isn't needed any more. `true`: all that was asked for came.
    Close(bool),
    /// It lets us wait: others may be asked for what it is asked for.
    Slow,
    /// It sends again as it should.
    Recovered,
    /// It has fewer pieces than was thought: see `WebSeed::pieces`.
    Lessened,
}

/// What a web seed is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSeedState {
    /// Nothing is wanted of it now.
    Idle,
    /// It was asked, and hasn't answered yet.
    Asking,
    /// It sends.
    Sending,
    /// It failed, and is asked again later.
    Resting,
    /// It is never asked again.
    Gone,
}

/// A web seed at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSeedView<'a> {
    /// Its URL, as the torrent has it.
    pub url: &'a str,
    /// What it is doing.
    pub state: WebSeedState,
    /// What went wrong last.
    pub error: Option<&'a WebSeedError>,
    /// Payload that came from it, bytes.
    pub downloaded: u64,
    /// Bytes a second.
    pub rate: u64,
}

/// A request under way.
#[derive(Clone, Debug)]
struct Get {
    file: u32,
    asked: Asked,
    /// Where in the span it began, and where it ends.
    from: u64,
    until: u64,
    opened: bool,
    /// The link ended in order, but not all that came was cut yet.
    ended: bool,
    /// What came and wasn't cut yet.
    ahead: VecDeque<Chunk>,
    /// Bytes at the beginning of the body that lie in front of what is wanted.
    prefix: u64,
    /// Bytes thrown away so far.
    skipped: u64,
    /// Since when nothing came though it might have.
    quiet_since: Instant,
}

/// How fast it is, over a stretch of time in which it might send all the while.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    bytes: u64,
}

/// One web seed of one torrent.
#[derive(Clone, Debug)]
pub struct WebSeed {
    config: Arc<WebSeedConfig>,
    info: Arc<Info>,
    url: Arc<str>,
    rng: Rng,
    /// The pieces that it has, if not all.
    pieces: Option<Bits>,
    /// Its server sends whole files, whatever is asked for.
    rangeless: bool,
    /// What is left of the run: pieces whose blocks aren't asked yet.
    run: Range<u32>,
    cutter: Cutter,
    get: Option<Get>,
    facts: VecDeque<Fact>,
    rest_until: Option<Instant>,
    gone: bool,
    error: Option<WebSeedError>,
    failures: u32,
    bad_pieces: u32,
    pace: Option<Pace>,
    slow: bool,
    down: Meter,
}

impl WebSeed {
    /// A web seed of a torrent. A URL that can't be asked makes one that is gone from the beginning.
    pub fn new(url: Arc<str>, info: Arc<Info>, config: Arc<WebSeedConfig>, rng: Rng) -> Self {
        let gone = !is_askable(&url);
        Self {
            config,
            info,
            url,
            rng,
            pieces: None,
            rangeless: false,
            run: 0..0,
            cutter: Cutter::default(),
            get: None,
            facts: VecDeque::new(),
            rest_until: None,
            gone,
            error: gone.then_some(WebSeedError::Url),
            failures: 0,
            bad_pieces: 0,
            pace: None,
            slow: false,
            down: Meter::default(),
        }
    }

    /// Its URL, as the torrent has it.
    pub fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// Its limits.
    pub fn config(&self) -> &WebSeedConfig {
        &self.config
    }

    /// The pieces that it has; `None` is all of them.
    pub fn pieces(&self) -> Option<&Bits> {
        self.pieces.as_ref()
    }

    /// Whether it can be asked at all, now.
    pub fn is_up(&self) -> bool {
        !self.gone && self.rest_until.is_none()
    }

    /// Whether it waits for something to do.
    pub fn is_free(&self) -> bool {
        self.is_up() && self.get.is_none() && self.cutter.is_empty() && self.run.is_empty()
    }

    /// Whether it lets us wait.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    /// Bytes asked of it that didn't come yet.
    pub fn asked_bytes(&self) -> u64 {
        self.cutter.missing()
    }

    /// Bytes to have asked of it at a time: what it sends in two seconds, within bounds. Its answers stream, so that no way
    /// there and back has to be covered; what is asked of it can't be had of others.
    pub fn window(&self, now: Instant) -> u64 {
        let most = self.config.window_bytes_max;
        (self.down.rate(now) * 2).clamp(most.min(WINDOW_BYTES_MIN), most)
    }

    /// Gives it pieces in a row to work through. Only while it is free.
    pub fn begin(&mut self, pieces: Range<u32>) {
        debug_assert!(self.is_free(), "one run at a time");
        self.run = pieces;
    }

    /// What it will ask for after what it was asked for.
    pub fn run(&self) -> Range<u32> {
        self.run.clone()
    }

    /// Takes the pieces from here on out of its run.
    pub fn shorten(&mut self, end: u32) {
        self.run.end = self.run.end.min(end);
        let limit = u64::from(end) * u64::from(self.info.geometry().piece_length());
        let least = self.cutter.asked_end(self.info.geometry()).max(self.cutter.at());
        if let Some(get) = &mut self.get {
            get.until = get.until.min(limit.max(least));
        }
        self.settle();
    }

    /// The piece of its run that blocks should be asked from next.
    pub fn next_piece(&self) -> Option<PieceIndex> {
        if self.run.is_empty() { None } else { self.info.geometry().piece(self.run.start) }
    }

    /// The piece that `next_piece` named has nothing more to ask. Where that leaves a gap too large to read over, the run
    /// ends.
    pub fn on_exhausted(&mut self) {
        if self.run.is_empty() {
            return;
        }
        self.run.start += 1;
        let geometry = self.info.geometry();
        let next = u64::from(self.run.start) * u64::from(geometry.piece_length());
        let gap = next.saturating_sub(self.cutter.asked_end(geometry).max(self.cutter.at()));
        let streaming = self.get.is_some() || !self.cutter.is_empty();
        let skipped = self.get.as_ref().map_or(0, |get| get.skipped);
        let allowed = match self.rangeless {
            true => self.config.skip_bytes_max.saturating_sub(skipped),
            false => self.config.gap_bytes_max,
        };
        if self.run.is_empty() || streaming && gap > allowed {
            self.run = 0..0;
        }
        self.settle();
    }

    /// Asks it for a block, which lies behind those it was asked for before; false, and nothing happens, if it can't be.
    pub fn ask(&mut self, now: Instant, block: BlockRef) -> bool {
        if !self.is_up() {
            return false;
        }
        if self.get.is_none() && self.cutter.is_empty() {
            self.cutter.seek(0);
        }
        let dry = self.credit() == 0;
        let taken = self.cutter.ask(self.info.geometry(), block);
        if let Some(get) = self.get.as_mut().filter(|get| get.opened && taken && dry) {
            get.quiet_since = now;
            self.pace = Some(Pace { since: now, bytes: 0 });
        }
        taken
    }

    /// What was asked for and came before it was awaited is cut now: call after `ask`.
    pub fn on_asked(&mut self, now: Instant) {
        self.cut(now);
    }

    /// A block came from elsewhere. False if it wasn't asked of this one.
    pub fn cancel(&mut self, block: BlockRef) -> bool {
        let taken = self.cutter.cancel(block);
        self.settle();
        taken
    }

    /// Lets all go: nothing is wanted any more.
    pub fn stop(&mut self) {
        self.run = 0..0;
        self.release();
        self.settle();
    }

    /// The next request, if one is due. It is under way from now on.
    pub fn next_request(&mut self, now: Instant) -> Option<HttpRequest> {
        if self.get.is_some() || !self.is_up() {
            return None;
        }
        let mut whole = Vec::new();
        let extent = self.cutter.next_extent(&self.info, &mut whole);
        self.tell(whole);
        let extent = extent?;
        let info = Arc::clone(&self.info);
        let file = info.files().get(extent.file as usize)?;
        let from = self.cutter.at();
        let until = self.reach(from).min(file.offset + file.length);
        let asked = Asked {
            first: extent.offset,
            end: extent.offset + until.saturating_sub(from),
            length: file.length,
        };
        self.get = Some(Get {
            file: extent.file,
            asked,
            from,
            until,
            opened: false,
            ended: false,
            ahead: VecDeque::new(),
            prefix: 0,
            skipped: 0,
            quiet_since: now,
        });
        self.pace = Some(Pace { since: now, bytes: 0 });
        let all = asked.first == 0 && asked.end == asked.length;
        Some(HttpRequest {
            url: info.web_seed_url(&self.url, file),
            range: (!all).then(|| (asked.first, asked.end.saturating_sub(1))),
            redirects_max: self.config.redirects_max,
        })
    }

    /// The head of the answer came.
    pub fn on_opened(&mut self, now: Instant, head: &HttpHead) {
        let Some(get) = self.get.as_mut().filter(|get| !get.opened) else { return };
        get.opened = true;
        get.quiet_since = now;
        match read(head, get.asked, &self.config) {
            Meaning::Range(bytes) => get.until = get.until.min(get.from + bytes),
            Meaning::Whole => self.on_whole(),
            Meaning::Never(error) => self.on_missing(error),
            Meaning::Later(error, after) => {
                if error == WebSeedError::NoRanges {
                    self.forgo_ranges();
                }
                self.fail(now, error, after);
            }
        }
    }

    /// Body bytes came.
    pub fn on_received(&mut self, now: Instant, data: Chunk) {
        let Some(get) = self.get.as_mut().filter(|get| get.opened) else { return };
        // A slice that fills less than half of its buffer would pin more than it holds.
        let data = if data.len() * 2 < data.pinned() { Chunk::copy_from(&data) } else { data };
        self.down.add(now, data.len() as u64);
        get.quiet_since = now;
        if let Some(pace) = &mut self.pace {
            pace.bytes += data.len() as u64;
        }
        get.ahead.push_back(data);
        self.cut(now);
        let ahead = self.get.as_ref().map_or(0, Get::ahead_bytes);
        if ahead > self.config.overrun_bytes_max {
            self.fail(now, WebSeedError::TooMuch, None);
        }
    }

    /// The link ended by itself: in order (`None`), or for this reason.
    pub fn on_closed(&mut self, now: Instant, failure: Option<&str>) {
        let Some(get) = &mut self.get else { return };
        if let Some(reason) = failure {
            return self.fail(now, WebSeedError::Link(reason.into()), None);
        }
        get.ended = true;
        self.cut(now);
    }

    /// What it has to say next.
    pub fn next_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// Bytes that may be read from its link now, beyond what came.
    pub fn credit(&self) -> u64 {
        let Some(get) = self.get.as_ref().filter(|get| get.opened && !get.ended) else { return 0 };
        let end = self.cutter.asked_end(self.info.geometry()).min(get.until);
        let wanted = if self.cutter.is_empty() { 0 } else { end.saturating_sub(self.cutter.at()) };
        let all = if wanted == 0 { 0 } else { wanted + get.prefix };
        all.saturating_sub(get.ahead_bytes())
    }

    /// A piece failed its digest by its fault. Answers whether it is banned by that.
    pub fn on_bad_piece(&mut self) -> bool {
        self.bad_pieces += 1;
        if self.bad_pieces < self.config.bad_pieces_max || self.gone {
            return false;
        }
        self.give_up(WebSeedError::BadData);
        true
    }

    /// When `on_timeout` is due.
    pub fn deadline(&self) -> Option<Instant> {
        let Some(get) = &self.get else { return self.rest_until };
        if !get.opened {
            let slow = self.pace.filter(|_| !self.slow).map(|pace| pace.since + self.config.slow_after);
            return Some(get.quiet_since + self.config.answer_timeout).into_iter().chain(slow).min();
        }
        if self.credit() == 0 {
            return None;
        }
        let pace = self.pace.map(|pace| pace.since + self.config.slow_after);
        Some(get.quiet_since + self.config.idle_timeout).into_iter().chain(pace).min()
    }

    /// Does what is due.
    pub fn on_timeout(&mut self, now: Instant) {
        self.rest_until = self.rest_until.filter(|&at| at > now);
        let Some(get) = &self.get else { return };
        let since = get.quiet_since;
        if !get.opened && since + self.config.answer_timeout <= now {
            return self.fail(now, WebSeedError::NoAnswer, None);
        }
        if get.opened && self.credit() > 0 && since + self.config.idle_timeout <= now {
            return self.fail(now, WebSeedError::Stalled, None);
        }
        self.heed_pace(now);
    }

    /// At a glance.
    pub fn view(&self, now: Instant) -> WebSeedView<'_> {
        let state = match &self.get {
            _ if self.gone => WebSeedState::Gone,
            _ if self.rest_until.is_some() => WebSeedState::Resting,
            Some(get) if get.opened => WebSeedState::Sending,
            Some(_) => WebSeedState::Asking,
            None => WebSeedState::Idle,
        };
        WebSeedView {
            url: &self.url,
            state,
            error: self.error.as_ref(),
            downloaded: self.down.total(),
            rate: self.down.rate(now),
        }
    }
}

impl Get {
    fn ahead_bytes(&self) -> u64 {
        self.ahead.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

impl WebSeed {
    /// How far a request that begins here should reach: to the end of the run, or over blocks that lie close together.
    fn reach(&self, from: u64) -> u64 {
        let geometry = self.info.geometry();
        if !self.run.is_empty() {
            return (u64::from(self.run.end) * u64::from(geometry.piece_length())).min(geometry.span());
        }
        let mut reach = from;
        for (start, end) in self.cutter.stretches(geometry) {
            if start > reach.saturating_add(self.config.gap_bytes_max) {
                break;
            }
            reach = reach.max(end);
        }
        reach
    }

    /// The whole file comes: what lies in front is thrown away, and the rest of the file is worth having too.
    fn on_whole(&mut self) {
        let Some(get) = &mut self.get else { return };
        get.prefix = get.asked.first;
        get.skipped = get.asked.first;
        let whole_asked = get.asked.first == 0 && get.asked.end == get.asked.length;
        if whole_asked {
            return;
        }
        get.until = get.from + (get.asked.length - get.asked.first);
        let until = get.until;
        let geometry = self.info.geometry();
        let unit = u64::from(geometry.piece_length());
        if self.run.is_empty() {
            self.run.start = self.cutter.asked_end(geometry).div_ceil(unit) as u32;
        }
        self.run.end = self.run.end.max(until.div_ceil(unit) as u32);
        self.forgo_ranges();
    }

    /// Its server ignores ranges: only what lies near the beginnings of files can be had.
    fn forgo_ranges(&mut self) {
        if core::mem::replace(&mut self.rangeless, true) {
            return;
        }
        let mut missing = Vec::new();
        for (_, file) in self.info.real_files() {
            let reach = self.config.skip_bytes_max;
            if file.length > reach {
                missing.push((file.offset + reach, file.length - reach));
            }
        }
        self.lessen(&missing);
    }

    /// Takes the pieces that touch these stretches of the span out of what it has.
    fn lessen(&mut self, stretches: &[(u64, u64)]) {
        let geometry = self.info.geometry();
        let pieces = self.pieces.get_or_insert_with(|| Bits::full(geometry.pieces()));
        let before = pieces.count();
        for piece in stretches.iter().flat_map(|&(start, length)| geometry.touched(start, length)) {
            pieces.clear(piece);
        }
        if pieces.count() == before {
            if before == geometry.pieces() {
                self.pieces = None;
            }
            return;
        }
        self.facts.push_back(Fact::Lessened);
    }

    /// A file can't be had here.
    fn on_missing(&mut self, error: WebSeedError) {
        let file = self.get.as_ref().and_then(|get| self.info.files().get(get.file as usize));
        if let Some((offset, length)) = file.map(|file| (file.offset, file.length)) {
            self.lessen(&[(offset, length)]);
        }
        if self.has_nothing() {
            return self.give_up(error);
        }
        // Other files may be there: no pause.
        self.abandon(error);
    }

    fn has_nothing(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.count() == 0)
    }

    /// Cuts what came into blocks.
    fn cut(&mut self, now: Instant) {
        let mut whole = Vec::new();
        let mut spent = false;
        while let Some(get) = &mut self.get {
            let Some(front) = get.ahead.front_mut() else { break };
            if get.prefix > 0 {
                let n = get.prefix.min(front.len() as u64);
                front.split_to(n as usize);
                get.prefix -= n;
            } else if self.cutter.at() >= get.until || self.cutter.is_empty() {
                break;
            } else {
                let (skipped, block) = self.cutter.take(self.info.geometry(), front, get.until);
                get.skipped += skipped;
                whole.extend(block);
                spent = get.skipped > self.config.skip_bytes_max;
            }
            if get.ahead.front().is_some_and(|front| front.is_empty()) {
                get.ahead.pop_front();
            }
            if spent {
                break;
            }
        }
        self.tell(whole);
        if spent {
            return self.fail(now, WebSeedError::TooMuch, Some(Duration::ZERO));
        }
        self.finish(now);
        self.settle();
    }

    /// A request that brought all that it was for is over; so is one whose link ended.
    fn finish(&mut self, now: Instant) {
        let Some(get) = &self.get else { return };
        if self.cutter.at() >= get.until && get.opened {
            self.failures = 0;
            self.error = None;
            self.end(true);
        } else if get.ended && get.ahead.is_empty() {
            self.fail(now, WebSeedError::Short, None);
        }
    }

    fn tell(&mut self, whole: Vec<Whole>) {
        self.facts.extend(whole.into_iter().map(|(block, data)| Fact::Block { block, data }));
    }

    /// A request that nothing more is wanted of is over.
    fn settle(&mut self) {
        if self.get.is_some() && self.run.is_empty() && self.cutter.is_empty() {
            self.end(false);
        }
        if self.credit() == 0 && self.get.as_ref().is_none_or(|get| get.opened) {
            self.pace = None;
        }
    }

    fn end(&mut self, whole: bool) {
        if self.get.take().is_some() {
            self.facts.push_back(Fact::Close(whole));
        }
        self.pace = None;
    }

    fn release(&mut self) {
        let lost = self.cutter.clear();
        if !lost.is_empty() {
            self.facts.push_back(Fact::Lost(lost));
        }
    }

    fn abandon(&mut self, error: WebSeedError) {
        self.run = 0..0;
        self.release();
        self.end(false);
        self.error = Some(error);
    }

    fn give_up(&mut self, error: WebSeedError) {
        self.abandon(error);
        self.gone = true;
        self.rest_until = None;
    }

    /// It failed: all is let go, and it rests. `after` is how long, if that is known.
    fn fail(&mut self, now: Instant, error: WebSeedError, after: Option<Duration>) {
        if self.has_nothing() {
            return self.give_up(error);
        }
        self.abandon(error);
        let (first, max) = (self.config.retry_first, self.config.retry_max);
        let doubled = first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = after.map_or(doubled, |after| after.max(first)).min(max);
        let jitter = self.rng.below(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX) / 4 + 1);
        self.rest_until = Some(now + pause + Duration::from_micros(jitter));
    }

    /// A stretch of time is over in which it might send all the while: was it slow?
    fn heed_pace(&mut self, now: Instant) {
        let Some(pace) = self.pace.filter(|pace| pace.since + self.config.slow_after <= now) else { return };
        let ms = u64::try_from(now.saturating_since(pace.since).as_millis()).unwrap_or(u64::MAX).max(1);
        let slow = pace.bytes.saturating_mul(1000) / ms < self.config.slow_bytes_per_second_min;
        if slow != core::mem::replace(&mut self.slow, slow) {
            self.facts.push_back(if slow { Fact::Slow } else { Fact::Recovered });
        }
        self.pace = Some(Pace { since: now, bytes: 0 });
    }
}

/// Bytes that are asked of a web seed whose rate isn't known.
const WINDOW_BYTES_MIN: u64 = 256 << 10;

/// Whether the URL can be asked here.
fn is_askable(url: &str) -> bool {
    let rest = |scheme: &str| {
        url.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme))?;
        url.get(scheme.len()..)
    };
    let host = rest("http://").or_else(|| rest("https://"));
    let plain = !url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    plain && host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

/// What a web seed last went through, as text for users.
impl WebSeedView<'_> {
    /// Why it failed last, as text.
    pub fn error_text(&self) -> Option<String> {
        self.error.map(alloc::string::ToString::to_string)
    }
}
