//! A web seed whose server answers whatever the input says: what comes out is always blocks that were asked for, whole,
//! with the right bytes of the stream, and every block is told of once. Bytes are read in pairs: what happens, and how
//! much.

use core::time::Duration;
use millstream_core::base::{BlockRef, Chunk, Instant, PieceIndex, Rng};
use millstream_core::create::{CreateFile, CreateOptions, Plan};
use millstream_core::webseed::{Fact, WebSeed, WebSeedConfig};
use millstream_core::wire::http::{ContentRange, HttpHead, HttpRequest};
use millstream_core::wire::metainfo::{Info, Metainfo, Version};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// A web seed fed with what the input says.
pub fn webseed(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let mut story = Story::new(usize::from(kind) % 3);
    for pair in rest.as_chunks::<2>().0.iter().take(2_000) {
        story.happen(pair[0], u64::from(pair[1]));
        story.hear();
    }
    story.seed.stop();
    story.hear();
    assert!(story.asked.is_empty(), "all that was asked came, or was told to be lost");
    assert_eq!((story.seed.credit(), story.seed.asked_bytes()), (0, 0));
}

struct Story {
    seed: WebSeed,
    info: Arc<Info>,
    now: Instant,
    asked: BTreeSet<BlockRef>,
    request: Option<HttpRequest>,
}

/// A torrent of each version: files that begin in mid-block, an empty one, pad.
fn torrents() -> &'static [Arc<Info>; 3] {
    static MADE: OnceLock<[Arc<Info>; 3]> = OnceLock::new();
    MADE.get_or_init(|| [Version::V1, Version::V2, Version::Hybrid].map(make))
}

fn make(version: Version) -> Arc<Info> {
    let file = |(n, length): (usize, u64)| CreateFile {
        path: vec![format!("file {n}")],
        length,
        ..CreateFile::default()
    };
    let files = [70_001, 0, 33, 16_384, 200_000].into_iter().enumerate().map(file).collect();
    let options = CreateOptions::new("fuzz", files);
    let options = CreateOptions { multi_file: true, piece_length: Some(32 << 10), version, ..options };
    let mut plan = Plan::new(options).expect("sound options");
    while let Some(job) = plan.next_job() {
        let length: u64 = job.extents.iter().map(|extent| u64::from(extent.length)).sum();
        let digests = crate::world::content::digests(&vec![0; length as usize], job.pad, job.want);
        plan.on_digests(job.piece, &digests).expect("digests as asked for");
    }
    Arc::new(Metainfo::parse(&plan.finish().expect("all is hashed")).expect("ours").info)
}

impl Story {
    fn new(kind: usize) -> Self {
        let info = Arc::clone(&torrents()[kind]);
        let config = WebSeedConfig {
            skip_bytes_max: 40_000,
            gap_bytes_max: 20_000,
            overrun_bytes_max: 50_000,
            ..WebSeedConfig::default()
        };
        let seed = WebSeed::new("http://h/".into(), Arc::clone(&info), Arc::new(config), Rng::new([3; 32]));
        let now = Instant::from_micros(1_000_000);
        Self { seed, info, now, asked: BTreeSet::new(), request: None }
    }

    fn piece(&self, n: u64) -> PieceIndex {
        let geometry = self.info.geometry();
        geometry.piece((n % u64::from(geometry.pieces())) as u32).expect("within the torrent")
    }

    fn happen(&mut self, what: u8, n: u64) {
        match what % 12 {
            0 if self.seed.is_free() => {
                let pieces = self.info.geometry().pieces();
                let first = n as u32 % pieces;
                self.seed.begin(first..(first + 1 + n as u32 / 16).min(pieces));
            }
            1 => self.ask(n),
            2 if self.seed.next_piece().is_some() => self.seed.on_exhausted(),
            3 if self.request.is_none() => {
                self.request = self.seed.next_request(self.now);
            }
            4 => self.open(n),
            5 | 6 => self.send(n * 257),
            7 => self.send(n),
            8 => self.close(n),
            9 => self.now += Duration::from_millis(n * n),
            10 => self.seed.shorten(n as u32 % 12),
            11 => self.cancel(n),
            _ => {}
        }
        if self.seed.deadline().is_some_and(|at| at <= self.now) {
            self.seed.on_timeout(self.now);
        }
        if n == 255 {
            let _ = self.seed.on_bad_piece();
        }
    }

    /// Asks as a picker does: a piece of the run after the other, or blocks here and there.
    fn ask(&mut self, n: u64) {
        let piece = self.seed.next_piece().unwrap_or_else(|| self.piece(n));
        for number in 0..self.info.geometry().blocks(piece) {
            let block = self.info.geometry().block(piece, number).expect("within the piece");
            if n >> number & 1 == 0 && !self.asked.contains(&block) && self.seed.ask(self.now, block) {
                self.asked.insert(block);
            }
        }
        if self.seed.next_piece().is_some() {
            self.seed.on_exhausted();
        }
        self.seed.on_asked(self.now);
    }

    fn cancel(&mut self, n: u64) {
        let block = self.asked.iter().nth(n as usize % self.asked.len().max(1)).copied();
        if let Some(block) = block
            && self.seed.cancel(block)
        {
            self.asked.remove(&block);
        }
    }

    fn open(&mut self, n: u64) {
        let Some(request) = &self.request else { return };
        let (first, last) = request.range.unwrap_or((0, n * 300));
        let total = if n & 8 == 0 { None } else { Some(n * 1_000) };
        let range = Some(ContentRange { first, last: last.wrapping_sub(n & 7 & !4), total });
        let head = match n % 8 {
            0..=3 => HttpHead { status: 206, range, ..HttpHead::default() },
            4 | 5 => HttpHead { status: 200, ..HttpHead::default() },
            6 => HttpHead { status: 404, ..HttpHead::default() },
            _ => HttpHead { status: 503, retry_after: Some(Duration::from_secs(n)), ..HttpHead::default() },
        };
        self.seed.on_opened(self.now, &head);
    }

    fn send(&mut self, bytes: u64) {
        if self.request.is_some() {
            self.seed.on_received(self.now, Chunk::from(vec![7; bytes as usize]));
        }
    }

    fn close(&mut self, n: u64) {
        if self.request.take().is_some() {
            self.seed.on_closed(self.now, (n & 1 == 0).then_some("broken"));
        }
    }

    fn hear(&mut self) {
        while let Some(fact) = self.seed.next_fact() {
            match fact {
                Fact::Block { block, data } => {
                    assert!(self.asked.remove(&block), "a block that was asked for, once");
                    let length: usize = data.iter().map(|part| part.len()).sum();
                    assert_eq!(length, block.length as usize, "all of it and no more");
                }
                Fact::Lost(blocks) => {
                    blocks.iter().for_each(|block| assert!(self.asked.remove(block), "lost once"));
                }
                Fact::Close(_) => self.request = None,
                Fact::Slow | Fact::Recovered | Fact::Lessened => {}
            }
        }
        let left: u64 = self.asked.iter().map(|block| u64::from(block.length)).sum();
        assert!(self.seed.asked_bytes() <= left, "nothing is awaited that wasn't asked for");
    }
}
