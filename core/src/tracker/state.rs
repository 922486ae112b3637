//! What a tracker remembers over a restart, as bytes: torrents, how often each was completed, their peers over IPv4 and
//! IPv6. With a version and a checksum, so that what is damaged is not believed. Not where it is kept.

use super::Tracker;
use super::roster::{Roster, Row};
use super::swarm::{Put, Room, Swarm, V4, V6, unpacked_4, unpacked_6};
use crate::base::{Instant, Key};
use crate::wire::{InfoHash, PeerId};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use sha1::{Digest as _, Sha1};

const MAGIC: &[u8; 19] = b"millstream tracker\n";
const VERSION: u8 = 1;
/// Magic, version, the second of saving.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8;
const DIGEST_BYTES: usize = 20;
/// The bit of a saved age that says: it has everything.
const SEED: u32 = 1 << 31;

/// Why a saved state is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It doesn't begin as a saved state does.
    #[error("this is no tracker's saved state")]
    Foreign,
    /// It was saved by another version.
    #[error("saved by version {version} of the format")]
    Version {
        /// Which.
        version: u8,
    },
    /// Its checksum is another.
    #[error("the saved state is damaged")]
    Damaged,
    /// A record can't be, though the checksum is right.
    #[error("the saved state is damaged at offset {offset}")]
    Record {
        /// Where it begins.
        offset: usize,
    },
}

/// Puts a state together out of what one or several trackers save.
#[derive(Clone, Debug)]
pub struct StateWriter {
    digest: Sha1,
}

impl StateWriter {
    /// Begins; the bytes come first in the file. `at_s`: seconds since 1970.
    pub fn new(at_s: u64) -> (Self, [u8; HEAD_BYTES]) {
        let mut head = [0; HEAD_BYTES];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()] = VERSION;
        head[MAGIC.len() + 1..].copy_from_slice(&at_s.to_be_bytes());
        (Self { digest: Sha1::new_with_prefix(head) }, head)
    }

    /// What [`Tracker::save`] gave is written next.
    pub fn add(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The bytes that come last.
    pub fn finish(self) -> [u8; DIGEST_BYTES] {
        self.digest.finalize().into()
    }
}

/// A saved state that is whole.
#[derive(Clone, Copy, Debug)]
pub struct SavedState<'a> {
    /// When it was saved, seconds since 1970.
    pub at_s: u64,
    body: &'a [u8],
}

impl<'a> SavedState<'a> {
    /// Reads one, to its end.
    pub fn read(bytes: &'a [u8]) -> Result<Self, StateError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(StateError::Foreign)?;
        let (&version, rest) = rest.split_first().ok_or(StateError::Damaged)?;
        if version != VERSION {
            return Err(StateError::Version { version });
        }
        let (at_s, rest) = rest.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let (body, digest) = rest.split_last_chunk::<DIGEST_BYTES>().ok_or(StateError::Damaged)?;
        let whole = &bytes[..bytes.len() - DIGEST_BYTES];
        if <[u8; DIGEST_BYTES]>::from(Sha1::digest(whole)) != *digest {
            return Err(StateError::Damaged);
        }
        let saved = Self { at_s: u64::from_be_bytes(*at_s), body };
        let mut records = saved.records();
        while records.next().is_some() {}
        match records.body.len() {
            0 => Ok(saved),
            left => Err(StateError::Record { offset: HEAD_BYTES + body.len() - left }),
        }
    }

    fn records(&self) -> Records<'a> {
        Records { body: self.body }
    }
}

/// Torrents of a saved state, up to the first that can't be.
struct Records<'a> {
    body: &'a [u8],
}

struct Record<'a> {
    hash: InfoHash,
    downloaded: u32,
    v4: &'a [[u8; V4 + 24]],
    v6: &'a [[u8; V6 + 24]],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (&hash, rest) = self.body.split_first_chunk()?;
        let (&[downloaded, v4, v6], rest) = rest
            .split_first_chunk::<12>()
            .map(|(n, rest)| (n.as_chunks::<4>().0, rest))
            .and_then(|(numbers, rest)| Some((numbers.first_chunk::<3>()?, rest)))?;
        let (v4, rest) = take(rest, v4)?;
        let (v6, rest) = take(rest, v6)?;
        self.body = rest;
        Some(Record { hash: InfoHash(hash), downloaded: u32::from_be_bytes(downloaded), v4, v6 })
    }
}

fn take<const N: usize>(bytes: &[u8], count: [u8; 4]) -> Option<(&[[u8; N]], &[u8])> {
    let count = usize::try_from(u32::from_be_bytes(count)).ok()?;
    let (rows, rest) = bytes.split_at_checked(count.checked_mul(N)?)?;
    Some((rows.as_chunks().0, rest))
}

impl Tracker {
    /// Saves torrents from one place on, at least one and no more than make up `bytes_max`, but for the last; and where to
    /// go on, `None` at the end. What comes or goes between two calls may or may not be in it.
    pub fn save(&self, now: Instant, from: u32, bytes_max: usize) -> (Vec<u8>, Option<u32>) {
        let mut out = Vec::new();
        for (place, swarm) in self.swarms_from(from) {
            if out.len() >= bytes_max {
                return (out, Some(place));
            }
            self.save_swarm(self.stamp(now), swarm, &mut out);
        }
        (out, None)
    }

    fn save_swarm(&self, now: u16, swarm: &Swarm, out: &mut Vec<u8>) {
        out.extend_from_slice(&swarm.hash.0);
        out.extend_from_slice(&swarm.downloaded.to_be_bytes());
        out.extend_from_slice(&(swarm.v4.len() as u32).to_be_bytes());
        out.extend_from_slice(&(swarm.v6.as_ref().map_or(0, |v6| v6.len()) as u32).to_be_bytes());
        self.save_roster(now, &swarm.v4, out);
        if let Some(v6) = &swarm.v6 {
            self.save_roster(now, v6, out);
        }
    }

    fn save_roster<const N: usize>(&self, now: u16, roster: &Roster<N>, out: &mut Vec<u8>) {
        for at in 0..roster.len() {
            let row = roster.row(at);
            let age = u64::from(now.wrapping_sub(row.stamp) & 0x7fff) * self.unit_us() / 1_000_000;
            let age = u32::try_from(age).unwrap_or(SEED - 1) & !SEED;
            out.extend_from_slice(&row.addr);
            out.extend_from_slice(&row.id.0);
            out.extend_from_slice(&(age | if row.seed { SEED } else { 0 }).to_be_bytes());
        }
    }

    /// Takes in what of a saved state is `mine` and not too old after an absence of `away`, within this tracker's limits;
    /// gives how many peers that were.
    pub fn restore(
        &mut self,
        now: Instant,
        saved: &SavedState<'_>,
        away: Duration,
        mine: impl Fn(&InfoHash) -> bool,
    ) -> usize {
        let before = self.statistics().peers;
        for record in saved.records().filter(|record| mine(&record.hash)) {
            for row in record.v4 {
                let Some(row) = self.restore_row::<V4>(now, away, row) else { continue };
                self.restore_peer(now, &record, unpacked_4(&row.addr).ip(), |swarm, key, room| {
                    swarm.put_4(key, row, room)
                });
            }
            for row in record.v6 {
                let Some(row) = self.restore_row::<V6>(now, away, row) else { continue };
                self.restore_peer(now, &record, unpacked_6(&row.addr).ip(), |swarm, key, room| {
                    swarm.put_6(key, row, room)
                });
            }
        }
        self.statistics().peers - before
    }

    /// One at a time, since each may be the one that reaches a limit.
    fn restore_peer(
        &mut self,
        now: Instant,
        record: &Record<'_>,
        ip: IpAddr,
        put: impl FnOnce(&mut Swarm, &Key, Room) -> Put,
    ) {
        if let Ok(place) = self.restored_place(&record.hash, ip) {
            self.change(now, place, |swarm, key, room, _| {
                put(swarm, key, room);
                swarm.downloaded = swarm.downloaded.max(record.downloaded);
            });
        }
    }

    fn restore_row<const N: usize>(&self, now: Instant, away: Duration, bytes: &[u8]) -> Option<Row<N>> {
        let (&addr, rest) = bytes.split_first_chunk::<N>()?;
        let (&id, rest) = rest.split_first_chunk::<20>()?;
        let age = u32::from_be_bytes(*rest.first_chunk()?);
        let silence = Duration::from_secs(u64::from(age & !SEED)) + away;
        if silence >= self.life() {
            return None;
        }
        let units = (silence.as_micros() as u64 / self.unit_us()) as u16;
        let stamp = self.stamp(now).wrapping_sub(units) & 0x7fff;
        Some(Row { addr, id: PeerId(id), seed: age & SEED != 0, stamp })
    }
}

#[cfg(test)]
mod tests;
