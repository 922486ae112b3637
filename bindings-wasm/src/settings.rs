//! Settings and options given by name, one at a time. An unknown name is a mistake.

use crate::fault::{addresses, value, whole};
use core::time::Duration;
use millstream_core::engine::{AddTorrent, Allocation, Config, Encryption, Selection, Source};
use millstream_core::wire::magnet::Magnet as CoreMagnet;
use millstream_core::wire::metainfo::Metainfo as CoreMetainfo;
use std::sync::Arc;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Settings of an engine.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Settings(pub(crate) Config);

#[wasm_bindgen]
impl Settings {
    /// The defaults.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        // A browser knows no way to speak to a router.
        Self(Config { port_mapping: false, ..Config::default() })
    }

    /// Sets what is a number. Times in milliseconds, rates in bytes a second.
    pub fn set(&mut self, name: &str, number: f64) -> Result<(), JsError> {
        let config = &mut self.0;
        let time =
            |ms: f64| Duration::try_from_secs_f64(ms / 1e3).map_err(|_| value(format_args!("{name}: {ms}")));
        let count = || whole(number);
        let size = || usize::try_from(count()?).map_err(|_| value(format_args!("{name}: too large")));
        let small = || u32::try_from(count()?).map_err(|_| value(format_args!("{name}: too large")));
        match name {
            "torrentsMax" => config.torrents_max = size()?,
            "linksMax" => config.links_max = size()?,
            "trackerSocketsMax" => config.tracker_sockets_max = size()?,
            "torrentLinksMax" => config.torrent_links_max = size()?,
            "halfOpenMax" => config.half_open_max = size()?,
            "handshakesMax" => config.handshakes_max = size()?,
            "handshakeTimeout" => config.handshake_timeout = time(number)?,
            "connectTimeout" => config.connect_timeout = time(number)?,
            "storeBytesMax" => config.store_bytes_max = size()?,
            "uploadAheadBytesMax" => config.upload_ahead_bytes_max = size()?,
            "requestsOutstandingMax" => config.requests_outstanding_max = size()?,
            "creditBytes" => config.credit_bytes = count()?,
            "uploadSlots" => config.upload_slots = Some(size()?),
            "downloadRate" => config.rates.download = Some(count()?),
            "uploadRate" => config.rates.upload = Some(count()?),
            "checkJobsMax" => config.check_jobs_max = size()?,
            "saveInterval" => config.save_interval = time(number)?,
            "eventsMax" => config.events_max = size()?,
            "numwant" => config.numwant = small()?,
            "metadataBytesMax" => config.metadata_bytes_max = size()?,
            "keyExchangesMax" => config.key_exchanges_max = size()?,
            _ => return Err(value(format_args!("there is no setting {name:?}"))),
        }
        Ok(())
    }
}

#[wasm_bindgen]
impl Settings {
    /// Sets what is one of several words.
    pub fn choose(&mut self, name: &str, word: &str) -> Result<(), JsError> {
        self.0.encryption = match (name, word) {
            ("encryption", "off") => Encryption::Off,
            ("encryption", "prefer") => Encryption::Prefer,
            ("encryption", "require") => Encryption::Require,
            _ => return Err(value(format_args!("there is no setting {name:?} with the value {word:?}"))),
        };
        Ok(())
    }
}

/// A torrent to take on.
#[wasm_bindgen]
#[derive(Debug)]
pub struct AddOptions(pub(crate) AddTorrent);

#[wasm_bindgen]
impl AddOptions {
    /// From a torrent file's bytes.
    #[wasm_bindgen(js_name = fromMetainfo)]
    pub fn from_metainfo(torrent: &[u8], folder: &str) -> Result<Self, JsError> {
        let parsed = CoreMetainfo::parse(torrent).map_err(|error| crate::fault::fault("metainfo", error))?;
        Ok(Self(AddTorrent::new(Source::Metainfo(Arc::new(parsed)), folder)))
    }

    /// From a magnet link.
    #[wasm_bindgen(js_name = fromMagnet)]
    pub fn from_magnet(link: &str, folder: &str) -> Result<Self, JsError> {
        let parsed = CoreMagnet::parse(link).map_err(|error| crate::fault::fault("magnet", error))?;
        Ok(Self(AddTorrent::new(Source::Magnet(Arc::new(parsed)), folder)))
    }

    /// Peers to begin with, as `10.0.0.1:6881` or `[::1]:6881`.
    pub fn peers(&mut self, peers: Vec<String>) -> Result<(), JsError> {
        self.0.peers = addresses(&peers)?;
        Ok(())
    }

    /// Resume data that was saved.
    pub fn resume(&mut self, data: Vec<u8>) {
        self.0.resume = Some(data);
    }

    /// Which files are wanted, counted among real files.
    pub fn files(&mut self, files: Vec<u32>) {
        self.0.selection = Some(Selection::Files(files));
    }

    /// Sets what is yes or no.
    pub fn set(&mut self, name: &str, on: bool) -> Result<(), JsError> {
        match name {
            "onlyPeers" => self.0.only_peers = on,
            "paused" => self.0.paused = on,
            "sequential" => self.0.sequential = on,
            "superSeed" => self.0.super_seed = on,
            _ => return Err(value(format_args!("there is no option {name:?}"))),
        }
        Ok(())
    }

    /// How space is set aside: `sparse`, `full` or `none`.
    pub fn allocation(&mut self, name: &str) -> Result<(), JsError> {
        self.0.allocation = match name {
            "sparse" => Allocation::Sparse,
            "full" => Allocation::Full,
            "none" => Allocation::None,
            _ => return Err(value(format_args!("{name:?} is no allocation"))),
        };
        Ok(())
    }
}
