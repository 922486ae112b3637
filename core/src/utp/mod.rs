//! uTP (BEP 29): byte streams out of datagrams, with LEDBAT, which yields to everything else on the path. One
//! [`Sockets`] owns all streams of a process; it opens no socket, reads no clock and knows nothing of what the streams
//! carry.
//!
//! Facts go in by `on_datagram`, `on_datagram_refused` and `on_timeout`; packets come out by `next_packets`, put together
//! in that moment, news by `next_event`, and strangers' streams by `accept`.
//!
//! | file | owns |
//! |---|---|
//! | `sockets` | all streams, by name and by slot; calls taken and made |
//! | `stream` | the states of one |
//! | `build` | what leaves it |
//! | `outgoing`, `incoming` | its two halves: what is under way, what waits to be read |
//! | `ledbat`, `delay` | how much may be under way, and the delays that decide it |
//! | `rtt`, `mtu` | how long to wait, how large a packet may be |

mod build;
mod config;
mod delay;
mod incoming;
mod ledbat;
mod mtu;
mod outgoing;
mod rtt;
mod seq;
mod sockets;
mod stream;
#[cfg(test)]
mod tests;

pub use config::UtpConfig;
pub use sockets::{Arrival, IncomingStream, Packets, Sockets, StreamId, UtpEvent};
pub use stream::CloseReason;
