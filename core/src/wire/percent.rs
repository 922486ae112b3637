//! Percent-encoding of URLs and magnet links (RFC 3986).

use alloc::string::String;
use alloc::vec::Vec;

/// Appends bytes, with all but RFC 3986's unreserved characters escaped.
pub fn encode_into(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| HEX.get(usize::from(n)).map_or('0', |&c| char::from(c));
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

/// The bytes behind an escaped text. A `%` that no two hex digits follow stands for itself.
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = if byte == b'%' { after.split_first_chunk::<2>() } else { None };
        match escaped.and_then(|(&[high, low], after)| Some((hex(high)? << 4 | hex(low)?, after))) {
            Some((byte, after)) => {
                out.push(byte);
                rest = after;
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// A hex digit's value.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        encode_into(&mut text, &all);
        assert_eq!(decode(&text), all);
        assert!(text.starts_with("%00%01") && text.contains("-.%2F0") && text.contains("~%7F"));
        assert_eq!(decode("100%"), b"100%");
        assert_eq!(decode("%zz%4%e9"), b"%zz%4\xe9");
    }
}
