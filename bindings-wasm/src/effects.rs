//! Effects laid flat: a kind, numbers, texts and bytes. `js/engine.mjs` reads them in the same order.

use crate::fault::{milliseconds, number};
use millstream_core::base::{Chunk, Extent, Instant, Part, Want};
use millstream_core::engine::{Allocation, Effect, Endpoint, FileSpec, FilesOp, How, Work};

/// An effect on its way out.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    pub(crate) kind: &'static str,
    pub(crate) numbers: Vec<f64>,
    pub(crate) texts: Vec<String>,
    pub(crate) data: Vec<u8>,
}

impl Flat {
    /// The effect laid flat.
    pub(crate) fn of(effect: Effect) -> Self {
        let plain = |kind, numbers| Self { kind, numbers, ..Self::default() };
        match effect {
            Effect::Connect { conn, to, route: _ } => Self::connect(number(conn.0), to),
            Effect::Close { conn, how } => plain("close", vec![number(conn.0), flag(how == How::Flush)]),
            Effect::Interest { conn, read_until, write } => {
                plain("interest", vec![number(conn.0), number(read_until), flag(write)])
            }
            Effect::DatagramsReady { local } => plain("datagrams", vec![number(local.0)]),
            Effect::Cancel { job } => plain("cancel", vec![number(job.0)]),
            Effect::Job { job, work } => Self::work(number(job.0), work),
        }
    }

    fn connect(conn: f64, to: Endpoint) -> Self {
        let plain = |kind, text, numbers| Self { kind, numbers, texts: vec![text], ..Self::default() };
        match to {
            Endpoint::Tcp(addr) => plain("connect", addr.to_string(), vec![conn]),
            Endpoint::Http(request) => {
                let mut numbers = vec![conn, f64::from(request.redirects_max)];
                numbers.extend(request.range.iter().flat_map(|&(first, last)| [number(first), number(last)]));
                plain("connectHttp", request.url, numbers)
            }
            Endpoint::WebSocket(url) => plain("connectWebSocket", url, vec![conn]),
        }
    }

    fn work(job: f64, work: Work) -> Self {
        let plain = |kind, numbers| Self { kind, numbers, ..Self::default() };
        match work {
            Work::Files { torrent, op: FilesOp::Open { folder, files, allocation } } => {
                let mut flat = plain("filesOpen", vec![job, number(torrent.0)]);
                flat.texts = vec![String::from(&*folder), self::allocation(allocation).to_owned()];
                files.iter().for_each(|file| flat.file(file));
                flat
            }
            Work::Files { torrent, op: FilesOp::Sync } => plain("filesSync", vec![job, number(torrent.0)]),
            Work::Files { torrent, op: FilesOp::Close } => plain("filesClose", vec![job, number(torrent.0)]),
            Work::Read { torrent, parts, plain: _ } => {
                let mut flat = plain("read", vec![job, number(torrent.0)]);
                parts.into_iter().for_each(|part| flat.part(part));
                flat
            }
            Work::Write { torrent, extents, data } => {
                let mut flat = plain("write", vec![job, number(torrent.0)]);
                extents.into_iter().for_each(|extent| flat.extent(extent));
                Self { data: joined(&data), ..flat }
            }
            Work::Hash { data, pad, want } => {
                let flat = plain("hash", vec![job, f64::from(pad), flag(want.sha1), flag(want.leaves)]);
                Self { data: joined(&data), ..flat }
            }
            Work::HashStored { torrent, parts, pad, want: Want { sha1, leaves } } => {
                let numbers = vec![job, number(torrent.0), f64::from(pad), flag(sha1), flag(leaves)];
                let mut flat = plain("hashStored", numbers);
                parts.into_iter().for_each(|part| flat.part(part));
                flat
            }
            Work::Save { torrent, data } => Self { data, ..plain("save", vec![job, number(torrent.0)]) },
            Work::Http { url, bytes_max, redirects_max, timeout, route: _ } => {
                let timeout = milliseconds(Instant::ZERO + timeout);
                let numbers = vec![job, bytes_max as f64, f64::from(redirects_max), timeout];
                Self { texts: vec![url], ..plain("http", numbers) }
            }
            Work::Exchange(asked) => {
                let theirs = asked.theirs.as_ref().map_or(&[][..], |key| &key.0);
                let data = [&asked.private.0, theirs].concat();
                Self { data, ..plain("exchange", vec![job, flag(asked.public)]) }
            }
            Work::Resolve { host, port, route: _ } => {
                Self { texts: vec![host], ..plain("resolve", vec![job, f64::from(port)]) }
            }
            // Never asked for: it is off in the settings of such an engine.
            Work::MapPort { .. } => plain("mapPort", vec![job]),
        }
    }

    /// Length and flags; path and link target, their components joined by slashes (none has one).
    fn file(&mut self, file: &FileSpec) {
        let flags = u8::from(file.pad)
            | u8::from(file.executable) << 1
            | u8::from(file.symlink.is_some()) << 2
            | u8::from(file.wanted) << 3;
        self.numbers.extend([number(file.length), f64::from(flags)]);
        self.texts.push(file.path.join("/"));
        self.texts.push(file.symlink.as_ref().map_or_else(String::new, |to| to.join("/")));
    }

    fn extent(&mut self, extent: Extent) {
        self.numbers.extend([f64::from(extent.file), number(extent.offset), f64::from(extent.length)]);
    }

    /// A pad stands as file -1.
    fn part(&mut self, part: Part) {
        match part {
            Part::Stored(extent) => self.extent(extent),
            Part::Pad(length) => self.numbers.extend([-1.0, 0.0, f64::from(length)]),
        }
    }
}

fn allocation(allocation: Allocation) -> &'static str {
    match allocation {
        Allocation::Sparse => "sparse",
        Allocation::Full => "full",
        Allocation::None => "none",
    }
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn joined(chunks: &[Chunk]) -> Vec<u8> {
    let mut data = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    chunks.iter().for_each(|chunk| data.extend_from_slice(chunk));
    data
}
