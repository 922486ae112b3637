//! What a handshake leaves behind: how each direction of a link is carried from then on.

use super::Cipher;
use crate::base::Chunk;
use crate::wire::mse::Level;

/// How the stream of a link is carried after its handshake.
#[derive(Debug)]
pub struct Crypt {
    level: Level,
    send: Option<Cipher>,
    receive: Option<Incoming>,
}

#[derive(Debug)]
struct Incoming {
    cipher: Cipher,
    /// Bytes that are still encrypted; `None` if all are.
    left: Option<usize>,
}

impl Crypt {
    /// Of a level, and the key streams as the handshake left them. The next `initial` bytes that come are encrypted at
    /// every level.
    pub(super) fn new(level: Level, send: Cipher, receive: Cipher, initial: usize) -> Self {
        let left = match level {
            Level::Plain => Some(initial),
            Level::Rc4 => None,
        };
        Self {
            level,
            send: (level == Level::Rc4).then_some(send),
            receive: (left != Some(0)).then_some(Incoming { cipher: receive, left }),
        }
    }

    /// The level that was chosen.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether there is nothing left to do for either direction.
    pub fn is_done(&self) -> bool {
        self.send.is_none() && self.receive.is_none()
    }

    /// Decrypts what came: in place if nobody else holds the buffer.
    #[must_use]
    pub fn decrypt(&mut self, data: Chunk) -> Chunk {
        let Some(incoming) = &mut self.receive else { return data };
        let Some(left) = &mut incoming.left else { return apply(&mut incoming.cipher, data) };
        if data.len() < *left {
            *left -= data.len();
            return apply(&mut incoming.cipher, data);
        }
        // The last of what is encrypted at every level; plain bytes may follow in the same buffer.
        let mut bytes = data.to_vec();
        let (head, _) = bytes.split_at_mut(*left);
        incoming.cipher.apply(head);
        self.receive = None;
        Chunk::from(bytes)
    }

    /// Encrypts what is to be sent: in place if nobody else holds the buffer.
    #[must_use]
    pub fn encrypt(&mut self, data: Chunk) -> Chunk {
        match &mut self.send {
            Some(cipher) => apply(cipher, data),
            None => data,
        }
    }
}

fn apply(cipher: &mut Cipher, mut data: Chunk) -> Chunk {
    match data.unique_mut() {
        Some(bytes) => {
            cipher.apply(bytes);
            data
        }
        None => Chunk::from(cipher.copy(&data)),
    }
}
