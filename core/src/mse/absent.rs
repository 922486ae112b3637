//! The room as a host has it that left it out: its machines are never made, so that whoever carries them has nothing to
//! ask of the build.

use super::Step;
use crate::base::{Chunk, Rng};
use crate::wire::InfoHash;
use crate::wire::mse::{Exchanged, KeyExchange, Level, Levels};
use alloc::vec::Vec;

/// The side that opened the link: there is none.
#[derive(Debug)]
pub enum Initiator {}

/// The side that was called: there is none.
#[derive(Debug)]
pub enum Responder {}

/// What a handshake leaves behind: there is none.
#[derive(Debug)]
pub enum Crypt {}

/// Nobody asks.
pub fn exchange(_job: &KeyExchange) -> Exchanged {
    Exchanged::default()
}

/// No handshake begins.
pub fn call(_skey: InfoHash, _offered: Levels, _initial: Vec<u8>, _rng: Rng) -> Option<(Initiator, Step)> {
    None
}

/// No handshake is answered.
pub fn answer(_accepted: Levels, _rng: Rng) -> Option<Responder> {
    None
}

impl Initiator {
    /// Never.
    pub fn on_received(&mut self, _data: &[u8]) -> Step {
        match *self {}
    }

    /// Never.
    pub fn on_exchanged(&mut self, _exchanged: &Exchanged) -> Step {
        match *self {}
    }
}

impl Responder {
    /// Never.
    pub fn on_received(&mut self, _data: &[u8]) -> Step {
        match *self {}
    }

    /// Never.
    pub fn on_exchanged(&mut self, _exchanged: &Exchanged) -> Step {
        match *self {}
    }

    /// Never.
    pub fn on_named(&mut self, _skey: Option<InfoHash>) -> Step {
        match *self {}
    }
}

impl Crypt {
    /// Never.
    pub fn level(&self) -> Level {
        match *self {}
    }

    /// Never.
    pub fn is_done(&self) -> bool {
        match *self {}
    }

    /// Never.
    #[must_use]
    pub fn decrypt(&mut self, _data: Chunk) -> Chunk {
        match *self {}
    }

    /// Never.
    #[must_use]
    pub fn encrypt(&mut self, _data: Chunk) -> Chunk {
        match *self {}
    }
}
