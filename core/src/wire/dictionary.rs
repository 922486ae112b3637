//! The flat view of a bencoded dictionary that session messages need: keys with the spans of their values. Whole
//! documents are read elsewhere.

use alloc::vec::Vec;

/// How deep a value inside may nest.
const DEPTH_MAX: u32 = 16;
/// How many keys are kept.
const KEYS_MAX: usize = 256;

/// A dictionary's keys, each with the span of its value.
pub(super) struct Dictionary<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Dictionary<'a> {
    /// Reads the dictionary at the start of `bytes`, in any order of keys; gives what follows it too.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut rest = bytes.strip_prefix(b"d")?;
        let mut fields = Vec::new();
        loop {
            if let Some(after) = rest.strip_prefix(b"e") {
                return Some((Self(fields), after));
            }
            let (key, after) = string(rest)?;
            let end = value_end(after)?;
            let (value, after) = after.split_at_checked(end)?;
            if fields.len() >= KEYS_MAX {
                return None;
            }
            fields.push((key, value));
            rest = after;
        }
    }

    /// The keys and their values' spans, in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.0.iter().copied()
    }

    fn raw(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// The integer under `key`.
    pub(super) fn int(&self, key: &[u8]) -> Option<i64> {
        self.raw(key).and_then(int)
    }

    /// The string under `key`.
    pub(super) fn string(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.raw(key).and_then(string).map(|(value, _)| value)
    }

    /// The dictionary under `key`.
    pub(super) fn dictionary(&self, key: &[u8]) -> Option<Self> {
        Self::read(self.raw(key)?).map(|(inner, _)| inner)
    }
}

/// The integer whose span this is.
pub(super) fn int(span: &[u8]) -> Option<i64> {
    let digits = span.strip_prefix(b"i")?.strip_suffix(b"e")?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().take(10).position(|&b| b == b':')?;
    let (digits, rest) = bytes.split_at_checked(colon)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = core::str::from_utf8(digits).ok()?.parse::<usize>().ok()?;
    rest.get(1..)?.split_at_checked(length)
}

fn value_end(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut rest) = (0_u32, bytes);
    loop {
        let (&first, after) = rest.split_first()?;
        rest = match first {
            b'd' | b'l' => {
                depth += 1;
                after
            }
            b'e' => {
                depth = depth.checked_sub(1)?;
                after
            }
            b'i' => after.get(after.iter().take(21).position(|&b| b == b'e')? + 1..)?,
            _ => string(rest)?.1,
        };
        if depth > DEPTH_MAX {
            return None;
        }
        if depth == 0 {
            return Some(bytes.len() - rest.len());
        }
    }
}
