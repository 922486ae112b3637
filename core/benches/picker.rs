//! What the picker costs a block: `cargo bench -p millstream-core --bench picker`. Prints; judges nothing.

use millstream_core::base::{BLOCK, Bits, Geometry, Instant, Rng};
use millstream_core::picker::{
    BlockOutcome, Config, PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN, PeerPieces, Pick, Picker, SourceId,
};
use std::io::Write as _;
use std::sync::Arc;

fn main() {
    line("one seed, 1 MiB pieces", &download(1_024, 64, 1, 64, true));
    line("one seed, one block a pick", &download(1_024, 64, 1, 1, true));
    line("one seed, 16 KiB pieces", &download(100_000, 1, 1, 32, true));
    line("200 seeds, 100,000 pieces", &download(100_000, 16, 200, 16, true));
    line("200 leeches with half, 100,000 pieces", &download(100_000, 16, 200, 16, false));
    line("200 slow leeches, one block a pick", &download(20_000, 16, 200, 1, false));
    line("the same in files of three priorities", &ranked(100_000, 200, false));
    line("the same in order", &ranked(100_000, 200, true));
    bitfields();
}

fn line(what: &str, measured: &str) {
    writeln!(std::io::stdout(), "{what:<42} {measured}").ok();
}

/// Everything is downloaded: pick, block, digest, write. Answers the time a block.
fn download(pieces: u32, blocks: u32, sources: u32, batch: usize, seeds: bool) -> String {
    fetch(torrent(pieces, blocks), pieces, sources, batch, seeds)
}

/// Of leeches with half each; what matters most every other one has nothing of.
fn ranked(pieces: u32, sources: u32, sequential: bool) -> String {
    let mut picker = torrent(pieces, 16);
    picker.set_sequential(sequential);
    picker.set_priorities(|piece| match piece.get() {
        n if n % 1_000 == 999 => PRIORITY_MAX,
        n if n < pieces / 2 => PRIORITY_DEFAULT,
        _ => PRIORITY_MIN,
    });
    fetch(picker, pieces, sources, 16, false)
}

fn torrent(pieces: u32, blocks: u32) -> Picker {
    let span = u64::from(pieces) * u64::from(blocks) * u64::from(BLOCK);
    let geometry = Arc::new(Geometry::new(span, u64::from(blocks * BLOCK), Vec::new()).expect("it fits"));
    Picker::new(geometry, &Bits::new(pieces), Config::default())
}

fn fetch(mut picker: Picker, pieces: u32, sources: u32, batch: usize, seeds: bool) -> String {
    let mut rng = Rng::new([9; 32]);
    let has: Vec<Bits> = (0..sources)
        .map(|n| {
            let mut bits = Bits::new(pieces);
            (0..pieces).filter(|i| (i + n) % 2 == 0).for_each(|i| {
                bits.set(i);
            });
            bits
        })
        .collect();
    let of = |n: u32| if seeds { PeerPieces::All } else { PeerPieces::Some(&has[n as usize]) };
    (0..sources).for_each(|n| picker.on_pieces(of(n)));
    let (mut out, mut came, mut n) = (Vec::new(), 0u64, 0);
    let start = std::time::Instant::now();
    while !picker.is_complete() && came < 2_000_000 {
        n = (n + 1) % sources;
        let wish = Pick {
            source: SourceId(n),
            pieces: of(n),
            only: None,
            suggested: &[],
            count: batch,
            fast: batch > 1,
            may_start: true,
            now: Instant::ZERO,
        };
        picker.pick(&mut rng, &wish, &mut out);
        for block in out.drain(..) {
            came += 1;
            if let BlockOutcome::Accepted { complete: true, .. } = picker.on_block(SourceId(n), block) {
                picker.on_verified(block.piece);
                picker.on_written(block.piece);
            }
        }
    }
    format!("{:>8} ns a block", start.elapsed().as_nanos() / u128::from(came.max(1)))
}

/// A bitfield comes while the order stands.
fn bitfields() {
    let pieces = 100_000;
    let geometry = Geometry::new(u64::from(pieces) * u64::from(BLOCK), u64::from(BLOCK), Vec::new());
    let geometry = Arc::new(geometry.expect("it fits"));
    let mut picker = Picker::new(geometry, &Bits::new(pieces), Config::default());
    let mut bits = Bits::new(pieces);
    (0..pieces).filter(|i| i % 3 > 0).for_each(|i| {
        bits.set(i);
    });
    let (mut rng, mut out) = (Rng::new([9; 32]), Vec::new());
    picker.on_pieces(PeerPieces::Some(&bits));
    let wish = Pick {
        source: SourceId(1),
        pieces: PeerPieces::Some(&bits),
        only: None,
        suggested: &[],
        count: 1,
        fast: true,
        may_start: true,
        now: Instant::ZERO,
    };
    picker.pick(&mut rng, &wish, &mut out);
    let start = std::time::Instant::now();
    (0..50).for_each(|_| picker.on_pieces(PeerPieces::Some(&bits)));
    line("a bitfield of 100,000 pieces", &format!("{:>8} us", start.elapsed().as_micros() / 50));
}
