//! How kind a world is: delays, rates, losses, sizes. Plain data; what happens is drawn from the world's seed.

use core::time::Duration;

/// When effects are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// After each input.
    EachInput,
    /// After all inputs of a moment.
    AfterAll,
}

/// The conditions that a world's hosts live in. Ranges are drawn from anew each time.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// One way, for each link. Microseconds, least and most.
    pub latency_us: (u64, u64),
    /// Bytes a second that each host can send; `None` is no bound.
    pub uplink: Option<u64>,
    /// Bytes a link may have under way and unread.
    pub window_bytes: usize,
    /// Bytes of one read, least and most; small ones are as likely as large ones.
    pub read_bytes: (u64, u64),
    /// Bytes that a read may take beyond the credit: one read of overrun is forgiven.
    pub overrun_bytes: usize,
    /// Packets that come late because their first copy was lost, of a thousand.
    pub losses_per_mille: u64,
    /// Packets on whose way the link breaks, of a million.
    pub cuts_per_million: u64,
    /// Datagrams that never come, of a thousand.
    pub datagram_losses_per_mille: u64,
    /// How long a job takes. Microseconds, least and most.
    pub job_us: (u64, u64),
    /// Plain reads that are answered `Stored`, of a thousand.
    pub stored_per_mille: u64,
    /// Reads and writes that fail though nothing is wrong with the disk, of a thousand.
    pub faults_per_mille: u64,
    /// When effects are taken.
    pub drain: Drain,
}

impl Weather {
    /// Nothing takes time and nothing goes wrong.
    pub fn calm() -> Self {
        Self {
            latency_us: (0, 0),
            uplink: None,
            window_bytes: 256 << 10,
            read_bytes: (64 << 10, 64 << 10),
            overrun_bytes: 0,
            losses_per_mille: 0,
            cuts_per_million: 0,
            datagram_losses_per_mille: 0,
            job_us: (0, 0),
            stored_per_mille: 500,
            faults_per_mille: 0,
            drain: Drain::AfterAll,
        }
    }

    /// A fair connection: delays and a bound on what is sent, no losses.
    pub fn fair(uplink: u64) -> Self {
        Self { latency_us: (5_000, 60_000), uplink: Some(uplink), job_us: (50, 3_000), ..Self::calm() }
    }

    /// Late packets, broken links, reads of any size, slow and moody jobs.
    pub fn rough() -> Self {
        Self {
            latency_us: (500, 150_000),
            uplink: Some(400_000),
            window_bytes: 96 << 10,
            read_bytes: (1, 64 << 10),
            overrun_bytes: 0,
            losses_per_mille: 20,
            cuts_per_million: 1_500,
            datagram_losses_per_mille: 200,
            job_us: (10, 60_000),
            stored_per_mille: 300,
            faults_per_mille: 0,
            drain: Drain::EachInput,
        }
    }

    /// The same with this latency, one way, on every link.
    #[must_use]
    pub fn with_latency(self, one_way: Duration) -> Self {
        let us = one_way.as_micros() as u64;
        Self { latency_us: (us, us), ..self }
    }
}
