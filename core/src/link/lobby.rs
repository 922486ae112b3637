//! Takes any incoming link from its first byte to the name of a torrent, also for a driver that shards by torrent.

use crate::base::Chunk;
use crate::wire::handshake::{HANDSHAKE_BYTES, Handshake, HandshakeError, Reserved};
use crate::wire::{InfoHash, PeerId};

/// What a stranger said up to the name of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude {
    /// The torrent it means.
    pub info_hash: InfoHash,
    /// What it can do.
    pub reserved: Reserved,
    /// What it calls itself, if that has come.
    pub peer_id: Option<PeerId>,
}

/// Collects a handshake: 68 bytes, whatever the reads they come in.
#[derive(Debug, Default)]
pub struct Lobby {
    bytes: alloc::vec::Vec<u8>,
    rest: Option<Chunk>,
}

impl Lobby {
    /// Bytes came. Answers the prelude once the torrent's name is known.
    pub fn on_received(&mut self, mut data: Chunk) -> Result<Option<Prelude>, HandshakeError> {
        let missing = HANDSHAKE_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&data.split_to(missing));
        if !data.is_empty() {
            self.rest = Some(match self.rest.take() {
                None => data,
                // Only before a stranger's link is answered: bounded by the link's first credit.
                Some(before) => Chunk::from([&*before, &*data].concat()),
            });
        }
        let partial = Handshake::parse(&self.bytes)?;
        let Some((info_hash, reserved)) = partial.info_hash.zip(partial.reserved) else { return Ok(None) };
        Ok(Some(Prelude { info_hash, reserved, peer_id: partial.peer_id }))
    }

    /// The whole handshake and what came behind it, once, if it is whole.
    pub fn take_whole(&mut self) -> Option<(Handshake, Chunk)> {
        let handshake = Handshake::parse(&self.bytes).ok()?.whole()?;
        self.bytes = alloc::vec::Vec::new();
        Some((handshake, self.rest.take().unwrap_or_else(|| Chunk::copy_from(&[]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Handshake {
        Handshake { reserved: Reserved::NONE, info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]) }
    }

    #[test]
    fn a_torrent_is_named_before_the_peer_id_has_come_and_nothing_behind_is_lost() {
        let mut bytes = hello().encode().to_vec();
        bytes.extend_from_slice(b"session");
        for cut in 48..bytes.len() {
            let mut lobby = Lobby::default();
            let prelude = lobby.on_received(Chunk::copy_from(&bytes[..cut])).unwrap().unwrap();
            assert_eq!(prelude.info_hash, InfoHash([1; 20]));
            lobby.on_received(Chunk::copy_from(&bytes[cut..])).unwrap();
            let (whole, rest) = lobby.take_whole().unwrap();
            assert_eq!((whole, &*rest), (hello(), &b"session"[..]));
        }
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        assert!(Lobby::default().on_received(Chunk::copy_from(b"GET / HTTP/1.1")).is_err());
    }
}
