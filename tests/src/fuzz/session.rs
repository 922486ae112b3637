//! One session against a stream from a stranger: however the stream is cut, the same facts and the same answers, and
//! every limit holds. The first byte says what both sides agreed on and how the stream is cut.

use millstream_core::base::{Bits, Chunk, Geometry, Instant, Segment};
use millstream_core::peer::{Fact, PeerTraits, Session, SessionConfig};
use std::sync::Arc;

/// Bytes of the torrent; its last piece and its last block are short.
const SPAN: u64 = 100_000;
const PIECE_LENGTH: u64 = 1 << 15;

/// What a run comes to: what was told, what was answered.
type Story = (Vec<Fact>, Vec<u8>);

/// A session fed with `data`.
pub fn peer_session(data: &[u8]) {
    let Some((&setup, stream)) = data.split_first() else { return };
    let whole = run(setup, stream, stream.len().max(1));
    let cut = run(setup, stream, 1 + usize::from(setup >> 5) * 3);
    assert!(whole.0 == cut.0, "the same facts however it is cut:\n{:?}\n{:?}", whole.0, cut.0);
    let (long, short) = if whole.1.len() < cut.1.len() { (cut.1, whole.1) } else { (whole.1, cut.1) };
    let faulty = matches!(whole.0.last(), Some(Fact::Fault(_))); // then what was not yet handed over is dropped
    assert!(long == short || (faulty && long.starts_with(&short)), "the same answers however it is cut");
}

fn run(setup: u8, stream: &[u8], cut: usize) -> Story {
    let on = |bit: u8| setup >> bit & 1 == 1;
    let traits = PeerTraits { fast: on(0), extensions: on(1), v2: on(2), dht: on(3) };
    let geometry = Arc::new(Geometry::new(SPAN, PIECE_LENGTH, Vec::new()).expect("a sound geometry"));
    let known = on(4).then(|| Arc::clone(&geometry));
    let mut have = Bits::new(geometry.pieces());
    have.set(0);
    let now = Instant::from_micros(1_000_000);
    let session = Session::new(Arc::new(SessionConfig::default()), now, traits, known);
    let mut host = Host { session, geometry, have, now, facts: Vec::new(), sent: Vec::new() };
    host.session.pieces(&host.have);
    host.session.interested();
    host.write();
    for part in stream.chunks(cut) {
        host.session.on_received(now, Chunk::copy_from(part));
        host.drain();
    }
    host.session.on_geometry(Arc::clone(&host.geometry));
    host.drain();
    for _ in 0..8 {
        let Some(due) = host.session.deadline() else { break };
        host.now = due.max(host.now);
        host.session.on_timeout(host.now);
        host.drain();
    }
    assert!(
        host.session.fault().is_some() || host.now > now,
        "a session that lives has something to wait for"
    );
    (host.facts, host.sent)
}

/// A host that asks for all it may, and serves all it is asked for.
struct Host {
    session: Session,
    geometry: Arc<Geometry>,
    have: Bits,
    now: Instant,
    facts: Vec<Fact>,
    sent: Vec<u8>,
}

impl Host {
    fn drain(&mut self) {
        while let Some(fact) = self.session.next_fact(self.now, &self.have) {
            let last = matches!(fact, Fact::Fault(_));
            self.react(&fact);
            self.facts.push(fact);
            self.write();
            assert!(self.session.requests_queued() <= SessionConfig::default().requests_queued_max);
            assert!(self.session.requests_outstanding() <= SessionConfig::default().requests_outstanding_max);
            assert!(!last || self.session.fault().is_some(), "a fault ends the session");
        }
        self.write();
    }

    fn react(&mut self, fact: &Fact) {
        if matches!(fact, Fact::Interested) {
            self.session.unchoke();
        } else if matches!(fact, Fact::NotInterested) {
            self.session.choke();
        } else if let Fact::Block { block, data } = fact {
            assert_eq!(data.len(), block.length as usize, "a block is whole");
        } else if let Fact::Requested(block) = fact {
            assert!(self.have.get(block.piece.get()), "only what we have is asked of us");
        }
        self.ask();
        self.serve();
    }

    fn ask(&mut self) {
        for piece in self.geometry.iter() {
            let blocks = (0..).map_while(|n| self.geometry.block(piece, n));
            for block in blocks {
                let asked = self.session.requests().any(|b| b == block);
                if !asked && self.session.requests_wanted() > 0 && self.session.may_request(piece) {
                    self.session.request(self.now, block);
                }
            }
        }
    }

    fn serve(&mut self) {
        while let Some(run) = self.session.next_upload_run(1 << 20) {
            assert!(u64::from(run.begin) + u64::from(run.length) <= PIECE_LENGTH, "a run lies in its piece");
            let bytes = Segment::Bytes(Chunk::from(vec![run.begin as u8; run.length as usize]));
            self.session.on_loaded(run, &[bytes]);
        }
    }

    fn write(&mut self) {
        while let Some(transmit) = self.session.poll_transmit(self.now, 1 << 16, u64::MAX) {
            for segment in &transmit.segments {
                match segment {
                    Segment::Bytes(bytes) => self.sent.extend_from_slice(bytes),
                    Segment::Stored(..) => unreachable!("nothing was answered as stored"),
                }
            }
            self.session.on_wrote(self.now, transmit.len as u64);
        }
    }
}
