//! Which torrents a tracker serves: a list of those allowed, a list of those denied. Not where the lists are kept.

use crate::wire::{InfoHash, InfoHashV2};
use alloc::vec::Vec;

/// What is wrong with a list. Who wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no info-hash of 40 or 64 hexadecimal digits")]
pub struct RulesError {
    /// Which line, from 1.
    pub line: usize,
}

/// Which torrents are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Sorted.
    allow: Option<Vec<InfoHash>>,
    /// Sorted.
    deny: Vec<InfoHash>,
}

impl Rules {
    /// Those in `allow`, or all if there is no such list, but none of those in `deny`. 20 bytes a torrent.
    pub fn new(allow: Option<Vec<InfoHash>>, deny: Vec<InfoHash>) -> Self {
        let sorted = |mut list: Vec<InfoHash>| {
            list.sort_unstable();
            list.dedup();
            list
        };
        Self { allow: allow.map(sorted), deny: sorted(deny) }
    }

    /// Whether this one is served.
    pub fn serve(&self, hash: &InfoHash) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.binary_search(hash).is_ok())
            && self.deny.binary_search(hash).is_err()
    }

    /// Whether all are.
    pub fn serve_all(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

/// Reads a list: an info-hash a line, v1 in 40 or v2 in 64 hexadecimal digits; what follows a blank or a `#` is a remark.
pub fn read_list(text: &str) -> Result<Vec<InfoHash>, RulesError> {
    let mut out = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let Some(word) = line.split_whitespace().next() else { continue };
        out.push(read_hash(word.as_bytes()).ok_or(RulesError { line: n + 1 })?);
    }
    Ok(out)
}

fn read_hash(hex: &[u8]) -> Option<InfoHash> {
    match hex.len() {
        40 => read_hex(hex).map(InfoHash),
        64 => read_hex(hex).map(|hash| InfoHashV2(hash).truncated()),
        _ => None,
    }
}

fn read_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(hex.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec;

    #[test]
    fn a_list_holds_hashes_of_both_versions_and_remarks() {
        let text = format!("# ours\n\n{} a film\r\n{}#x\n", "01".repeat(20), "Ab".repeat(32));
        assert_eq!(read_list(&text), Ok(vec![InfoHash([1; 20]), InfoHash([0xab; 20])]));
        assert_eq!(read_list(&format!("\n{}", "01".repeat(19))), Err(RulesError { line: 2 }));
        assert_eq!(read_list(&"zz".repeat(20)), Err(RulesError { line: 1 }));
    }

    #[test]
    fn denied_wins_over_allowed_and_an_empty_list_of_allowed_allows_none() {
        let (a, b, c) = (InfoHash([1; 20]), InfoHash([2; 20]), InfoHash([3; 20]));
        let rules = Rules::new(Some(vec![b, a]), vec![b]);
        assert!(rules.serve(&a) && !rules.serve(&b) && !rules.serve(&c));
        assert!(!Rules::new(Some(vec![]), vec![]).serve(&a));
        assert!(Rules::default().serve(&a) && Rules::default().serve_all() && !rules.serve_all());
    }
}
