//! The settings of uTP: plain data, a default for each, its consequence beside it. What they govern is in the other files.

/// Settings of all streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UtpConfig {
    /// Streams at once, both ways. One more call is refused, or not heard. Default 10,000.
    pub streams_max: usize,
    /// Calls of strangers that haven't proved their address, at once. One more lets the oldest be forgotten, so that a
    /// flood from false addresses costs little and honest calls that are quick get through. Default 256.
    pub backlog_max: usize,
    /// Bytes that a peer may send beyond what was read. It bounds the memory of a stream, and its rate over long paths.
    /// Default 1 MiB.
    pub window_bytes: u32,
    /// Bytes taken from the application ahead of sending, at most; less is taken while the path carries less. Default
    /// 256 KiB.
    pub unsent_bytes_max: usize,
    /// Bytes sent and not acknowledged at most, however much the other side says that it takes: they are kept, to be sent
    /// again. It bounds the memory of a stream, and its rate over long paths. Default 4 MiB.
    pub unacknowledged_bytes_max: u32,
    /// The largest datagram to try, headers of UDP and IP not counted. Larger than an Ethernet frame pays on the
    /// loopback and in networks with jumbo frames; it is only safe where the driver forbids fragments. Default 1,452.
    pub packet_bytes_max: usize,
    /// The delay that we may add to a path's queues. Less yields sooner, and fills a path with jitter less well.
    /// Default 100 ms.
    pub target_delay_ms: u32,
    /// Bytes by which the window grows in a round trip while there is no delay. Default 3,000.
    pub gain_bytes: u32,
    /// The shortest wait for an acknowledgement before packets are sent again. Default 500 ms.
    pub timeout_min_ms: u32,
    /// Waits in a row, each twice as long as the one before, after which a stream is dead. Default 7.
    pub timeouts_max: u32,
    /// The same for a call that nobody answers. Default 3.
    pub syn_timeouts_max: u32,
    /// How long an acknowledgement may wait for company. Longer saves packets and makes the other side's view of the
    /// path coarser. Default 20 ms.
    pub ack_delay_ms: u32,
    /// An idle stream says that it lives after so long, so that routers keep its path. Default 29 s.
    pub keep_alive_ms: u32,
    /// How long a stream that we closed waits for the end of its bytes to be acknowledged. Default 10 s.
    pub linger_ms: u32,
}

impl Default for UtpConfig {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            backlog_max: 256,
            window_bytes: 1 << 20,
            unsent_bytes_max: 256 << 10,
            unacknowledged_bytes_max: 4 << 20,
            packet_bytes_max: 1452,
            target_delay_ms: 100,
            gain_bytes: 3000,
            timeout_min_ms: 500,
            timeouts_max: 7,
            syn_timeouts_max: 3,
            ack_delay_ms: 20,
            keep_alive_ms: 29_000,
            linger_ms: 10_000,
        }
    }
}
