//! Torrent files and magnet links, read.

use crate::events::hex;
use crate::fault::{fault, number};
use millstream_core::wire;
use millstream_core::wire::metainfo::{Info, Version};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// A torrent file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Metainfo(wire::metainfo::Metainfo);

#[wasm_bindgen]
impl Metainfo {
    /// Reads a torrent file.
    pub fn parse(torrent: &[u8]) -> Result<Self, JsError> {
        wire::metainfo::Metainfo::parse(torrent).map(Self).map_err(|error| fault("metainfo", error))
    }

    /// The torrent's name, safe as a path's component.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.info().name().to_owned()
    }

    /// `v1`, `v2` or `hybrid`.
    #[wasm_bindgen(getter)]
    pub fn version(&self) -> String {
        let name = match self.info().version() {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::Hybrid => "hybrid",
        };
        name.to_owned()
    }

    /// The v1 info-hash in hex.
    #[wasm_bindgen(getter, js_name = infoHashV1)]
    pub fn info_hash_v1(&self) -> Option<String> {
        self.info().info_hash().map(|hash| hex(&hash.0))
    }

    /// The v2 info-hash in hex (BEP 52).
    #[wasm_bindgen(getter, js_name = infoHashV2)]
    pub fn info_hash_v2(&self) -> Option<String> {
        self.info().info_hash_v2().map(|hash| hex(&hash.0))
    }

    /// Bytes of all real files.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> f64 {
        number(self.info().length())
    }

    /// Bytes of a piece.
    #[wasm_bindgen(getter, js_name = pieceLength)]
    pub fn piece_length(&self) -> u32 {
        self.info().geometry().piece_length()
    }

    /// How many pieces there are.
    #[wasm_bindgen(getter)]
    pub fn pieces(&self) -> u32 {
        self.info().geometry().pieces()
    }

    /// The real files' paths, components joined by slashes.
    #[wasm_bindgen(getter)]
    pub fn paths(&self) -> Vec<String> {
        self.info().real_files().map(|(_, file)| file.path.join("/")).collect()
    }

    /// The real files' lengths.
    #[wasm_bindgen(getter)]
    pub fn lengths(&self) -> Vec<f64> {
        self.info().real_files().map(|(_, file)| number(file.length)).collect()
    }
}

impl Metainfo {
    fn info(&self) -> &Info {
        &self.0.info
    }
}

/// A magnet link.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Magnet(wire::magnet::Magnet);

#[wasm_bindgen]
impl Magnet {
    /// Reads a link.
    pub fn parse(link: &str) -> Result<Self, JsError> {
        wire::magnet::Magnet::parse(link).map(Self).map_err(|error| fault("magnet", error))
    }

    /// The v1 info-hash in hex.
    #[wasm_bindgen(getter, js_name = infoHashV1)]
    pub fn info_hash_v1(&self) -> Option<String> {
        self.0.info_hash.map(|hash| hex(&hash.0))
    }

    /// The v2 info-hash in hex (BEP 52).
    #[wasm_bindgen(getter, js_name = infoHashV2)]
    pub fn info_hash_v2(&self) -> Option<String> {
        self.0.info_hash_v2.map(|hash| hex(&hash.0))
    }

    /// The name to show until the metadata is there. Not safe as a path.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> Option<String> {
        self.0.name.clone()
    }

    /// Trackers, each a tier of its own.
    #[wasm_bindgen(getter)]
    pub fn trackers(&self) -> Vec<String> {
        self.0.trackers.clone()
    }
}
