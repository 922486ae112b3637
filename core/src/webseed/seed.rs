//! The conversation with one web seed: a run of pieces, the requests that it takes, time, and pauses after failures.

mod outcome;

use super::answer::{Asked, Meaning, read};
use super::cut::Cutter;
use super::{WebSeedConfig, WebSeedError};
use crate::base::{Bits, BlockRef, Chunk, Instant, Meter, PieceIndex, Rng};
use crate::wire::http::{HttpHead, HttpRequest};
use crate::wire::metainfo::Info;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

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
