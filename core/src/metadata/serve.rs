//! The serving side: which bytes answer a request, and when a peer has asked too often.

use super::METADATA_PIECE;
use core::ops::Range;

/// How often one peer has asked: kept with the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked(u32);

/// What to answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Data: this range of the info dictionary, and its total size.
    Data {
        /// Bytes of the info dictionary.
        range: Range<usize>,
        /// The `total_size` to say.
        total: u32,
    },
    /// Reject: we don't have it, there is no such piece, or the peer has asked for all of it too often.
    Reject,
}

/// The answer to a request for `piece` of an info dictionary of `size` bytes (`None`: not known yet). A peer gets all
/// of it `times_max` times; then it is rejected (BEP 9's flood protection).
pub fn serve(asked: &mut Asked, size: Option<usize>, piece: u32, times_max: u32) -> Answer {
    let unit = METADATA_PIECE as usize;
    let found = size.and_then(|size| {
        let start = (piece as usize).checked_mul(unit).filter(|&start| start < size)?;
        Some((start..size.min(start + unit), u32::try_from(size).ok()?, size.div_ceil(unit)))
    });
    let Some((range, total, pieces)) = found else { return Answer::Reject };
    if u64::from(asked.0) >= pieces as u64 * u64::from(times_max) {
        return Answer::Reject;
    }
    asked.0 += 1;
    Answer::Data { range, total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0009_each_piece_is_16_kib_but_the_last() {
        let mut asked = Asked::default();
        let mut get = |piece| serve(&mut asked, Some(40_000), piece, 10);
        assert_eq!(get(0), Answer::Data { range: 0..16_384, total: 40_000 });
        assert_eq!(get(2), Answer::Data { range: 32_768..40_000, total: 40_000 });
        assert_eq!((get(3), get(u32::MAX)), (Answer::Reject, Answer::Reject));
    }

    #[test]
    fn bep_0009_what_is_unknown_is_rejected_and_so_is_a_flood() {
        let mut asked = Asked::default();
        assert_eq!(serve(&mut asked, None, 0, 2), Answer::Reject);
        for _ in 0..4 {
            assert_ne!(serve(&mut asked, Some(20_000), 1, 2), Answer::Reject);
        }
        assert_eq!(serve(&mut asked, Some(20_000), 0, 2), Answer::Reject);
    }
}
