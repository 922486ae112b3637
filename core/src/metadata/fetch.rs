//! The fetching side: pieces of metadata from several peers, one attempt per claimed size, verified before use.
//!
//! Sizes and pieces may be lies. Peers that claim the same size work together first. If the result fails its digest
//! and one peer sent all of it, that peer lied; if several did, nobody is blamed yet: from then on this size is fetched
//! from one peer at a time, so that the next failure has one culprit.

use super::METADATA_PIECE;
use crate::base::{Instant, PeerRef};
use crate::wire::{InfoHash, InfoHashV2};
use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use thiserror::Error;

/// Bounds of fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// The largest info dictionary taken, bytes. A torrent whose metadata is larger can't be added by magnet. Twice
    /// this is the most that is ever held, since sizes that disagree are tried side by side.
    pub metadata_bytes_max: u32,
    /// Requests to one peer at once. More hide latency, and cost more when the peer is slow.
    pub requests_max: usize,
    /// How long a peer may take to answer a request, milliseconds. Then another one is asked.
    pub answer_ms: u64,
    /// How long a peer that rejected or let us wait is left alone, milliseconds.
    pub pause_ms: u64,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { metadata_bytes_max: 16 << 20, requests_max: 2, answer_ms: 15_000, pause_ms: 30_000 }
    }
}

/// Why a peer's claimed size is not believed. The peer is to blame, or knows the metadata no more than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeRefusal {
    /// 0, or above `metadata_bytes_max`.
    #[error("a metadata size of {0} bytes is not between 1 and the bound")]
    OutOfBounds(u64),
    /// This peer was caught lying.
    #[error("this peer sent metadata that failed its digest")]
    Liar,
}

/// What a piece of metadata led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Kept; more is needed.
    Kept,
    /// Not asked for, or asked of someone else since: dropped.
    Unasked,
    /// It has the wrong length or total size: dropped, the peer misbehaved and is asked no more.
    Misshapen,
    /// Whole and verified: the info dictionary's bytes.
    Verified(Box<[u8]>),
    /// Whole, and its digest is wrong.
    Failed(Blame),
}

/// Who is to blame for metadata that fails its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This peer sent all of it.
    Certain(PeerRef),
    /// One of several; the next try takes one peer at a time.
    Unclear,
}

/// The search for one torrent's info dictionary.
#[derive(Debug)]
pub struct Fetch {
    v1: Option<InfoHash>,
    v2: Option<InfoHashV2>,
    config: MetadataConfig,
    attempts: BTreeMap<u32, Attempt>,
    peers: BTreeMap<PeerRef, Peer>,
    liars: BTreeSet<PeerRef>,
    held_bytes: usize,
}

#[derive(Debug, Default)]
struct Attempt {
    /// Only what has come takes memory, whatever size was claimed.
    pieces: BTreeMap<u32, (Box<[u8]>, PeerRef)>,
    alone: Alone,
}

/// Whether an attempt takes pieces of all, or of one peer at a time.
#[derive(Debug, Default)]
enum Alone {
    #[default]
    All,
    Nobody,
    Only(PeerRef),
}

#[derive(Debug)]
struct Peer {
    size: u32,
    /// (piece, asked when), in the order they were asked.
    asked: Vec<(u32, Instant)>,
    paused_until: Instant,
}

impl Fetch {
    /// A search for what hashes to `v1`, to `v2`, or to both where both are known.
    pub fn new(v1: Option<InfoHash>, v2: Option<InfoHashV2>, config: MetadataConfig) -> Self {
        Self {
            v1,
            v2,
            config,
            attempts: BTreeMap::new(),
            peers: BTreeMap::new(),
            liars: BTreeSet::new(),
            held_bytes: 0,
        }
    }

    /// A peer's extension handshake claims a `metadata_size` (BEP 9). It may say another one later.
    pub fn on_size(&mut self, peer: PeerRef, size: u64) -> Result<(), SizeRefusal> {
        if self.liars.contains(&peer) {
            return Err(SizeRefusal::Liar);
        }
        let size = match u32::try_from(size) {
            Ok(size) if size > 0 && size <= self.config.metadata_bytes_max => size,
            Ok(_) | Err(_) => return Err(SizeRefusal::OutOfBounds(size)),
        };
        if self.peers.get(&peer).is_some_and(|p| p.size == size) {
            return Ok(());
        }
        self.on_peer_gone(peer);
        self.liars.remove(&peer);
        self.peers.insert(peer, Peer { size, asked: Vec::new(), paused_until: Instant::ZERO });
        self.attempts.entry(size).or_default();
        self.drop_orphans();
        Ok(())
    }

    /// Which piece to ask this peer for now; call until `None`.
    pub fn next_request(&mut self, now: Instant, peer: PeerRef) -> Option<u32> {
        let free = self.config.requests_max;
        let state = self.peers.get(&peer)?;
        if state.asked.len() >= free || now < state.paused_until {
            return None;
        }
        let size = state.size;
        let attempt = self.attempts.get_mut(&size)?;
        if let Alone::Nobody = attempt.alone {
            attempt.alone = Alone::Only(peer);
        }
        if matches!(attempt.alone, Alone::Only(only) if only != peer) {
            return None;
        }
        let mut asked = BTreeMap::new();
        for (piece, _) in self.peers.values().filter(|p| p.size == size).flat_map(|p| &p.asked) {
            *asked.entry(*piece).or_insert(0u32) += 1;
        }
        let mine = |piece: &u32| state.asked.iter().any(|(p, _)| p == piece);
        let missing = (0..pieces(size)).filter(|piece| !attempt.pieces.contains_key(piece) && !mine(piece));
        // The first one that nobody is asked for, else the one that fewest are asked for: a slow peer holds nobody up.
        let piece = missing.min_by_key(|piece| (asked.get(piece).copied().unwrap_or(0), *piece))?;
        self.peers.get_mut(&peer)?.asked.push((piece, now));
        Some(piece)
    }

    /// A peer sent a piece (`data`), and says how large the metadata is (`total_size`).
    pub fn on_data(&mut self, peer: PeerRef, piece: u32, total_size: u64, data: &[u8]) -> Fetched {
        let Some(state) = self.peers.get_mut(&peer) else { return Fetched::Unasked };
        let Some(at) = state.asked.iter().position(|&(asked, _)| asked == piece) else {
            return Fetched::Unasked;
        };
        state.asked.remove(at);
        let size = state.size;
        if total_size != u64::from(size) || data.len() != length_of(size, piece) {
            self.condemn(peer);
            return Fetched::Misshapen;
        }
        let Some(attempt) = self.attempts.get_mut(&size) else { return Fetched::Unasked };
        if let Entry::Vacant(place) = attempt.pieces.entry(piece) {
            place.insert((data.into(), peer));
            self.held_bytes += data.len();
        }
        if attempt.pieces.len() as u32 == pieces(size) {
            return self.judge(size);
        }
        self.make_room(size);
        Fetched::Kept
    }

    /// A peer rejects a request: it doesn't have the metadata, or protects itself. It is left alone for a while.
    pub fn on_reject(&mut self, now: Instant, peer: PeerRef, piece: u32) {
        let pause = Duration::from_millis(self.config.pause_ms);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let before = state.asked.len();
        state.asked.retain(|&(asked, _)| asked != piece);
        if state.asked.len() < before {
            state.paused_until = now + pause;
            self.step_aside(peer);
        }
    }

    /// A peer went. What it sent stays, unless it was to send all.
    pub fn on_peer_gone(&mut self, peer: PeerRef) {
        self.step_aside(peer);
        self.liars.remove(&peer);
        let Some(state) = self.peers.remove(&peer) else { return };
        let others = self.peers.values().any(|p| p.size == state.size);
        if !others && self.attempts.get(&state.size).is_some_and(|a| a.pieces.is_empty()) {
            self.attempts.remove(&state.size);
        }
    }

    /// Time passes: requests that were not answered are taken back, and their peers left alone for a while. Afterwards
    /// ask `next_request` for all peers.
    pub fn on_timeout(&mut self, now: Instant) {
        let answer = Duration::from_millis(self.config.answer_ms);
        let pause = Duration::from_millis(self.config.pause_ms);
        let mut late = Vec::new();
        for (id, peer) in &mut self.peers {
            let before = peer.asked.len();
            peer.asked.retain(|&(_, at)| at + answer > now);
            if peer.asked.len() < before {
                peer.paused_until = now + pause;
                late.push(*id);
            }
            if peer.paused_until <= now {
                peer.paused_until = Instant::ZERO;
            }
        }
        late.into_iter().for_each(|peer| self.step_aside(peer));
    }

    /// When `on_timeout` has something to do: a request gets too old or a pause ends.
    pub fn deadline(&self) -> Option<Instant> {
        let answer = Duration::from_millis(self.config.answer_ms);
        let due = |peer: &Peer| {
            let oldest = peer.asked.first().map(|&(_, at)| at + answer);
            let pause = (peer.paused_until > Instant::ZERO).then_some(peer.paused_until);
            [oldest, pause].into_iter().flatten().min()
        };
        self.peers.values().filter_map(due).min()
    }

    /// How much has come, in bytes, of how many: of the size that is nearest its end.
    pub fn progress(&self) -> (u32, u32) {
        let of = |(&size, attempt): (&u32, &Attempt)| {
            (attempt.pieces.values().map(|(data, _)| data.len() as u32).sum::<u32>(), size)
        };
        self.attempts
            .iter()
            .map(of)
            .max_by_key(|&(got, size)| u64::from(got) * 1000 / u64::from(size))
            .unwrap_or((0, 0))
    }

    /// Bytes held: never more than have come, nor than twice `metadata_bytes_max`.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn judge(&mut self, size: u32) -> Fetched {
        let Some(attempt) = self.attempts.get_mut(&size) else { return Fetched::Unasked };
        let pieces = core::mem::take(&mut attempt.pieces);
        let mut senders: Vec<PeerRef> = pieces.values().map(|&(_, from)| from).collect();
        senders.sort_unstable();
        senders.dedup();
        let mut whole = Vec::with_capacity(size as usize);
        for (data, _) in pieces.values() {
            whole.extend_from_slice(data);
        }
        self.held_bytes -= whole.len();
        let v1 = self.v1.is_none_or(|hash| hash.0 == <[u8; 20]>::from(Sha1::digest(&whole)));
        let v2 = self.v2.is_none_or(|hash| hash.0 == <[u8; 32]>::from(Sha256::digest(&whole)));
        if v1 && v2 && (self.v1.is_some() || self.v2.is_some()) {
            return Fetched::Verified(whole.into());
        }
        attempt.alone = Alone::Nobody;
        self.peers.values_mut().filter(|p| p.size == size).for_each(|p| p.asked.clear());
        match senders.as_slice() {
            &[only] => {
                self.condemn(only);
                Fetched::Failed(Blame::Certain(only))
            }
            _ => Fetched::Failed(Blame::Unclear),
        }
    }

    /// Asks this peer no more, as long as it is connected.
    fn condemn(&mut self, peer: PeerRef) {
        self.on_peer_gone(peer);
        self.liars.insert(peer);
    }

    /// If this peer was to send everything alone, another one may.
    fn step_aside(&mut self, peer: PeerRef) {
        let Some(state) = self.peers.get(&peer) else { return };
        let Some(attempt) = self.attempts.get_mut(&state.size) else { return };
        if matches!(attempt.alone, Alone::Only(only) if only == peer) {
            attempt.alone = Alone::Nobody;
            let pieces = core::mem::take(&mut attempt.pieces);
            self.held_bytes -= pieces.values().map(|(data, _)| data.len()).sum::<usize>();
        }
    }

    /// Pieces whose peers are gone are kept for a few sizes only, so that a peer that claims one size after another
    /// leaves no trail; those with the fewest go first.
    fn drop_orphans(&mut self) {
        const ORPHANS_MAX: usize = 4;
        while self.attempts.len() > self.peers.len() + ORPHANS_MAX {
            let has_peers = |size: u32| self.peers.values().any(|p| p.size == size);
            let orphans = self.attempts.iter().filter(|(size, _)| !has_peers(**size));
            let Some(size) = orphans.min_by_key(|(_, a)| a.pieces.len()).map(|(&size, _)| size) else {
                return;
            };
            let pieces = self.attempts.remove(&size).map(|attempt| attempt.pieces).unwrap_or_default();
            self.held_bytes -= pieces.values().map(|(data, _)| data.len()).sum::<usize>();
        }
    }

    /// Keeps what is held within its bound: the size with the fewest peers, other than the one that just grew, starts
    /// over.
    fn make_room(&mut self, growing: u32) {
        while self.held_bytes > 2 * self.config.metadata_bytes_max as usize {
            let supporters = |size: u32| self.peers.values().filter(|p| p.size == size).count();
            let others = self.attempts.iter().filter(|(size, a)| **size != growing && !a.pieces.is_empty());
            let Some(weakest) = others.map(|(&size, _)| size).min_by_key(|&size| supporters(size)) else {
                return;
            };
            let pieces = self.attempts.remove(&weakest).map(|attempt| attempt.pieces).unwrap_or_default();
            self.held_bytes -= pieces.values().map(|(data, _)| data.len()).sum::<usize>();
            if self.peers.values().any(|p| p.size == weakest) {
                self.attempts.insert(weakest, Attempt::default());
            }
        }
    }
}

fn pieces(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE)
}

fn length_of(size: u32, piece: u32) -> usize {
    let start = u64::from(piece) * u64::from(METADATA_PIECE);
    u64::from(size).saturating_sub(start).min(u64::from(METADATA_PIECE)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TorrentId;
    use alloc::vec;

    const NOW: Instant = Instant::from_micros(1_000_000);

    const fn peer(n: u32) -> PeerRef {
        PeerRef { torrent: TorrentId(1), n }
    }

    fn info() -> Vec<u8> {
        (0..40_000u32).map(|n| (n % 251) as u8).collect()
    }

    fn search() -> Fetch {
        let v1 = InfoHash(Sha1::digest(info()).into());
        let v2 = InfoHashV2(Sha256::digest(info()).into());
        Fetch::new(Some(v1), Some(v2), MetadataConfig::default())
    }

    /// `who` is asked for one piece and sends it out of `bytes`.
    fn send(fetch: &mut Fetch, who: PeerRef, bytes: &[u8]) -> Option<Fetched> {
        let piece = fetch.next_request(NOW, who)?;
        let data = bytes.chunks(16_384).nth(piece as usize).unwrap();
        Some(fetch.on_data(who, piece, bytes.len() as u64, data))
    }

    #[test]
    fn bep_0009_several_peers_bring_the_pieces_and_the_digest_decides() {
        let mut fetch = search();
        let bytes = info();
        for n in 0..3 {
            fetch.on_size(peer(n), 40_000).unwrap();
        }
        let asked: Vec<_> = (0..3).map(|n| fetch.next_request(NOW, peer(n)).unwrap()).collect();
        assert_eq!(asked, [0, 1, 2], "each is asked for another piece");
        assert_eq!(fetch.on_data(peer(2), 2, 40_000, &bytes[32_768..]), Fetched::Kept);
        assert_eq!(fetch.on_data(peer(0), 0, 40_000, &bytes[..16_384]), Fetched::Kept);
        assert_eq!(fetch.progress(), (40_000 - 16_384, 40_000));
        let done = fetch.on_data(peer(1), 1, 40_000, &bytes[16_384..32_768]);
        assert_eq!((done, fetch.held_bytes()), (Fetched::Verified(bytes.into()), 0));
    }

    #[test]
    fn pitfall_3_metadata_is_capped_and_a_claimed_size_costs_no_memory() {
        let mut fetch = search();
        for size in [0, (16 << 20) + 1, u64::MAX] {
            assert_eq!(fetch.on_size(peer(1), size), Err(SizeRefusal::OutOfBounds(size)));
        }
        fetch.on_size(peer(1), 16 << 20).unwrap();
        assert_eq!((fetch.next_request(NOW, peer(1)), fetch.held_bytes()), (Some(0), 0));
    }

    #[test]
    fn pitfall_3_metadata_is_verified_before_use_and_a_lone_liar_is_caught() {
        let mut fetch = search();
        let mut wrong = info();
        wrong[20_000] ^= 1;
        fetch.on_size(peer(1), 40_000).unwrap();
        send(&mut fetch, peer(1), &wrong);
        send(&mut fetch, peer(1), &wrong);
        assert_eq!(send(&mut fetch, peer(1), &wrong), Some(Fetched::Failed(Blame::Certain(peer(1)))));
        assert_eq!(fetch.on_size(peer(1), 40_000), Err(SizeRefusal::Liar));
        assert_eq!((fetch.next_request(NOW, peer(1)), fetch.held_bytes()), (None, 0));
    }

    #[test]
    fn a_v2_digest_must_fit_too() {
        let v1 = InfoHash(Sha1::digest(info()).into());
        let mut fetch = Fetch::new(Some(v1), Some(InfoHashV2([0; 32])), MetadataConfig::default());
        fetch.on_size(peer(1), 40_000).unwrap();
        let last = (0..3).map(|_| send(&mut fetch, peer(1), &info())).last().unwrap();
        assert_eq!(last, Some(Fetched::Failed(Blame::Certain(peer(1)))));
    }

    #[test]
    fn one_liar_among_honest_peers_is_found_by_asking_one_at_a_time() {
        let mut fetch = search();
        let mut wrong = info();
        wrong[0] ^= 1;
        let honest = info();
        fetch.on_size(peer(1), 40_000).unwrap();
        fetch.on_size(peer(2), 40_000).unwrap();
        send(&mut fetch, peer(1), &wrong);
        send(&mut fetch, peer(2), &honest);
        assert_eq!(send(&mut fetch, peer(2), &honest), Some(Fetched::Failed(Blame::Unclear)));
        send(&mut fetch, peer(1), &wrong);
        assert_eq!(fetch.next_request(NOW, peer(2)), None, "one at a time");
        send(&mut fetch, peer(1), &wrong);
        assert_eq!(send(&mut fetch, peer(1), &wrong), Some(Fetched::Failed(Blame::Certain(peer(1)))));
        let last = (0..3).map(|_| send(&mut fetch, peer(2), &honest)).last().unwrap();
        assert_eq!(last, Some(Fetched::Verified(honest.into())));
    }

    #[test]
    fn peers_that_claim_other_sizes_do_not_hold_up_those_that_tell_the_truth() {
        let mut fetch = search();
        fetch.on_size(peer(1), 5).unwrap();
        fetch.on_size(peer(2), 40_000).unwrap();
        assert_eq!(send(&mut fetch, peer(1), b"wrong"), Some(Fetched::Failed(Blame::Certain(peer(1)))));
        let last = (0..3).map(|_| send(&mut fetch, peer(2), &info())).last().unwrap();
        assert_eq!(last, Some(Fetched::Verified(info().into())));
    }

    #[test]
    fn bep_0009_rejected_and_unanswered_requests_go_to_others() {
        let mut fetch = search();
        for n in 1..=3 {
            fetch.on_size(peer(n), 40_000).unwrap();
        }
        assert_eq!(fetch.next_request(NOW, peer(1)), Some(0));
        assert_eq!(fetch.next_request(NOW, peer(2)), Some(1));
        fetch.on_reject(NOW, peer(1), 0);
        assert_eq!((fetch.next_request(NOW, peer(1)), fetch.next_request(NOW, peer(3))), (None, Some(0)));
        let late = NOW + Duration::from_secs(15);
        assert_eq!(fetch.deadline(), Some(late));
        fetch.on_timeout(late);
        assert_eq!(fetch.next_request(late, peer(2)), None, "it let us wait");
        let later = NOW + Duration::from_secs(30);
        assert_eq!(fetch.deadline(), Some(later));
        fetch.on_timeout(later);
        assert_eq!(fetch.next_request(later, peer(1)), Some(0));
    }

    #[test]
    fn unasked_and_misshapen_pieces_are_dropped() {
        let mut fetch = search();
        let bytes = info();
        fetch.on_size(peer(1), 40_000).unwrap();
        assert_eq!(fetch.on_data(peer(1), 0, 40_000, &bytes[..16_384]), Fetched::Unasked);
        assert_eq!(fetch.on_data(peer(9), 0, 40_000, &bytes[..16_384]), Fetched::Unasked);
        fetch.next_request(NOW, peer(1));
        assert_eq!(fetch.on_data(peer(1), 0, 40_000, &bytes[..16_383]), Fetched::Misshapen);
        fetch.on_size(peer(2), 40_000).unwrap();
        fetch.next_request(NOW, peer(2));
        assert_eq!(fetch.on_data(peer(2), 0, 40_001, &bytes[..16_384]), Fetched::Misshapen);
    }

    #[test]
    fn many_sizes_with_real_data_stay_within_the_bound() {
        let config = MetadataConfig { metadata_bytes_max: 64 * 1024, ..MetadataConfig::default() };
        let mut fetch = Fetch::new(Some(InfoHash([0; 20])), None, config);
        for n in 0..100 {
            let size = 40_000 + u64::from(n);
            fetch.on_size(peer(n), size).unwrap();
            let piece = fetch.next_request(NOW, peer(n)).unwrap();
            assert_eq!(fetch.on_data(peer(n), piece, size, &vec![0; 16_384]), Fetched::Kept);
            assert!(fetch.held_bytes() <= 128 * 1024);
        }
    }

    #[test]
    fn a_peer_that_claims_one_size_after_another_leaves_no_trail() {
        let mut fetch = search();
        for n in 0..100 {
            fetch.on_size(peer(1), 20_000 + n).unwrap();
            let piece = fetch.next_request(NOW, peer(1)).unwrap();
            fetch.on_data(peer(1), piece, 20_000 + n, &[0; 16_384]);
        }
        assert!(fetch.held_bytes() <= 6 * 16_384, "{}", fetch.held_bytes());
    }

    #[test]
    fn a_peer_that_goes_leaves_its_pieces_and_its_requests() {
        let mut fetch = search();
        fetch.on_size(peer(1), 40_000).unwrap();
        send(&mut fetch, peer(1), &info());
        fetch.next_request(NOW, peer(1));
        fetch.on_peer_gone(peer(1));
        fetch.on_size(peer(2), 40_000).unwrap();
        assert_eq!((fetch.next_request(NOW, peer(2)), fetch.next_request(NOW, peer(2))), (Some(1), Some(2)));
    }
}
