//! Which of many keys is the farthest from a point: what is stored gives way in this order. Not what it is the key of.

use crate::wire::krpc::NodeId;
use alloc::collections::BTreeMap;

/// The key farthest from `own`; `key` makes one of bytes, in whose order the map is. It goes down the bits as through a
/// tree, and looks at some dozen keys: strangers choose how often it is asked.
pub(super) fn farthest<K: Ord + Copy, V>(
    map: &BTreeMap<K, V>,
    own: NodeId,
    key: impl Fn([u8; 20]) -> K,
) -> Option<K> {
    let (mut low, mut high) = ([0; 20], [0xff; 20]);
    for bit in 0..160 {
        let mut left = map.range(key(low)..=key(high));
        let (first, last) = (left.next()?.0, left.next_back());
        if last.is_none() {
            return Some(*first);
        }
        let (at, mask) = (bit / 8, 0x80 >> (bit % 8));
        let set = |bytes: &mut [u8; 20], to: u8| bytes[at] = bytes[at] & !mask | to & mask;
        let other = !own.0[at];
        set(&mut low, other);
        set(&mut high, other);
        if map.range(key(low)..=key(high)).next().is_none() {
            set(&mut low, !other);
            set(&mut high, !other);
        }
    }
    map.range(key(low)..=key(high)).next().map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn the_farthest_is_the_farthest() {
        let mut rng = Rng::new([4; 32]);
        let mut map = BTreeMap::new();
        assert_eq!(farthest(&map, NodeId([0; 20]), NodeId), None);
        let crowd = NodeId::random(&mut rng);
        for n in 0..300 {
            // Some are scattered, some so near to each other that only the last bits differ.
            let key = if n % 2 == 0 { NodeId::random(&mut rng) } else { crowd.random_beside(150, &mut rng) };
            map.insert(key, ());
            let mut last = crowd;
            last.0[19] ^= n as u8;
            for own in [NodeId::random(&mut rng), crowd, last, key, NodeId(key.0.map(|byte| !byte))] {
                let expected = map.keys().copied().max_by_key(|key| own.distance(*key));
                assert_eq!(farthest(&map, own, NodeId), expected);
            }
        }
    }
}
