//! Torrent files: v1, v2 and hybrid, read and written (BEP 3, 12, 19, 27, 35, 38, 39, 47, 52). It owns what a torrent says;
//! what is done about it (files, trackers, trees) is of the rooms above.

mod build;
mod error;
mod info;
mod list;
mod parse;
mod signature;

pub use build::{FileEntry, InfoBuilder, MetainfoBuilder, Placement};
pub use error::{FileFault, MetainfoError, MetainfoLimits};
pub use info::{Attributes, Extents, File, Info, Version};
pub use signature::{Signature, with_signature};

use crate::wire::bencode::{Dict, Value};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use parse::lossy;

/// A torrent file. What is optional and of the wrong type is treated as missing.
#[derive(Clone, Debug)]
pub struct Metainfo {
    /// What the torrent is, with its piece layers.
    pub info: Info,
    /// Trackers in tiers: `announce-list` if it has any, else `announce` (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (`url-list`, BEP 19).
    pub web_seeds: Vec<String>,
    /// DHT nodes: host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// Free text.
    pub comment: Option<String>,
    /// Which program made it.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
    /// Who vouches for it (BEP 35). Nobody has looked at whether they do.
    pub signatures: Vec<Signature>,
}

impl Metainfo {
    /// Reads a torrent file.
    pub fn parse(torrent: &[u8]) -> Result<Self, MetainfoError> {
        Self::parse_within(torrent, &MetainfoLimits::default())
    }

    /// Reads a torrent file within other limits.
    pub fn parse_within(torrent: &[u8], limits: &MetainfoLimits) -> Result<Self, MetainfoError> {
        let document = parse::document(torrent, limits)?;
        let outer = document.dict()?;
        let mut info = Info::from_dict(outer.dict("info")?, limits)?;
        if info.version().has_v2() {
            let layers = outer.dict_opt("piece layers")?;
            let entries = layers.into_iter().flat_map(Dict::iter);
            let strings = entries.filter_map(|(root, layer)| Some((root, layer.as_bytes()?)));
            info.take_layers(&strings.collect::<BTreeMap<_, _>>())?;
        }
        info.take_hints(outer);
        let text = |key: &[u8]| outer.get(key).and_then(Value::as_bytes).map(lossy);
        Ok(Self {
            info,
            trackers: trackers(outer, limits.urls_max),
            web_seeds: web_seeds(outer, limits.urls_max),
            nodes: nodes(outer, limits.urls_max),
            comment: text(b"comment.utf-8").or_else(|| text(b"comment")),
            created_by: text(b"created by"),
            creation_date: outer.get(b"creation date").and_then(Value::as_int),
            signatures: signature::signatures(outer),
        })
    }
}

/// A URL worth keeping.
fn url(value: Value<'_, '_>) -> Option<String> {
    value.as_str().map(str::trim).filter(|url| !url.is_empty()).map(ToOwned::to_owned)
}

fn trackers(outer: Dict<'_, '_>, max: usize) -> Vec<Vec<String>> {
    let mut left = max;
    let mut tiers = Vec::new();
    for tier in outer.get(b"announce-list").and_then(Value::as_list).into_iter().flatten() {
        // some creators write a URL where a tier belongs
        let urls = tier.as_list().into_iter().flatten().chain(tier.as_bytes().map(|_| tier));
        let tier: Vec<String> = urls.filter_map(url).take(left).collect();
        left -= tier.len();
        if !tier.is_empty() {
            tiers.push(tier);
        }
    }
    if tiers.is_empty() {
        tiers.extend(outer.get(b"announce").and_then(url).map(|url| alloc::vec![url]));
    }
    tiers
}

fn web_seeds(outer: Dict<'_, '_>, max: usize) -> Vec<String> {
    let Some(value) = outer.get(b"url-list") else { return Vec::new() };
    let one = value.as_bytes().map(|_| value);
    value.as_list().into_iter().flatten().chain(one).filter_map(url).take(max).collect()
}

fn nodes(outer: Dict<'_, '_>, max: usize) -> Vec<(String, u16)> {
    let node = |value: Value<'_, '_>| {
        let mut pair = value.as_list()?;
        let host = url(pair.next()?)?;
        Some((host, u16::try_from(pair.next()?.as_uint()?).ok()?))
    };
    let list = outer.get(b"nodes").and_then(Value::as_list);
    list.into_iter().flatten().filter_map(node).take(max).collect()
}

#[cfg(test)]
mod tests;
