//! Numbers and strangers' words, made fit for a terminal.

use std::borrow::Cow;

/// Bytes, in units of 1024: `12 B`, `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (bytes, None);
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if whole < 1024 {
            break;
        }
        tenths = Some((whole % 1024) * 10 / 1024);
        whole /= 1024;
        unit = next;
    }
    match tenths {
        Some(tenths) => format!("{whole}.{tenths} {unit}"),
        None => format!("{whole} {unit}"),
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64) -> String {
    format!("{}/s", size(bytes))
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `1 query`, `2 queries`.
pub(crate) fn queries(n: u32) -> String {
    format!("{n} quer{}", if n == 1 { "y" } else { "ies" })
}

/// Seconds that are left: `1h02m`, `3m05s`, `7s`.
pub(crate) fn eta(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s >= 86_400 => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
        Some(s) if s >= 3_600 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        Some(s) if s >= 60 => format!("{}m{:02}s", s / 60, s % 60),
        Some(s) => format!("{s}s"),
    }
}

/// A text without control characters: a torrent's words must not steer the terminal.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    // Also what turns the direction of writing, which can dress up one name as another.
    let steers = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.contains(steers) { Cow::Owned(text.replace(steers, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(
            [0, 1023, 1024, 1536, 64 << 20, u64::MAX].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "64.0 MiB", "15.9 EiB"]
        );
        let shown = [None, Some(7), Some(185), Some(3_720), Some(90_000)].map(eta);
        assert_eq!(shown, ["-", "7s", "3m05s", "1h02m", "1d01h"]);
        assert_eq!([count(1, "file"), count(2, "file")], ["1 file", "2 files"]);
    }

    #[test]
    fn a_torrents_words_do_not_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert!(matches!(clean("plain"), Cow::Borrowed(_)));
    }
}
