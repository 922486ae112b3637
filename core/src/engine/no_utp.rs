//! What stands in the place of links over uTP in a host that leaves them out: nothing comes, nothing goes.

use super::effect::{Datagrams, How};
use super::{Alarm, Engine};
use crate::base::{Chunk, ConnId, Instant, LocalId, Rng};
use crate::link::Dialed;
use crate::pool::Prospect;
use crate::torrent::Config;
use core::net::{IpAddr, SocketAddr};

#[derive(Debug)]
pub(super) struct UtpLinks;

impl UtpLinks {
    pub(super) fn new(_: &Config, _: Rng) -> Self {
        Self
    }
}

impl Engine {
    pub(super) fn on_utp_datagram(&mut self, _: Instant, _: Chunk) -> bool {
        false
    }

    pub(super) fn next_utp(&mut self, _: Instant, _: LocalId, _: usize) -> Option<Datagrams> {
        None
    }

    pub(super) fn on_utp_refused(&mut self, _: Instant, _: SocketAddr, _: usize) {}

    pub(super) fn on_utp_unbound(&mut self, _: Instant, _: LocalId) {}

    pub(super) fn on_utp_alarm(&mut self, _: Instant) {}

    pub(super) fn dial_utp(&mut self, _: Instant, _: (SocketAddr, Prospect), _: Dialed) -> bool {
        false
    }

    pub(super) fn hear_utp(&mut self, _: Instant) -> bool {
        false
    }

    pub(super) fn push_utp(&mut self, _: Instant, _: ConnId, _: u64) {}

    pub(super) fn close_utp(&mut self, _: Instant, _: ConnId, _: (u64, How)) {}

    pub(super) fn arm_utp(&mut self) {
        let UtpLinks = self.utp;
        self.timers.arm(Alarm::Utp, &mut None, None);
    }

    pub(super) fn arrival(_: LocalId, _: (SocketAddr, Option<IpAddr>), data: Chunk) -> Chunk {
        data
    }

    pub(super) fn learn_carrier(&mut self, _: Instant, _: ConnId) {}
}
