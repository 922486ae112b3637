//! The limits of a session, each with its consequence.

use core::time::Duration;

/// The limits of a session. One value serves all sessions that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The longest message other than PIECE that is taken, in bytes. A longer one costs the peer its link, so this
    /// bounds the memory of a partial message and the pieces of a torrent (eight a byte). Default 1 MiB.
    pub message_bytes_max: u32,
    /// The most requests outstanding at one peer; also what we tell as `reqq`. More hide a longer round trip at a high
    /// rate, and delay a cancel. Default 512.
    pub requests_outstanding_max: u32,
    /// The most bytes outstanding at one peer. Default 8 MiB.
    pub requests_outstanding_bytes_max: u32,
    /// How many requests a pipeline begins with. Default 8.
    pub requests_initial: u32,
    /// The `reqq` of a peer that tells none. Default 250 (BEP 10).
    pub requests_untold_max: u32,
    /// How much the peer should have queued for us beyond one round trip, in milliseconds of its rate. More rides out
    /// stalls, and lets more be wasted when it chokes, and more be asked of a seed that others could have given. Default 300.
    pub request_queue_ms: u32,
    /// How long a request may stay unanswered while others are answered, in milliseconds. Then it is cancelled and
    /// may go to somebody else. Default 60,000.
    pub request_timeout_ms: u32,
    /// How long a peer that unchokes us may send no block that it owes, in milliseconds. Then it is snubbed: all its
    /// requests are cancelled, and it gets one at a time until it answers. Default 30,000.
    pub snub_timeout_ms: u32,
    /// How long the answer to a cancelled request is expected, in milliseconds. Some peers never give one.
    /// Default 60,000.
    pub cancel_timeout_ms: u32,
    /// The most bytes of blocks that nobody asked for, beyond answers that may just be late. More cost the peer its
    /// link. Default 4 MiB, a pipeline of 250 requests.
    pub unrequested_bytes_max: u64,
    /// The most requests of the peer that wait. What comes beyond is rejected (BEP 6) or dropped. Default 512.
    pub requests_queued_max: u32,
    /// The longest block the peer may ask for, in bytes. A longer one costs it its link. Default 128 KiB.
    pub request_length_max: u32,
    /// The most bytes of blocks being loaded, loaded, or handed to the link and not yet written. What a stalled reader
    /// costs; too few starve a fast link. Default 256 KiB.
    pub upload_loaded_bytes_max: u64,
    /// The most bytes of messages other than PIECE that wait to be sent. A peer that lets more pile up loses its
    /// link; large optional messages are held back before that. One message alone may be longer. Default 128 KiB.
    pub outbox_bytes_max: usize,
    /// The most HAVE numbers kept before the metadata is known; what comes beyond is forgotten. Default 8192.
    pub early_haves_max: usize,
    /// The most pieces that a peer may allow us fast; further ones are passed over. Default 64.
    pub allowed_fast_max: usize,
    /// How often a choked peer may have its allowed-fast pieces. What it asks for beyond is rejected: else a few bytes
    /// would buy a block, again and again. Default 2, since a peer may lose one.
    pub allowed_fast_times_max: u32,
    /// Whether HAVE is left out for pieces that the peer has. Saves 9 bytes a piece; the peer then can't see that we
    /// become a seed. Default false.
    pub redundant_haves_left_out: bool,
    /// How long we may be silent before a keep-alive, in milliseconds. Default 120,000 (BEP 3).
    pub keep_alive_ms: u32,
    /// How long the peer may be silent, in milliseconds. Default 240,000.
    pub idle_timeout_ms: u32,
    /// How long a link may take nothing of what it was handed, in milliseconds. Default 60,000.
    pub write_timeout_ms: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            requests_outstanding_max: 512,
            requests_outstanding_bytes_max: 8 << 20,
            requests_initial: 8,
            requests_untold_max: 250,
            request_queue_ms: 300,
            request_timeout_ms: 60_000,
            snub_timeout_ms: 30_000,
            cancel_timeout_ms: 60_000,
            unrequested_bytes_max: 4 << 20,
            requests_queued_max: 512,
            request_length_max: 128 << 10,
            upload_loaded_bytes_max: 256 << 10,
            outbox_bytes_max: 128 << 10,
            early_haves_max: 8192,
            allowed_fast_max: 64,
            allowed_fast_times_max: 2,
            redundant_haves_left_out: false,
            keep_alive_ms: 120_000,
            idle_timeout_ms: 240_000,
            write_timeout_ms: 60_000,
        }
    }
}

/// Milliseconds as a duration.
pub(super) fn ms(n: u32) -> Duration {
    Duration::from_millis(u64::from(n))
}
