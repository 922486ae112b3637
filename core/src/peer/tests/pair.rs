//! Two sessions back to back, in memory.

use super::*;
use crate::base::Rng;
use crate::wire::extension::{Extension, ExtensionHandshake};
use alloc::collections::BTreeSet;

const PIECES: u32 = 40;

/// A seed and a leech whose writes reach each other in random cuts.
struct Pair {
    seed: Session,
    leech: Session,
    geometry: Arc<Geometry>,
    /// Blocks that nobody is asked for and that have not come.
    missing: Vec<BlockRef>,
    got: BTreeSet<BlockRef>,
    rng: Rng,
    now: Instant,
}

impl Pair {
    fn new(traits: PeerTraits, seed: u8) -> Self {
        let geometry = geometry(PIECES);
        let config = Arc::new(SessionConfig::default());
        let session = |have: &Bits| {
            let mut session = Session::new(Arc::clone(&config), at(0), traits, Some(Arc::clone(&geometry)));
            let m = vec![(Extension::UtPex, 1)];
            session.extension_handshake(&ExtensionHandshake { m, ..Default::default() });
            session.pieces(have);
            session
        };
        let (seeding, mut leech) = (session(&Bits::full(PIECES)), session(&Bits::new(PIECES)));
        leech.interested();
        let mut missing = Vec::new();
        for piece in geometry.iter() {
            missing.extend((0..geometry.blocks(piece)).filter_map(|n| geometry.block(piece, n)));
        }
        let rng = Rng::new([seed; 32]);
        Self { seed: seeding, leech, geometry, missing, got: BTreeSet::new(), rng, now: at(0) }
    }

    fn content(block: BlockRef) -> Vec<u8> {
        (0..block.length).map(|n| ((block.begin + n) / 251 + block.piece.get()) as u8).collect()
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        while let Some(run) = self.seed.next_upload_run(u64::MAX) {
            let whole = self.geometry.range(run.piece.get(), run.begin, run.length).unwrap();
            self.seed.on_loaded(run, &[Segment::Bytes(Chunk::from(Self::content(whole)))]);
        }
        let max = 1 + self.rng.below(100_000) as usize;
        carry(&mut self.seed, &mut self.leech, self.now, max, &mut self.rng);
        carry(&mut self.leech, &mut self.seed, self.now, max, &mut self.rng);
        while let Some(fact) = self.seed.next_fact(self.now, &Bits::full(PIECES)) {
            assert!(!matches!(fact, Fact::Fault(_)), "{fact:?}");
            if fact == Fact::Interested {
                self.seed.unchoke();
            }
        }
        while let Some(fact) = self.leech.next_fact(self.now, &Bits::new(PIECES)) {
            self.on_leech_fact(fact);
        }
        while self.leech.requests_wanted() > 0
            && let Some(block) = self.missing.pop()
        {
            assert!(self.leech.request(self.now, block));
        }
    }

    fn on_leech_fact(&mut self, fact: Fact) {
        assert!(!matches!(fact, Fact::Fault(_)), "{fact:?}");
        if let Fact::Block { block, data } | Fact::Unrequested { block, data } = fact {
            assert!(data.to_vec() == Self::content(block), "{block:?}");
            self.got.insert(block);
            self.missing.retain(|b| *b != block);
        } else if let Fact::Choked { lost } = fact {
            self.missing.extend(lost);
        } else if let Fact::Rejected(block) = fact {
            self.missing.push(block);
        }
    }

    fn blocks(&self) -> usize {
        self.geometry.iter().map(|piece| self.geometry.blocks(piece) as usize).sum()
    }

    fn is_done(&self) -> bool {
        self.got.len() == self.blocks()
    }
}

/// What one side writes reaches the other in random cuts.
fn carry(from: &mut Session, to: &mut Session, now: Instant, max: usize, rng: &mut Rng) {
    let Some(transmit) = from.poll_transmit(now, max, u64::MAX) else { return };
    assert!(transmit.len <= max);
    from.on_wrote(now, transmit.len as u64);
    let bytes = bytes_of(&transmit.segments);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let n = (1 + rng.below(30_000) as usize).min(rest.len());
        to.on_received(now, Chunk::copy_from(&rest[..n]));
        rest = &rest[n..];
    }
}

#[test]
fn a_leech_gets_every_block_of_a_seed() {
    for traits in [FAST, PLAIN] {
        let mut pair = Pair::new(traits, 1);
        for _ in 0..2_000 {
            pair.step();
            if pair.is_done() {
                break;
            }
        }
        assert!(pair.is_done(), "{} of {}", pair.got.len(), pair.blocks());
        assert!(pair.leech.peer_pieces().is_full() && pair.seed.peer_pieces().is_empty());
        assert_eq!(pair.leech.downloaded().total(), pair.seed.uploaded().total());
        assert_eq!(pair.leech.requests_outstanding(), 0);
    }
}

#[test]
fn chokes_and_cancels_at_any_moment_lose_nothing() {
    for seed in 0..20 {
        let traits = if seed % 2 == 0 { FAST } else { PLAIN };
        let mut pair = Pair::new(traits, seed);
        let mut rng = Rng::new([seed ^ 0xff; 32]);
        for _ in 0..20_000 {
            pair.step();
            if rng.chance(1, 20) {
                if pair.seed.am_choking() { pair.seed.unchoke() } else { pair.seed.choke() }
            }
            let outstanding: Vec<BlockRef> = pair.leech.requests().collect();
            if rng.chance(1, 10)
                && let Some(at) = rng.index(outstanding.len())
            {
                assert!(pair.leech.cancel(pair.now, outstanding[at]));
                pair.missing.push(outstanding[at]);
            }
            if pair.is_done() {
                break;
            }
        }
        assert!(pair.is_done(), "seed {seed}: {} of {}", pair.got.len(), pair.blocks());
    }
}

#[test]
fn bep_0006_each_request_has_exactly_one_answer() {
    let mut pair = Pair::new(FAST, 5);
    let (mut asked, mut answered) = (0, 0);
    for n in 0..600 {
        pair.now += Duration::from_millis(1);
        carry(&mut pair.leech, &mut pair.seed, pair.now, usize::MAX, &mut pair.rng);
        while let Some(fact) = pair.seed.next_fact(pair.now, &Bits::full(PIECES)) {
            assert!(!matches!(fact, Fact::Fault(_)));
        }
        while let Some(run) = pair.seed.next_upload_run(u64::MAX) {
            let bytes = vec![0; run.length as usize];
            pair.seed.on_loaded(run, &[Segment::Bytes(Chunk::from(bytes))]);
        }
        match n % 7 {
            0 => pair.seed.unchoke(),
            5 => pair.seed.choke(),
            _ => {}
        }
        carry(&mut pair.seed, &mut pair.leech, pair.now, 50_000, &mut pair.rng);
        while let Some(fact) = pair.leech.next_fact(pair.now, &Bits::new(PIECES)) {
            answered += u32::from(matches!(fact, Fact::Block { .. } | Fact::Rejected(_)));
            assert!(!matches!(fact, Fact::Unrequested { .. } | Fact::Fault(_)), "{fact:?}");
        }
        let block = pair.geometry.block(pair.geometry.piece(n % PIECES).unwrap(), 0).unwrap();
        asked += u32::from(n < 500 && pair.leech.request(pair.now, block));
    }
    assert!(asked > 100, "{asked}");
    assert_eq!((answered, pair.leech.requests_outstanding()), (asked, 0));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 768, "{} bytes", size_of::<Session>());
    assert!(size_of::<Fact>() <= 96, "{} bytes", size_of::<Fact>());
}

#[test]
fn a_session_that_was_busy_gives_its_memory_back() {
    let mut story = Story::new(FAST);
    story.peer_serves(&[]);
    for n in 0..500 {
        story.session.pipeline.on_request(story.now, story.block(n % 9, n % 4));
    }
    let blocks: Vec<BlockRef> = story.session.requests().collect();
    for block in blocks {
        let bytes = data(block);
        story.peer_says(&[piece(block, &bytes)]);
    }
    story.session.interested();
    story.session.not_interested();
    assert_eq!(story.session.pipeline.capacity(), 0);
}
