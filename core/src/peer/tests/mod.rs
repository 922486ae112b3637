//! Stories of sessions: a peer that speaks raw messages, and two sessions back to back.

mod download;
mod framing;
mod pair;
mod pieces;
mod upload;

use super::{Fact, Fault, Parts, PeerTraits, Session, SessionConfig};
use crate::base::{BLOCK, Bits, BlockRef, Chunk, Geometry, Instant, Segment};
use crate::wire::message::{Message, RawBlock};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// Four blocks a piece, the last piece with one and a bit.
const PIECE: u32 = 4 * BLOCK;

fn geometry(pieces: u32) -> Arc<Geometry> {
    let span = u64::from(pieces - 1) * u64::from(PIECE) + u64::from(BLOCK) + 100;
    Arc::new(Geometry::new(span, u64::from(PIECE), Vec::new()).unwrap())
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

const FAST: PeerTraits = PeerTraits { fast: true, extensions: true, v2: false, dht: false };
const PLAIN: PeerTraits = PeerTraits { fast: false, extensions: false, v2: false, dht: false };

/// A session and, in its raw messages, the peer at the other end.
struct Story {
    session: Session,
    geometry: Arc<Geometry>,
    have: Bits,
    now: Instant,
}

impl Story {
    fn new(traits: PeerTraits) -> Self {
        Self::with(traits, SessionConfig::default())
    }

    /// Ten pieces; we have them all.
    fn with(traits: PeerTraits, config: SessionConfig) -> Self {
        let geometry = geometry(10);
        let now = at(1_000_000);
        let session = Session::new(Arc::new(config), now, traits, Some(Arc::clone(&geometry)));
        Self { session, geometry, have: Bits::full(10), now }
    }

    /// As above, before the metadata is known.
    fn without_metadata(traits: PeerTraits) -> Self {
        let mut story = Self::new(traits);
        story.session = Session::new(Arc::new(SessionConfig::default()), story.now, traits, None);
        story
    }

    fn block(&self, piece: u32, n: u32) -> BlockRef {
        self.geometry.block(self.geometry.piece(piece).unwrap(), n).unwrap()
    }

    fn later(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn peer_says(&mut self, messages: &[Message<'_>]) -> Vec<Fact> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        self.session.on_received(self.now, Chunk::from(bytes));
        self.facts()
    }

    fn facts(&mut self) -> Vec<Fact> {
        core::iter::from_fn(|| self.session.next_fact(self.now, &self.have)).collect()
    }

    fn timeout(&mut self) -> Vec<Fact> {
        self.session.on_timeout(self.now);
        self.facts()
    }

    /// A peer with all pieces that serves us, and what we asked it for.
    fn peer_serves(&mut self, wanted: &[BlockRef]) {
        let pieces =
            if self.session.traits().fast { Message::HaveAll } else { Message::Bitfield(&[0xff, 0xc0]) };
        assert_eq!(self.peer_says(&[pieces, Message::Unchoke]), [Fact::Pieces, Fact::Unchoked]);
        for &block in wanted {
            assert!(self.session.request(self.now, block));
        }
    }

    /// All that we write, whole messages.
    fn we_say(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(transmit) = self.session.poll_transmit(self.now, usize::MAX, u64::MAX) {
            out.extend(bytes_of(&transmit.segments));
            self.session.on_wrote(self.now, transmit.len as u64);
        }
        out
    }

    /// Loads all that the peer asked for: each byte is the number of its block.
    fn load(&mut self) {
        while let Some(run) = self.session.next_upload_run(u64::MAX) {
            let bytes = (run.begin..run.begin + run.length).map(|n| (n / BLOCK) as u8).collect::<Vec<_>>();
            self.session.on_loaded(run, &[Segment::Bytes(Chunk::from(bytes))]);
        }
    }
}

fn bytes_of(segments: &[Segment]) -> Vec<u8> {
    segments
        .iter()
        .flat_map(|segment| match segment {
            Segment::Bytes(chunk) => chunk.to_vec(),
            Segment::Stored(..) => panic!("nothing is stored here"),
        })
        .collect()
}

fn raw(block: BlockRef) -> RawBlock {
    RawBlock { index: block.piece.get(), begin: block.begin, length: block.length }
}

fn encoded(messages: &[Message<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut out));
    out
}

/// The PIECE message that answers a request, its bytes all `fill`.
fn piece(block: BlockRef, data: &[u8]) -> Message<'_> {
    Message::Piece { index: block.piece.get(), begin: block.begin, data }
}

fn data(block: BlockRef) -> Vec<u8> {
    vec![7; block.length as usize]
}

fn came(block: BlockRef) -> Fact {
    Fact::Block { block, data: Parts::from(Chunk::from(data(block))) }
}

fn fault(facts: &[Fact]) -> Option<Fault> {
    facts.iter().find_map(|fact| if let Fact::Fault(fault) = fact { Some(*fault) } else { None })
}
