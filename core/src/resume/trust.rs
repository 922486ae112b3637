//! The rule which saved pieces need no new check. A pure function: whoever calls it has looked at the files.

use super::{Resume, Stamp};
use crate::base::{Bits, Geometry};
use core::ops::Range;

/// The saved pieces whose files all look as they did when this was saved; every other piece must be checked again.
///
/// `now` is what each file looks like (`None`: missing), `spans` which bytes of the torrent's span it holds; both in
/// the saved order. A pad file has an empty span, and what it looks like doesn't matter. If the counts of files or
/// pieces are others than the saved ones, nothing is trusted.
pub fn trusted(saved: &Resume, geometry: &Geometry, now: &[Option<Stamp>], spans: &[Range<u64>]) -> Bits {
    let files = saved.files.len();
    let fits = files == now.len() && files == spans.len() && saved.verified.len() == geometry.pieces();
    if !fits {
        return Bits::new(geometry.pieces());
    }
    let mut pieces = saved.verified.clone();
    for ((file, now), span) in saved.files.iter().zip(now).zip(spans) {
        let same = file.stamp.is_some() && file.stamp == *now;
        if !same {
            for piece in geometry.touched(span.start, span.end.saturating_sub(span.start)) {
                pieces.clear(piece);
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::FileSaved;
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const fn stamp(length: u64, modified_ns: i64) -> Option<Stamp> {
        Some(Stamp { length, modified_ns })
    }

    /// Three files of 150, 50 and 200 bytes in pieces of 100: 0 | 0 1 | 2 2.
    fn sample() -> (Resume, Geometry, Vec<Option<Stamp>>, Vec<Range<u64>>) {
        let geometry = Geometry::new(400, 100, Vec::new()).unwrap();
        let now = vec![stamp(150, 1), stamp(50, 2), stamp(200, 3)];
        let files = now.iter().map(|&stamp| FileSaved { stamp, priority: 1 }).collect();
        let mut verified = Bits::full(4);
        verified.clear(3);
        (Resume { files, verified, ..Resume::default() }, geometry, now, vec![0..150, 150..200, 200..400])
    }

    fn pieces(bits: &Bits) -> Vec<u32> {
        bits.iter().collect()
    }

    #[test]
    fn unchanged_files_keep_what_was_verified_and_no_more() {
        let (saved, geometry, now, spans) = sample();
        assert_eq!(pieces(&trusted(&saved, &geometry, &now, &spans)), [0, 1, 2]);
    }

    #[test]
    fn a_piece_is_trusted_only_if_every_file_it_touches_is_unchanged() {
        for changed in [None, stamp(50, 9), stamp(51, 2)] {
            let (saved, geometry, mut now, spans) = sample();
            now[1] = changed;
            assert_eq!(pieces(&trusted(&saved, &geometry, &now, &spans)), [0, 2]);
        }
        let (saved, geometry, mut now, spans) = sample();
        now[0] = None;
        assert_eq!(pieces(&trusted(&saved, &geometry, &now, &spans)), [2]);
    }

    #[test]
    fn a_file_that_was_missing_proves_nothing_by_being_missing_still() {
        let (mut saved, geometry, mut now, spans) = sample();
        (saved.files[2].stamp, now[2]) = (None, None);
        assert_eq!(pieces(&trusted(&saved, &geometry, &now, &spans)), [0, 1]);
    }

    #[test]
    fn data_of_another_torrent_is_trusted_in_nothing() {
        let (saved, geometry, now, spans) = sample();
        assert!(trusted(&saved, &geometry, &now[..2], &spans).is_empty());
        assert!(trusted(&saved, &geometry, &now, &spans[..2]).is_empty());
        let other = Geometry::new(500, 100, Vec::new()).unwrap();
        assert_eq!(trusted(&saved, &other, &now, &spans), Bits::new(5));
    }
}
