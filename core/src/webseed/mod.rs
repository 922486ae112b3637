//! One web seed of one torrent (BEP 19): which URL and which range of it comes next, what its answers mean, and the
//! blocks that its bodies are made of. Which pieces it is asked for is the picker's, digests are verify's, sockets and
//! the bytes of HTTP are the driver's.
//!
//! A web seed works on a run: pieces in a row that nobody else is at. The run is asked for in requests as long as the
//! files allow, while blocks are asked of the picker a window ahead of what was read, and no byte is read beyond them.
//! So a long body streams without a pause, memory stays bounded, and others may still take what lies ahead.
//!
//! | file | owns |
//! |---|---|
//! | `seed` | the conversation: runs, requests, what is asked and told |
//! | `seed/outcome` | what becomes of requests; failures and pauses |
//! | `cut` | a body's bytes into blocks |
//! | `answer` | what the head of an answer means |

mod answer;
mod cut;
mod seed;
#[cfg(test)]
mod tests;

pub use seed::{Fact, WebSeed, WebSeedState, WebSeedView};

use core::time::Duration;
use thiserror::Error;

/// Limits of a web seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSeedConfig {
    /// Web seeds of one torrent; more are left out. Default 32.
    pub web_seeds_max: usize,
    /// Bytes of pieces in a row that one run is for. Default 64 MiB. Larger means fewer requests, and more of the torrent
    /// that several web seeds don't share out.
    pub run_bytes_max: u64,
    /// Bytes of blocks asked of one web seed at a time. Default 1 MiB. More of it can't be asked of others meanwhile; less
    /// has its link wait for us.
    pub window_bytes_max: u64,
    /// Bytes of a body that are read and thrown away in one request, where a server ignores ranges, or others had a part
    /// of the run. Default 16 MiB. What lies deeper in a file of such a server can't be had of it.
    pub skip_bytes_max: u64,
    /// Bytes thrown away between two wanted blocks rather than asking anew, where the server knows ranges. Default
    /// 128 KiB.
    pub gap_bytes_max: u64,
    /// Bytes that may come beyond what may be read. Default 1 MiB: one read of a driver. More costs the link.
    pub overrun_bytes_max: u64,
    /// Redirects followed. Default 5.
    pub redirects_max: u32,
    /// How long an answer may take to begin, redirects included. Default 30 s.
    pub answer_timeout: Duration,
    /// How long a body may pause. Default 30 s.
    pub idle_timeout: Duration,
    /// A server that sends less is slow: others may be asked for what it is asked for. Bytes a second, default 8 KiB.
    pub slow_bytes_per_second_min: u64,
    /// How long it may be so slow. Default 10 s.
    pub slow_after: Duration,
    /// The pause after a failure, doubled with each in a row, and up to a quarter more by chance. Default 5 s.
    pub retry_first: Duration,
    /// The longest of these pauses, and the longest that a server may ask for. Default 15 min.
    pub retry_max: Duration,
    /// So many pieces that failed by its fault, and it is never asked again. Default 3.
    pub bad_pieces_max: u32,
}

impl Default for WebSeedConfig {
    fn default() -> Self {
        Self {
            web_seeds_max: 32,
            run_bytes_max: 64 << 20,
            window_bytes_max: 1 << 20,
            skip_bytes_max: 16 << 20,
            gap_bytes_max: 128 << 10,
            overrun_bytes_max: 1 << 20,
            redirects_max: 5,
            answer_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            slow_bytes_per_second_min: 8 << 10,
            slow_after: Duration::from_secs(10),
            retry_first: Duration::from_secs(5),
            retry_max: Duration::from_secs(900),
            bad_pieces_max: 3,
        }
    }
}

/// What is wrong with a web seed: its server is to blame, or the way there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebSeedError {
    /// Neither http nor https.
    #[error("only http and https URLs can be asked")]
    Url,
    /// The answer says no.
    #[error("the server answers {0}")]
    Status(u16),
    /// A file isn't there (404, 410), or it is kept from us.
    #[error("the server answers {0}: it doesn't have this file")]
    Missing(u16),
    /// A file isn't as long there as in the torrent.
    #[error("the file has another length there")]
    Length,
    /// The whole file comes, whatever is asked for, and what is wanted lies too deep in it.
    #[error("the server ignores ranges")]
    NoRanges,
    /// Another range than the one that was asked for.
    #[error("the server sends another range than it was asked for")]
    WrongRange,
    /// The body ended early.
    #[error("the answer ended early")]
    Short,
    /// More came than may be read, or than is of use.
    #[error("the server sends too much that is of no use")]
    TooMuch,
    /// No answer in time.
    #[error("the server doesn't answer")]
    NoAnswer,
    /// The body paused for too long.
    #[error("the server stopped sending")]
    Stalled,
    /// Pieces from it failed their digests.
    #[error("the server sent data that fails its digest")]
    BadData,
    /// The link failed, or couldn't be opened.
    #[error("{0}")]
    Link(alloc::boxed::Box<str>),
}
