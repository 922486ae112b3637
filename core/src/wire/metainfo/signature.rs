//! Signatures of a torrent file (BEP 35): who vouches for the info dictionary. Whether one holds is of `verify`.

use super::error::{MetainfoError, MetainfoLimits};
use super::parse::document;
use crate::wire::bencode::{Dict, Document, Value};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Signatures read of one torrent. More are passed over.
const SIGNATURES_MAX: usize = 16;

/// The longest certificate, extra dictionary or signature that is read, bytes.
const PART_BYTES_MAX: usize = 16 << 10;

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signs, in reverse-DNS notation.
    pub signer: String,
    /// Its X.509 certificate, DER; `None` if readers are to have it already.
    pub certificate: Option<Vec<u8>>,
    /// A bencoded dictionary that is signed too.
    pub info: Option<Vec<u8>>,
    /// RSA, over the info dictionary's bytes and those of `info`.
    pub signature: Vec<u8>,
}

impl Signature {
    /// The URL at which its signer wants updates to be looked for (BEP 39).
    pub fn update_url(&self) -> Option<String> {
        let document = Document::decode(self.info.as_deref()?).ok()?;
        let url = document.dict().ok()?.get(b"update-url")?.as_str()?;
        (!url.is_empty()).then(|| url.into())
    }

    /// Its dictionary; `info` stands there as it was signed, byte for byte.
    fn encode(&self) -> Vec<u8> {
        let mut entries = BTreeMap::new();
        if let Some(certificate) = &self.certificate {
            entries.insert(&b"certificate"[..], string(certificate));
        }
        if let Some(info) = &self.info {
            entries.insert(b"info", info.clone());
        }
        entries.insert(b"signature", string(&self.signature));
        dict(entries)
    }
}

/// The signatures of a torrent file.
pub(super) fn signatures(outer: Dict<'_, '_>) -> Vec<Signature> {
    let entries = outer.get(b"signatures").and_then(Value::as_dict).into_iter().flat_map(Dict::iter);
    let read = |(signer, value): (&[u8], Value<'_, '_>)| {
        let entry = value.as_dict()?;
        let part = |key: &[u8]| entry.get(key)?.as_bytes().filter(|part| part.len() <= PART_BYTES_MAX);
        let info = entry.get(b"info").filter(|info| info.as_dict().is_some()).map(Value::raw);
        Some(Signature {
            signer: String::from_utf8_lossy(signer).chars().take(256).collect(),
            certificate: part(b"certificate").map(<[u8]>::to_vec),
            info: info.filter(|info| info.len() <= PART_BYTES_MAX).map(<[u8]>::to_vec),
            signature: part(b"signature")?.to_vec(),
        })
    };
    entries.filter_map(read).take(SIGNATURES_MAX).collect()
}

/// A torrent file with one signature more; one of the same signer is replaced. All else stays byte for byte.
pub fn with_signature(torrent: &[u8], signature: &Signature) -> Result<Vec<u8>, MetainfoError> {
    let document = document(torrent, &MetainfoLimits::default())?;
    let outer = document.dict()?;
    let raw = |of: Dict<'_, '_>| -> BTreeMap<Vec<u8>, Vec<u8>> {
        of.iter().map(|(key, value)| (key.to_vec(), value.raw().to_vec())).collect()
    };
    let mut signatures = outer.get(b"signatures").and_then(Value::as_dict).map(raw).unwrap_or_default();
    signatures.insert(signature.signer.clone().into_bytes(), signature.encode());
    let mut entries = raw(outer);
    entries.insert(b"signatures".to_vec(), dict(signatures));
    Ok(dict(entries))
}

/// A dictionary of values that are bencode already.
fn dict<K: AsRef<[u8]>>(entries: BTreeMap<K, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::from(*b"d");
    for (key, value) in entries {
        out.extend(string(key.as_ref()));
        out.extend(value);
    }
    out.push(b'e');
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [format!("{}:", bytes.len()).as_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Metainfo;
    use crate::wire::metainfo::{FileEntry, InfoBuilder, MetainfoBuilder, Version};
    use std::vec;

    fn torrent() -> Vec<u8> {
        let mut info = InfoBuilder::new("a", 16 << 10, Version::V1);
        info.files = vec![FileEntry { path: vec!["a".into()], length: 5, ..FileEntry::default() }];
        info.v1_digests = vec![[7; 20]];
        info.update_url = Some("http://example.org/feed".into());
        info.originator = Some(vec![1, 2, 3]);
        info.similar = vec![[9; 20]];
        info.collections = vec!["org.example.series".into()];
        MetainfoBuilder::default().build(&info).unwrap()
    }

    #[test]
    fn bep_0039_update_url_and_originator_stand_in_the_info_dictionary() {
        let info = Metainfo::parse(&torrent()).unwrap().info;
        assert_eq!(info.update_url(), Some("http://example.org/feed"));
        assert_eq!(info.originator(), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn bep_0038_similar_and_collections_are_read_inside_and_outside_of_the_info_dictionary() {
        let metainfo = Metainfo::parse(&torrent()).unwrap();
        assert_eq!(metainfo.info.similar(), [vec![9; 20]]);
        assert_eq!(metainfo.info.collections(), ["org.example.series"]);
        let outside = b"d11:collectionsl1:xe".to_vec();
        let both =
            [outside.as_slice(), &torrent()[1..torrent().len() - 1], b"7:similarl20:", &[8; 20], b"ee"]
                .concat();
        let metainfo = Metainfo::parse(&both).unwrap();
        assert_eq!(metainfo.info.similar(), [vec![9; 20], vec![8; 20]]);
        assert_eq!(metainfo.info.collections(), ["org.example.series", "x"]);
    }

    #[test]
    fn bep_0035_signatures_are_added_replaced_and_read_and_leave_the_rest_as_it_was() {
        let plain = torrent();
        let hash = Metainfo::parse(&plain).unwrap().info.info_hash();
        let one = |signer: &str, byte: u8| Signature {
            signer: signer.into(),
            certificate: Some(vec![byte; 3]),
            info: Some(b"d10:update-url8:http://ue".to_vec()),
            signature: vec![byte; 4],
        };
        let first = with_signature(&plain, &one("org.b", 1)).unwrap();
        let both = with_signature(&first, &one("org.a", 2)).unwrap();
        let again = with_signature(&both, &one("org.b", 3)).unwrap();
        let read = Metainfo::parse(&again).unwrap();
        assert_eq!(read.signatures, [one("org.a", 2), one("org.b", 3)]);
        assert_eq!(
            (read.info.info_hash(), read.signatures[0].update_url().as_deref()),
            (hash, Some("http://u"))
        );
    }
}
