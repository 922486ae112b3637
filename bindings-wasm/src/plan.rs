//! Torrents in the making.

use crate::fault::{fault, number, value, whole};
use crate::outcomes::digests;
use millstream_core::create::{CreateFile, CreateOptions, Plan as CorePlan};
use millstream_core::wire::metainfo::Version;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// A torrent in the making: it says what to digest, takes the digests in any order, and ends in a torrent file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Plan(CorePlan);

#[wasm_bindgen]
impl Plan {
    /// A plan for files with these paths (components joined by slashes) and lengths in a folder `name`; or, if the
    /// one path is empty, for one file `name`. A piece length of 0 is the default.
    #[wasm_bindgen(constructor)]
    pub fn new(
        name: &str,
        paths: Vec<String>,
        lengths: Vec<f64>,
        version: &str,
        piece_length: u32,
    ) -> Result<Self, JsError> {
        if paths.len() != lengths.len() {
            return Err(value("as many paths as lengths are needed"));
        }
        let single = paths.len() == 1 && paths.iter().all(String::is_empty);
        let mut files = Vec::new();
        for (path, length) in paths.iter().zip(lengths) {
            let path =
                if single { vec![name.to_owned()] } else { path.split('/').map(str::to_owned).collect() };
            files.push(CreateFile { path, length: whole(length)?, ..CreateFile::default() });
        }
        let mut options = CreateOptions::new(name, files);
        options.multi_file = !single;
        options.piece_length = (piece_length > 0).then_some(piece_length);
        options.version = match version {
            "v1" => Version::V1,
            "v2" => Version::V2,
            "hybrid" => Version::Hybrid,
            _ => return Err(value(format_args!("{version:?} is no version; there are v1, v2 and hybrid"))),
        };
        CorePlan::new(options).map(Self).map_err(|error| fault("create", error))
    }

    /// The files' paths in the torrent's order, components joined by slashes.
    #[wasm_bindgen(getter)]
    pub fn paths(&self) -> Vec<String> {
        self.0.files().map(|(path, _)| path.join("/")).collect()
    }

    /// The next piece to digest: piece, pad, whether SHA-1, whether leaves; then file, offset, length of each extent.
    #[wasm_bindgen(js_name = nextJob)]
    pub fn next_job(&mut self) -> Option<Vec<f64>> {
        let job = self.0.next_job()?;
        let flag = |on| f64::from(u8::from(on));
        let mut flat =
            vec![f64::from(job.piece), f64::from(job.pad), flag(job.want.sha1), flag(job.want.leaves)];
        for extent in job.extents {
            flat.extend([f64::from(extent.file), number(extent.offset), f64::from(extent.length)]);
        }
        Some(flat)
    }

    /// The digests of a piece, in any order: 20 bytes or none, and 32 bytes for each leaf.
    #[wasm_bindgen(js_name = onDigests)]
    pub fn on_digests(&mut self, piece: u32, sha1: &[u8], leaves: &[u8]) -> Result<(), JsError> {
        self.0.on_digests(piece, &digests(sha1, leaves)?).map_err(|error| fault("create", error))
    }

    /// The torrent file. The plan is used up.
    pub fn finish(self) -> Result<Vec<u8>, JsError> {
        self.0.finish().map_err(|error| fault("create", error))
    }
}
