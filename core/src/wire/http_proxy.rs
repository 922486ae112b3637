//! An HTTP proxy as its client speaks to it: `CONNECT` (RFC 9110, 9.3.6) with basic authentication (RFC 7617), and the
//! head of the answer. Bytes to values and back; sockets and time are the driver's.

use super::proxy_url::Credentials;
use super::socks5::Target;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Bytes of an answer's head. A longer one is refused.
pub const HEAD_BYTES_MAX: usize = 8192;

/// Why there is no way through. The proxy is to blame, or whoever configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpProxyError {
    /// The answer isn't HTTP.
    #[error("the proxy's answer isn't HTTP")]
    Malformed,
    /// Its head doesn't end within [`HEAD_BYTES_MAX`].
    #[error("the head of the proxy's answer is too long")]
    Long,
    /// The proxy wants a name and a password, or others.
    #[error("the proxy refuses the name or the password")]
    Credentials,
    /// Another status than success.
    #[error("the proxy refuses: HTTP status {0}")]
    Refused(u16),
}

/// Asks for a link to `target`.
pub fn write_connect(target: &Target, credentials: Option<&Credentials>) -> Vec<u8> {
    let authority = match target {
        Target::Addr(addr) => alloc::format!("{addr}"),
        Target::Name(name, port) => alloc::format!("{name}:{port}"),
    };
    let mut out = String::new();
    // Writing into a String can't fail.
    let _ = write!(out, "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = credentials {
        let both = [&credentials.user[..], b":", &credentials.password].concat();
        let _ = write!(out, "Proxy-Authorization: Basic {}\r\n", base64(&both));
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// Reads the head of the answer: how many bytes it takes, `None` while it isn't whole. What follows belongs to the link.
pub fn read_answer(bytes: &[u8]) -> Result<Option<usize>, HttpProxyError> {
    let seen = bytes.get(..bytes.len().min(HEAD_BYTES_MAX)).unwrap_or(bytes);
    let begins = b"HTTP/1.";
    if seen.iter().zip(begins).any(|(a, b)| a != b) {
        return Err(HttpProxyError::Malformed);
    }
    let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() >= HEAD_BYTES_MAX { Err(HttpProxyError::Long) } else { Ok(None) };
    };
    match status(seen).ok_or(HttpProxyError::Malformed)? {
        200..=299 => Ok(Some(end + 4)),
        401 | 407 => Err(HttpProxyError::Credentials),
        other => Err(HttpProxyError::Refused(other)),
    }
}

/// `HTTP/1.x NNN ..`.
fn status(head: &[u8]) -> Option<u16> {
    let digits = head.get(9..12).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let framed = head.get(7)?.is_ascii_digit()
        && head.get(8) == Some(&b' ')
        && matches!(head.get(12), Some(b' ' | b'\r'));
    let status = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (framed && (100..=599).contains(&status)).then_some(status)
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().zip([16, 8, 0]).fold(0u32, |word, (&b, shift)| word | u32::from(b) << shift);
        for at in 0..4 {
            let digit = DIGITS.get((word >> (18 - 6 * at)) as usize & 63).map_or('=', |&b| char::from(b));
            out.push(if at <= three.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn a_link_is_asked_for_with_and_without_a_password() {
        let target = Target::new("tracker.test", 443).unwrap();
        let plain = b"CONNECT tracker.test:443 HTTP/1.1\r\nHost: tracker.test:443\r\n\r\n";
        assert_eq!(write_connect(&target, None), plain);
        let login = Credentials { user: (*b"Aladdin").into(), password: (*b"open sesame").into() };
        let asked = write_connect(&Target::new("2001:db8::1", 7).unwrap(), Some(&login));
        let expected = b"CONNECT [2001:db8::1]:7 HTTP/1.1\r\nHost: [2001:db8::1]:7\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(asked, expected);
    }

    #[test]
    fn rfc_4648_the_vectors_of_the_text() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (n, expected) in vectors.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..n]), expected);
        }
    }

    #[test]
    fn the_answers_head_is_taken_and_not_a_byte_more() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x13BitTorrent";
        for n in 0..answer.len() {
            let read = read_answer(&answer[..n]);
            assert_eq!(read, Ok((n >= 47).then_some(47)), "{n}");
        }
        assert_eq!(&answer[47..], b"\x13BitTorrent");
    }

    #[test]
    fn refusals_and_garbage_are_told_apart() {
        assert_eq!(read_answer(b"HTTP/1.0 407 Login\r\n\r\n"), Err(HttpProxyError::Credentials));
        assert_eq!(read_answer(b"HTTP/1.1 403 No\r\n\r\n"), Err(HttpProxyError::Refused(403)));
        assert_eq!(read_answer(b"HTTP/1.1 20x\r\n\r\n"), Err(HttpProxyError::Malformed));
        assert_eq!(read_answer(b"HTTP/1.1 2000 \r\n\r\n"), Err(HttpProxyError::Malformed));
        assert_eq!(read_answer(b"SSH-2.0"), Err(HttpProxyError::Malformed));
        let mut long = b"HTTP/1.1 200 x\r\n".to_vec();
        long.extend(vec![b'a'; HEAD_BYTES_MAX]);
        assert_eq!(read_answer(&long), Err(HttpProxyError::Long));
    }
}
