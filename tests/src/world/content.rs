//! Made-up torrents: files of drawn bytes, and the metainfo that belongs to them. It stores nothing and sends nothing.

use millstream_core::base::{BLOCK, Digests, Part, PieceIndex, Rng, Want};
use millstream_core::create::{CreateFile, CreateOptions, Plan};
use millstream_core::torrent::Source;
use millstream_core::wire::magnet::Magnet;
use millstream_core::wire::merkle;
use millstream_core::wire::metainfo::{Info, Metainfo, Version};
use sha1::{Digest as _, Sha1};
use std::sync::Arc;

/// A torrent with all its bytes.
#[derive(Clone, Debug)]
pub struct Content {
    /// The torrent file, read.
    pub metainfo: Arc<Metainfo>,
    /// The torrent file.
    pub torrent: Vec<u8>,
    /// Each real file: its storage path joined by `/`, and its bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Content {
    /// A one-file v1 torrent of `length` bytes in 32 KiB pieces.
    pub fn v1(seed: u8, length: u64) -> Self {
        Self::of(seed, options(Version::V1, &[("data", length)], 32 << 10))
    }

    /// A torrent of the version, of these files, in pieces of this many bytes.
    pub fn new(seed: u8, version: Version, files: &[(&str, u64)], piece_length: u32) -> Self {
        Self::of(seed, options(version, files, piece_length))
    }

    /// A torrent as the options say; its bytes are drawn from `seed`.
    pub fn of(seed: u8, options: CreateOptions) -> Self {
        let name = options.name.clone();
        let mut plan = Plan::new(options).expect("the story's options make a torrent");
        let rng = Rng::new([seed; 32]);
        let bytes: Vec<(Vec<String>, Vec<u8>)> = plan
            .files()
            .enumerate()
            .map(|(n, (path, length))| {
                let mut bytes = vec![0; length as usize];
                rng.fork_at("file", n as u64).fill(&mut bytes);
                (path.to_vec(), bytes)
            })
            .collect();
        while let Some(job) = plan.next_job() {
            let parts: Vec<&[u8]> = job
                .extents
                .iter()
                .map(|e| &bytes[e.file as usize].1[e.offset as usize..][..e.length as usize])
                .collect();
            let data = parts.concat();
            plan.on_digests(job.piece, &digests(&data, job.pad, job.want)).expect("digests as asked for");
        }
        let torrent = plan.finish().expect("all is hashed");
        let metainfo = Arc::new(Metainfo::parse(&torrent).expect("what we make we can read"));
        let path = |path: &[String]| [core::slice::from_ref(&name), path].concat().join("/");
        let single = !metainfo.info.is_multi_file();
        let files = bytes
            .into_iter()
            .map(|(own, bytes)| (if single { name.clone() } else { path(&own) }, bytes))
            .collect();
        Self { metainfo, torrent, files }
    }

    /// What to add it from.
    pub fn source(&self) -> Source {
        Source::Metainfo(Arc::clone(&self.metainfo))
    }

    /// A magnet link to it, with these hashes.
    pub fn magnet(&self, v1: bool, v2: bool) -> Magnet {
        Magnet {
            info_hash: self.info().info_hash().filter(|_| v1),
            info_hash_v2: self.info().info_hash_v2().filter(|_| v2),
            ..Magnet::default()
        }
    }

    /// Its info dictionary.
    pub fn info(&self) -> &Info {
        &self.metainfo.info
    }

    /// Bytes of all real files.
    pub fn length(&self) -> u64 {
        self.info().length()
    }

    /// The bytes of a block.
    pub fn block(&self, piece: PieceIndex, begin: u32, length: u32) -> Vec<u8> {
        let start = self.info().geometry().start(piece) + u64::from(begin);
        let mut out = Vec::new();
        for part in self.info().extents(start, length) {
            match part {
                Part::Pad(n) => out.extend(core::iter::repeat_n(0, n as usize)),
                Part::Stored(extent) => {
                    let file = &self.info().files()[extent.file as usize];
                    let path = self.info().storage_path(file).collect::<Vec<_>>().join("/");
                    let (_, bytes) =
                        self.files.iter().find(|(p, _)| *p == path).expect("every file has bytes");
                    out.extend_from_slice(&bytes[extent.offset as usize..][..extent.length as usize]);
                }
            }
        }
        out
    }
}

/// Options for a folder of these files, or for one file if there is but one.
pub fn options(version: Version, files: &[(&str, u64)], piece_length: u32) -> CreateOptions {
    let single = files.len() == 1;
    let created = files
        .iter()
        .map(|(path, length)| CreateFile {
            path: path.split('/').map(Into::into).collect(),
            length: *length,
            ..CreateFile::default()
        })
        .collect();
    let name = if single { files[0].0 } else { "story" };
    let options = CreateOptions::new(name, created);
    CreateOptions { multi_file: !single, piece_length: Some(piece_length), version, ..options }
}

/// The digests of one run of bytes.
pub fn digests(data: &[u8], pad: u32, want: Want) -> Digests {
    let sha1 = want.sha1.then(|| {
        let mut hash = Sha1::new();
        hash.update(data);
        hash.update(vec![0; pad as usize]);
        hash.finalize().into()
    });
    let leaves =
        if want.leaves { data.chunks(BLOCK as usize).map(merkle::leaf).collect() } else { Vec::new() };
    Digests { sha1, leaves }
}
