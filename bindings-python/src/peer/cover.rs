//! What hides the stream of a connection between peers (MSE), from the first byte to the key streams that are left: core's
//! lobby and its crypt, fed one after the other. It owns the bytes that the handshakes want written; not what they mean.

use super::rules::Broken;
use crate::room::seed;
use millstream_core::base::{Chunk, Rng};
use millstream_core::link::{Admission, Answer, LinkFault, Lobby, Next};
use millstream_core::mse::{self, Crypt, MseError};
use millstream_core::wire::InfoHash;
use millstream_core::wire::handshake::Handshake;
use millstream_core::wire::mse::{Level, Levels, VeiledHash};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What is over the stream, and what is to be written for it.
pub(super) struct Cover {
    client: bool,
    stage: Stage,
    /// To be written before anything else.
    waiting: Vec<u8>,
    level: Option<Level>,
}

enum Stage {
    /// We call, encrypted, and haven't yet.
    Uncalled(Levels, Rng),
    /// The handshakes are under way.
    Meeting(Box<Lobby>),
    /// They are over.
    Open(Option<Box<Crypt>>),
}

/// What came of bytes.
pub(super) enum Opened {
    /// More must come.
    Wait,
    /// The peer's handshake, and what came behind it.
    Whole(Handshake, Chunk),
    /// Bytes of the session.
    Data(Chunk),
}

impl From<LinkFault> for Broken {
    fn from(fault: LinkFault) -> Self {
        let reason = match fault {
            LinkFault::Handshake(_)
            | LinkFault::OtherTorrent
            | LinkFault::Encryption(MseError::UnknownTorrent) => "handshake",
            LinkFault::Plain | LinkFault::Encryption(_) => "encryption",
        };
        Self { message: fault.to_string(), reason }
    }
}

impl Cover {
    /// Of a side that calls or is called, as Python's arguments say.
    pub(super) fn new(
        client: bool,
        has_hashes: bool,
        encryption: &str,
        levels: Option<&Bound<'_, PyAny>>,
        chance: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (plain, usual) = match encryption {
            "off" => return Ok(Self::at(client, Stage::Meeting(Box::default()))),
            "prefer" => (true, Levels::BOTH),
            "require" => (false, Levels::only(Level::Rc4)),
            _ => {
                return Err(PyValueError::new_err(format!(
                    "encryption is off, prefer or require, not {encryption:?}"
                )));
            }
        };
        let levels = levels.map_or(Ok(usual), take_levels)?;
        let Some(chance) = chance else {
            return Err(PyValueError::new_err("encryption draws keys and padding: it needs a seed"));
        };
        if !has_hashes {
            return Err(PyValueError::new_err("who calls encrypted names no torrent in clear: info_hash"));
        }
        let rng = Rng::new(seed(chance)?);
        let stage = if client {
            Stage::Uncalled(levels, rng)
        } else {
            Stage::Meeting(Box::new(Lobby::called(Admission { plain, levels }, rng)))
        };
        Ok(Self::at(client, stage))
    }

    fn at(client: bool, stage: Stage) -> Self {
        Self { client, stage, waiting: Vec::new(), level: None }
    }

    /// The level of the stream, if it was hidden and that is agreed upon.
    pub(super) fn level(&self) -> Option<&'static str> {
        let level = match &self.stage {
            Stage::Meeting(lobby) => lobby.level(),
            Stage::Uncalled(..) | Stage::Open(_) => self.level,
        };
        level.map(name)
    }

    /// Whether we called encrypted and the other side hasn't agreed: it may not speak it at all.
    pub(super) fn is_unagreed(&self) -> bool {
        match &self.stage {
            Stage::Uncalled(..) => true,
            Stage::Meeting(lobby) => lobby.is_unagreed(),
            Stage::Open(_) => false,
        }
    }

    /// Our handshake: it waits to be written, or what hides it does.
    pub(super) fn greet(&mut self, hello: &Handshake) {
        let Stage::Uncalled(levels, rng) = &self.stage else {
            let hello = self.seal(hello.encode().to_vec());
            self.waiting = hello;
            return;
        };
        // it can't be otherwise: the room of encryption is built in
        let Some((lobby, answer)) = Lobby::calling(hello, *levels, rng.clone()) else { return };
        self.stage = Stage::Meeting(Box::new(lobby));
        // a call begins with an exchange of keys, which blames nobody
        let _ = self.follow(answer, &[], |_| Ok(()));
    }

    /// Bytes came. Of a handshake that isn't whole, `is_ours` judges the name of the torrent.
    pub(super) fn on_received(
        &mut self,
        data: Chunk,
        hashes: &[InfoHash],
        is_ours: impl Fn(InfoHash) -> Result<(), Broken>,
    ) -> Result<Opened, Broken> {
        match &mut self.stage {
            Stage::Open(None) => Ok(Opened::Data(data)),
            Stage::Open(Some(crypt)) => Ok(Opened::Data(crypt.decrypt(data))),
            Stage::Uncalled(..) if data.is_empty() => Ok(Opened::Wait),
            Stage::Uncalled(..) => Err(Broken {
                message: "the peer spoke before it was called".to_owned(),
                reason: "encryption",
            }),
            Stage::Meeting(lobby) => {
                let answer = lobby.on_received(data);
                self.follow(answer, hashes, is_ours)
            }
        }
    }

    /// Carries an answer on. An exchange of keys is done here and now: hundreds of microseconds, once for a connection.
    fn follow(
        &mut self,
        mut answer: Answer,
        hashes: &[InfoHash],
        is_ours: impl Fn(InfoHash) -> Result<(), Broken>,
    ) -> Result<Opened, Broken> {
        let Stage::Meeting(lobby) = &mut self.stage else { return Ok(Opened::Wait) };
        let prelude = loop {
            self.waiting.append(&mut answer.say);
            answer = match answer.then {
                Next::Wait => return Ok(Opened::Wait),
                Next::Exchange(job) => lobby.on_exchanged(&mse::exchange(&job)),
                Next::Named(name) => {
                    lobby.on_named(hashes.iter().copied().find(|&hash| VeiledHash::of(hash) == name))
                }
                Next::Known(prelude) => break prelude,
                Next::Fault(fault) => return Err(fault.into()),
            };
        };
        is_ours(prelude.info_hash)?;
        // who is called may serve several torrents; who calls is answered by one of its torrent's names (BEP 52)
        if !self.client && prelude.skey.is_some_and(|skey| skey != prelude.info_hash) {
            return Err(LinkFault::OtherTorrent.into());
        }
        let Some((handshake, rest)) = lobby.take_whole() else { return Ok(Opened::Wait) };
        self.level = lobby.level();
        let lobby = core::mem::take(&mut **lobby);
        self.stage = Stage::Open(lobby.into_crypt().filter(|crypt| !crypt.is_done()));
        Ok(Opened::Whole(handshake, rest))
    }

    /// What goes over the wire for these bytes: what waits, and then they, encrypted if they are to be.
    pub(super) fn seal(&mut self, data: Vec<u8>) -> Vec<u8> {
        let sealed = match &mut self.stage {
            Stage::Open(Some(crypt)) => crypt.encrypt(Chunk::from(data)),
            Stage::Meeting(lobby) => lobby.seal(Chunk::from(data)),
            Stage::Open(None) | Stage::Uncalled(..) if self.waiting.is_empty() => return data,
            Stage::Open(None) | Stage::Uncalled(..) => Chunk::from(data),
        };
        let mut out = core::mem::take(&mut self.waiting);
        out.extend_from_slice(&sealed);
        out
    }

    /// Whether bytes go out as they are.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && matches!(self.stage, Stage::Open(None))
    }

    /// What the handshakes want written.
    pub(super) fn take_waiting(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.waiting)
    }

    /// Nothing more is said: memory is given back.
    pub(super) fn end(&mut self) {
        *self = Self { level: self.level, ..Self::at(self.client, Stage::Open(None)) };
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Plain => "plaintext",
        Level::Rc4 => "rc4",
    }
}

fn take_levels(given: &Bound<'_, PyAny>) -> PyResult<Levels> {
    let mut levels = Levels::default();
    for told in given.try_iter()? {
        let told: String = told?.extract()?;
        let known = [Level::Plain, Level::Rc4].into_iter().find(|&level| name(level) == told);
        let known = known.ok_or_else(|| {
            PyValueError::new_err(format!("{told:?} is no level of encryption; there are plaintext and rc4"))
        })?;
        levels.0 |= Levels::only(known).0;
    }
    if levels == Levels::default() {
        return Err(PyValueError::new_err("encryption_levels: one at least"));
    }
    Ok(levels)
}
