//! Which pieces a peer gets even when choked (BEP 6): the canonical set for its IPv4 address. When it is offered is
//! not decided here.

use super::InfoHash;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use sha1::{Digest as _, Sha1};

/// The allowed fast set of `count` pieces (all of them, if there are no more) for the node at `ip`, in the order in
/// which BEP 6 makes it. The address is the one we see the node at; BEP 6 has no rule for IPv6.
pub fn allowed_fast_set(ip: Ipv4Addr, info_hash: InfoHash, pieces: u32, count: u32) -> Vec<u32> {
    let count = count.min(pieces) as usize;
    let mut set = Vec::with_capacity(count);
    let [a, b, c, _] = ip.octets();
    let mut x: [u8; 20] = Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize().into();
    // Nearly a whole torrent is drawn slowly; a torrent that small is taken in order at the end.
    for _ in 0..ROUNDS_MAX {
        for y in x.as_chunks::<4>().0 {
            let Some(index) = u32::from_be_bytes(*y).checked_rem(pieces) else { return set };
            if set.len() < count && !set.contains(&index) {
                set.push(index);
            }
        }
        if set.len() >= count {
            return set;
        }
        x = Sha1::digest(x).into();
    }
    let rest = (0..pieces).filter(|index| !set.contains(index)).take(count - set.len());
    let rest: Vec<u32> = rest.collect();
    set.extend(rest);
    set
}

/// A set of ten out of ten pieces is complete after six rounds on average; this many are never used up by chance.
const ROUNDS_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0006_the_allowed_fast_set_is_the_one_of_the_bep() {
        let set = |k| allowed_fast_set(Ipv4Addr::new(80, 4, 4, 200), InfoHash([0xaa; 20]), 1313, k);
        assert_eq!(set(7), [1059, 431, 808, 1217, 287, 376, 1188]);
        assert_eq!(set(9), [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]);
    }

    #[test]
    fn a_torrent_smaller_than_the_set_is_allowed_whole() {
        let mut set = allowed_fast_set(Ipv4Addr::LOCALHOST, InfoHash([1; 20]), 4, 10);
        set.sort_unstable();
        assert_eq!(set, [0, 1, 2, 3]);
        assert!(allowed_fast_set(Ipv4Addr::LOCALHOST, InfoHash([1; 20]), 0, 10).is_empty());
    }
}
