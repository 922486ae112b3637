//! Stories of one web seed, with a server that is nothing but bytes.

use super::*;
use crate::base::{Bits, BlockRef, Chunk, Instant, PieceIndex, Rng};
use crate::wire::http::{ContentRange, HttpHead, HttpRequest};
use crate::wire::metainfo::{FileEntry, Info, InfoBuilder, Version};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::format;
use std::string::String;
use std::vec;

const NOW: Instant = Instant::from_micros(5_000_000);
const UNIT: u32 = 32 << 10;

/// The torrent's byte at a place in its span; pad is zeros.
fn byte(info: &Info, at: u64) -> u8 {
    let real = info.real_files().any(|(_, file)| (file.offset..file.offset + file.length).contains(&at));
    if real { (at % 251) as u8 } else { 0 }
}

fn info(version: Version, lengths: &[u64]) -> Arc<Info> {
    let mut builder = InfoBuilder::new("folder", UNIT, version);
    (builder.multi_file, builder.pad_files) = (true, version == Version::Hybrid);
    for (n, &length) in lengths.iter().enumerate() {
        let pieces_root = Some([n as u8 + 1; 32]).filter(|_| length > 0 && version.has_v2());
        builder.files.push(FileEntry {
            path: vec![format!("f{n}")],
            length,
            pieces_root,
            ..FileEntry::default()
        });
    }
    let pieces = |unit: u64| match version.has_v2() {
        true => lengths.iter().map(|length| length.div_ceil(unit)).sum::<u64>(),
        false => lengths.iter().sum::<u64>().div_ceil(unit),
    };
    if version.has_v1() {
        builder.v1_digests = vec![[0; 20]; pieces(u64::from(UNIT)) as usize];
    }
    Arc::new(Info::parse(&builder.build().unwrap()).unwrap())
}

/// A web seed and who asks it.
struct Story {
    seed: WebSeed,
    info: Arc<Info>,
    rng: Rng,
    blocks: Vec<BlockRef>,
    lost: Vec<BlockRef>,
    closed: Vec<bool>,
    requests: Vec<HttpRequest>,
}

impl Story {
    fn new(info: Arc<Info>, config: WebSeedConfig) -> Self {
        let seed = WebSeed::new("http://h/d".into(), Arc::clone(&info), Arc::new(config), Rng::new([1; 32]));
        let (rng, none) = (Rng::new([2; 32]), Vec::new);
        Self { seed, info, rng, blocks: none(), lost: none(), closed: Vec::new(), requests: Vec::new() }
    }

    fn piece(&self, n: u32) -> PieceIndex {
        self.info.geometry().piece(n).unwrap()
    }

    fn block(&self, piece: u32, n: u32) -> BlockRef {
        self.info.geometry().block(self.piece(piece), n).unwrap()
    }

    fn all(&self) -> Vec<BlockRef> {
        let geometry = self.info.geometry();
        let of = |piece| (0..geometry.blocks(piece)).filter_map(move |n| geometry.block(piece, n));
        geometry.iter().flat_map(of).collect()
    }

    /// Asks for a few more blocks of the run, but not for those of `taken`.
    fn ask(&mut self, mut count: u32, taken: &Bits) {
        while let Some(piece) = self.seed.next_piece().filter(|_| count > 0) {
            if !taken.get(piece.get()) {
                for n in 0..self.info.geometry().blocks(piece) {
                    let block = self.block(piece.get(), n);
                    assert!(self.seed.ask(NOW, block));
                    count = count.saturating_sub(1);
                }
            }
            self.seed.on_exhausted();
        }
        self.seed.on_asked(NOW);
        self.hear();
    }

    fn hear(&mut self) {
        while let Some(fact) = self.seed.next_fact() {
            match fact {
                Fact::Block { block, data } => {
                    let start = self.info.geometry().start(block.piece) + u64::from(block.begin);
                    let bytes: Vec<u8> = data.iter().flat_map(|part| part.to_vec()).collect();
                    assert_eq!(bytes.len(), block.length as usize);
                    let right = (start..).zip(&bytes).all(|(at, &b)| b == byte(&self.info, at));
                    assert!(right, "{block:?} has other bytes");
                    self.blocks.push(block);
                }
                Fact::Lost(blocks) => self.lost.extend(blocks),
                Fact::Close(whole) => self.closed.push(whole),
                Fact::Slow | Fact::Recovered | Fact::Lessened => {}
            }
        }
    }

    fn request(&mut self) -> bool {
        let request = self.seed.next_request(NOW);
        self.hear();
        self.requests.extend(request.clone());
        request.is_some()
    }

    /// The file that was asked for last, and the range of it.
    fn asked(&self) -> (u64, u64, u64) {
        let request = self.requests.last().unwrap();
        let number: usize = request.url.rsplit('f').next().unwrap().parse().unwrap();
        let file = self.info.real_files().nth(number).unwrap().1;
        let (first, last) = request.range.unwrap_or((0, file.length - 1));
        (file.offset, first, last + 1)
    }

    /// A good server's answer, in reads of drawn sizes, as far as the credit goes and a little further.
    fn serve(&mut self, taken: &Bits) {
        let (offset, first, end) = self.asked();
        let range = Some(ContentRange { first, last: end - 1, total: None });
        self.seed.on_opened(NOW, &HttpHead { status: 206, range, ..HttpHead::default() });
        let closed = self.closed.len();
        let mut at = first;
        while self.closed.len() == closed {
            let credit = self.seed.credit();
            if credit == 0 {
                self.ask(2, taken);
                continue;
            }
            let n = (1 + self.rng.below(credit + 2_000)).min(end - at);
            let data: Vec<u8> = (at..at + n).map(|at| byte(&self.info, offset + at)).collect();
            self.seed.on_received(NOW, Chunk::from(data));
            at += n;
            self.hear();
        }
    }
}

#[test]
fn bep_0019_a_run_over_many_files_comes_in_blocks_whatever_the_version_and_the_reads() {
    for version in [Version::V1, Version::Hybrid] {
        let info = info(version, &[40_000, 0, 7, 100_000, 16_384, 1]);
        let mut story = Story::new(Arc::clone(&info), WebSeedConfig::default());
        let nothing = Bits::new(info.geometry().pieces());
        story.seed.begin(0..info.geometry().pieces());
        story.ask(2, &nothing);
        while story.request() {
            story.serve(&nothing);
            story.ask(2, &nothing);
        }
        assert_eq!(story.blocks, story.all(), "{version:?}");
        let urls: Vec<&str> = story.requests.iter().map(|request| request.url.as_str()).collect();
        let wanted = ["f0", "f2", "f3", "f4", "f5"].map(|name| format!("http://h/d/folder/{name}"));
        assert_eq!(urls, wanted.each_ref().map(String::as_str), "{version:?}");
        assert!(story.seed.is_free() && story.closed.iter().all(|whole| *whole));
    }
}

#[test]
fn bep_0019_a_small_gap_is_read_over_and_a_large_one_ends_the_run() {
    let info = info(Version::V1, &[20 * u64::from(UNIT)]);
    let config = WebSeedConfig { gap_bytes_max: u64::from(UNIT), ..WebSeedConfig::default() };
    let mut story = Story::new(Arc::clone(&info), config);
    let mut taken = Bits::new(20);
    [3, 9, 10].into_iter().for_each(|piece| {
        taken.set(piece);
    });
    story.seed.begin(0..20);
    story.ask(2, &taken);
    assert!(story.request());
    story.serve(&taken);
    let pieces: Vec<u32> = story.blocks.iter().map(|block| block.piece.get()).step_by(2).collect();
    assert_eq!(pieces, [0, 1, 2, 4, 5, 6, 7, 8]);
    assert!(story.seed.is_free() && story.closed == [false], "the rest of the body isn't wanted");
}

#[test]
fn the_credit_ends_where_the_blocks_end() {
    let info = info(Version::V1, &[10 * u64::from(UNIT)]);
    let mut story = Story::new(Arc::clone(&info), WebSeedConfig::default());
    let nothing = Bits::new(10);
    story.seed.begin(0..10);
    story.ask(2, &nothing);
    assert!(story.request());
    assert_eq!(story.seed.credit(), 0, "no answer yet");
    assert_eq!(story.requests[0].range, None, "the whole file");
    story.seed.on_opened(NOW, &HttpHead { status: 200, ..HttpHead::default() });
    assert_eq!((story.seed.credit(), story.seed.asked_bytes()), (u64::from(UNIT), u64::from(UNIT)));
    let first = story.block(0, 0);
    assert!(story.seed.cancel(first) && !story.seed.cancel(first));
    assert_eq!(story.seed.credit(), u64::from(UNIT), "it has to be read over");
    story.ask(2, &nothing);
    assert_eq!(story.seed.credit(), 2 * u64::from(UNIT));
}

#[test]
fn blocks_here_and_there_are_asked_in_as_few_requests_as_lie_close_together() {
    let info = info(Version::V1, &[20 * u64::from(UNIT)]);
    let config = WebSeedConfig { gap_bytes_max: 20_000, ..WebSeedConfig::default() };
    let mut story = Story::new(info, config);
    for (piece, n) in [(1, 1), (2, 1), (9, 0)] {
        let block = story.block(piece, n);
        assert!(story.seed.ask(NOW, block));
    }
    let nothing = Bits::new(20);
    while story.request() {
        story.serve(&nothing);
    }
    let unit = u64::from(UNIT);
    let ranges: Vec<_> = story.requests.iter().filter_map(|request| request.range).collect();
    assert_eq!(ranges, [(unit + 16_384, 3 * unit - 1), (9 * unit, 9 * unit + 16_383)]);
    assert_eq!(story.blocks.len(), 3);
}

#[test]
fn a_failure_gives_everything_back_and_pauses_longer_each_time() {
    let info = info(Version::V1, &[10 * u64::from(UNIT)]);
    let mut story = Story::new(info, WebSeedConfig::default());
    let (mut now, mut pauses) = (NOW, Vec::new());
    for _ in 0..12 {
        let block = story.block(0, 0);
        assert!(story.seed.ask(now, block));
        assert!(story.seed.next_request(now).is_some());
        story.seed.on_closed(now, Some("refused"));
        story.hear();
        assert_eq!(story.lost.pop(), Some(block));
        assert!(!story.seed.is_up() && !story.seed.ask(now, block));
        let until = story.seed.deadline().unwrap();
        pauses.push(until.saturating_since(now).as_secs());
        now = until;
        story.seed.on_timeout(now);
        assert!(story.seed.is_free());
    }
    assert!(pauses.is_sorted() || pauses.iter().all(|pause| *pause <= 1_125), "{pauses:?}");
    assert!(pauses[0] <= 6 && pauses[3] >= 40 && pauses[11] >= 900, "{pauses:?}");
}

#[test]
fn it_is_slow_only_while_it_might_send() {
    let info = info(Version::V1, &[100 * u64::from(UNIT)]);
    let mut story = Story::new(info, WebSeedConfig::default());
    let nothing = Bits::new(100);
    story.seed.begin(0..100);
    story.ask(2, &nothing);
    assert!(story.request());
    story.seed.on_opened(NOW, &HttpHead { status: 200, ..HttpHead::default() });
    let data: Vec<u8> = (0..u64::from(UNIT)).map(|at| byte(&story.info, at)).collect();
    story.seed.on_received(NOW, Chunk::from(data));
    story.hear();
    assert_eq!(story.seed.deadline(), None, "it waits for us");
    let later = NOW + Duration::from_secs(60);
    story.seed.on_timeout(later);
    assert!(!story.seed.is_slow() && story.seed.is_up());
    let block = story.block(1, 0);
    assert!(story.seed.ask(later, block));
    let due = story.seed.deadline().unwrap();
    assert_eq!(due, later + Duration::from_secs(10));
    story.seed.on_timeout(due);
    assert_eq!((story.seed.next_fact(), story.seed.is_slow()), (Some(Fact::Slow), true));
}

#[test]
fn more_than_one_read_beyond_the_credit_costs_the_link() {
    let info = info(Version::V1, &[100 * u64::from(UNIT)]);
    let config = WebSeedConfig { overrun_bytes_max: 100_000, ..WebSeedConfig::default() };
    let mut story = Story::new(info, config);
    let nothing = Bits::new(100);
    story.seed.begin(0..100);
    story.ask(2, &nothing);
    assert!(story.request());
    story.seed.on_opened(NOW, &HttpHead { status: 200, ..HttpHead::default() });
    story.seed.on_received(NOW, Chunk::from(vec![0; 132_768]));
    assert!(story.seed.is_up(), "one read of overrun is forgiven");
    story.seed.on_received(NOW, Chunk::from(vec![0; 1]));
    assert!(!story.seed.is_up());
    assert_eq!(story.seed.view(NOW).error, Some(&WebSeedError::TooMuch));
}
