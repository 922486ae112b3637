//! Numbers and addresses as people write them: sizes, rates, lists of files, hosts with ports, URLs.

use core::net::SocketAddr;

/// More files than this can't be chosen by number; a torrent may not have more either.
const INDEXES_MAX: u32 = 1_000_000;

/// Numbers of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Indexes(pub(crate) Vec<u32>);

/// A size: `65536`, `64K`, `64KiB`, `1.5MB`. K, M and G count in 1024s, KB, MB and GB in 1000s.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let wrong = || format!("`{text}` is no number of bytes, such as 65536, 500K or 1.5MiB");
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    scaled(number, factor).ok_or_else(wrong)
}

/// A decimal number times a factor, rounded down, without losing digits on the way.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.len() > 9 || part.contains('.') {
        return None;
    }
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
    let whole = u128::from(read(whole)?) * u128::from(factor);
    let part = u128::from(read(part)?) * u128::from(factor) / 10_u128.pow(part.len() as u32);
    u64::try_from(whole + part).ok()
}

/// A rate in bytes a second: a size that may end in `/s`.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let size = text.trim().strip_suffix("/s").unwrap_or(text);
    match bytes(size) {
        Ok(0) => Err("a rate of 0 would stop everything".to_owned()),
        Ok(rate) => Ok(rate),
        Err(_) => Err(format!("`{text}` is no rate, such as 500K, 1.5MiB or 64MiB/s")),
    }
}

/// A piece's length.
pub(crate) fn piece_length(text: &str) -> Result<u32, String> {
    u32::try_from(bytes(text)?).map_err(|_| format!("`{text}` is too long for a piece"))
}

/// Numbers and upward ranges: `0,2,5-7`.
pub(crate) fn indexes(text: &str) -> Result<Indexes, String> {
    let wrong = || format!("`{text}` is no list of numbers and ranges, such as 0,2,5-7");
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|&n| n < INDEXES_MAX).ok_or_else(wrong);
    let mut all = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || all.len() + (last - first) as usize >= INDEXES_MAX as usize {
            return Err(wrong());
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Ok(Indexes(all))
}

/// An IP address and a port.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let example = "such as 127.0.0.1:6881, 0.0.0.0:6881 or [::]:6881";
    text.parse().map_err(|_| format!("`{text}` is no IP address with a port, {example}"))
}

/// `host:port`, an address or a name.
pub(crate) fn host_and_port(text: &str) -> Result<String, String> {
    let named = || {
        let (host, port) = text.rsplit_once(':')?;
        let good = !host.is_empty() && !host.contains([':', '/', ' ']);
        (good && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
    };
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.port() > 0 => Ok(text.to_owned()),
        Err(_) if named().is_some() => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no host:port, such as 192.0.2.7:6881 or [2001:db8::7]:6881")),
    }
}

/// Something with a scheme and a host.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let good = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) && !rest.is_empty()
    });
    let good = good && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is no URL, such as http://host/announce")) }
}

/// An info-hash in hex; of v2's only what others see of it (BEP 52).
pub(crate) fn info_hash(text: &str) -> Result<[u8; 20], String> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let wrong = || format!("`{text}` is no info-hash of 40 or 64 hex digits");
    if !(text.len() == 40 || text.len() == 64) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut hash = [0; 20];
    for (n, byte) in hash.iter_mut().enumerate() {
        *byte = digit(n * 2).ok_or_else(wrong)?;
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024_and_1000() {
        for (text, wanted) in [
            ("0", 0),
            ("65536", 65_536),
            ("16K", 16_384),
            ("16 KiB", 16_384),
            ("16kb", 16_000),
            ("1.5MiB", 3 << 19),
            ("2M", 2 << 20),
            ("0.5G", 1 << 29),
            (".5k", 512),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in
            ["", "K", ".", "1.2.3", "-1", "1e3", "18446744073709551616", "99999999T", "5 apples", "1/s"]
        {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_may_end_in_a_second() {
        for (text, wanted) in [("500K", 512_000), ("64MiB/s", 64 << 20), ("1.5MiB", 3 << 19), ("100", 100)] {
            assert_eq!(rate(text), Ok(wanted), "{text}");
        }
        for text in ["0", "fast", "/s", "10/m"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_numbers_and_upward_ranges() {
        assert_eq!(indexes("0,2,5-7"), Ok(Indexes(vec![0, 2, 5, 6, 7])));
        assert_eq!(indexes("3, 1-3"), Ok(Indexes(vec![1, 2, 3])));
        for text in ["", ",", "a", "3-1", "-1", "1-", "0-4000000000", "4000000000", "0-999999,0-999999"] {
            assert!(indexes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn to_listen_takes_an_address_and_a_port() {
        for text in ["1.2.3.4:5", "[::]:0", "0.0.0.0:7002"] {
            assert!(address(text).is_ok(), "{text}");
        }
        for text in ["7002", ":7002", "localhost:7002", "1.2.3.4"] {
            assert!(address(text).unwrap_err().contains("0.0.0.0:6881"), "{text}");
        }
    }

    #[test]
    fn peers_are_hosts_with_ports() {
        for text in ["1.2.3.4:5", "[::1]:5", "localhost:6881"] {
            assert!(host_and_port(text).is_ok(), "{text}");
        }
        for text in ["1.2.3.4", "1.2.3.4:0", "::1:5", ":5", "a b:5", "host:0", "host:70000"] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_have_a_scheme_and_a_host() {
        assert!(url("udp://tracker:80").is_ok());
        for text in ["tracker", "://x", "http://", "http://a b"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
