//! Turns a queue of requests for small ranges into few reads. It doesn't choose whose turn it is.

use crate::base::{BlockRef, Chunk};

/// One read that serves several requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The range to read: one piece, not empty.
    pub range: BlockRef,
    /// How many requests at the head of the queue it serves.
    pub requests: usize,
}

/// The read that serves as many requests at the head of the queue as lie one right behind the other in one piece, up to
/// `read_bytes_max` bytes. A first request beyond that is read as it is. `None` if there is no request.
pub fn coalesce(requests: impl IntoIterator<Item = BlockRef>, read_bytes_max: u32) -> Option<Run> {
    let mut requests = requests.into_iter();
    let mut run = Run { range: requests.next()?, requests: 1 };
    for next in requests {
        let range = run.range;
        let follows = next.piece == range.piece && range.begin.checked_add(range.length) == Some(next.begin);
        let Some(length) = range.length.checked_add(next.length).filter(|&length| length <= read_bytes_max)
        else {
            break;
        };
        if !follows {
            break;
        }
        run.range.length = length;
        run.requests += 1;
    }
    Some(run)
}

impl Run {
    /// The bytes of one request out of the bytes that were read; `None` if it isn't wholly in there.
    pub fn cut(&self, request: BlockRef, bytes: &Chunk) -> Option<Chunk> {
        let from = request.begin.checked_sub(self.range.begin)? as usize;
        let until = from + request.length as usize;
        (request.piece == self.range.piece && until <= bytes.len()).then(|| bytes.slice(from, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Geometry;
    use alloc::vec::Vec;

    #[test]
    fn requests_one_behind_the_other_become_one_read() {
        let geometry = Geometry::new(1 << 20, 1 << 18, Vec::new()).unwrap();
        let block = |piece, n| geometry.block(geometry.piece(piece).unwrap(), n).unwrap();
        let queue = [block(0, 3), block(0, 4), block(0, 5), block(0, 7), block(1, 0)];
        let run = coalesce(queue, 1 << 18).unwrap();
        assert_eq!((run.range.begin, run.range.length, run.requests), (3 << 14, 3 << 14, 3));
        assert_eq!(coalesce(queue, 40_000).unwrap().requests, 2, "bounded");
        assert_eq!(coalesce(queue, 1).unwrap().requests, 1, "one request is always served");
        assert_eq!(coalesce([block(0, 15), block(1, 0)], 1 << 18).unwrap().requests, 1, "pieces don't mix");
        assert!(coalesce([], 1).is_none());
        let bytes: Chunk = (0..3u32 << 14).map(|n| (n >> 14) as u8).collect::<Vec<u8>>().into();
        let cut = run.cut(block(0, 4), &bytes).unwrap();
        assert_eq!((cut.len(), cut[0], cut[16_383]), (16_384, 1, 1));
        assert!(run.cut(block(0, 7), &bytes).is_none() && run.cut(block(1, 4), &bytes).is_none());
    }
}
