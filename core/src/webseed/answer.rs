//! What the head of a web server's answer means for what was asked.

use super::{WebSeedConfig, WebSeedError};
use crate::wire::http::HttpHead;
use core::time::Duration;

/// What was asked of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// First byte of the file.
    pub(super) first: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// The file's length.
    pub(super) length: u64,
}

/// What follows from a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The body begins with what was asked for, and has so many bytes of it.
    Range(u64),
    /// The body is the whole file.
    Whole,
    /// This file can't be had there.
    Never(WebSeedError),
    /// Not now; after so long at the earliest, if the server says so.
    Later(WebSeedError, Option<Duration>),
}

/// Reads a head.
pub(super) fn read(head: &HttpHead, asked: Asked, config: &WebSeedConfig) -> Meaning {
    match head.status {
        200 => whole(head, asked, config),
        206 => part(head, asked, config),
        404 | 410 | 401 | 403 | 451 => Meaning::Never(WebSeedError::Missing(head.status)),
        // The range is right in a file of the right length: this is another file.
        416 => Meaning::Never(WebSeedError::Length),
        status => Meaning::Later(WebSeedError::Status(status), head.retry_after),
    }
}

fn whole(head: &HttpHead, asked: Asked, config: &WebSeedConfig) -> Meaning {
    if head.length.is_some_and(|length| length != asked.length) {
        return Meaning::Never(WebSeedError::Length);
    }
    if asked.first > config.skip_bytes_max {
        return Meaning::Later(WebSeedError::NoRanges, Some(Duration::ZERO));
    }
    Meaning::Whole
}

fn part(head: &HttpHead, asked: Asked, config: &WebSeedConfig) -> Meaning {
    let wrong = Meaning::Later(WebSeedError::WrongRange, None);
    let Some(range) = head.range else { return wrong };
    if range.total.is_some_and(|total| total != asked.length) {
        return Meaning::Never(WebSeedError::Length);
    }
    let bytes = range.last.checked_sub(range.first).and_then(|n| n.checked_add(1));
    // Crumbs would cost a request each.
    let least = config.gap_bytes_max.min(asked.end - asked.first);
    match bytes {
        Some(bytes)
            if range.first == asked.first
                && range.last < asked.end
                && bytes >= least
                && head.length.is_none_or(|length| length == bytes) =>
        {
            Meaning::Range(bytes)
        }
        Some(_) | None => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::ContentRange;

    const ASKED: Asked = Asked { first: 100, end: 200, length: 1000 };

    fn meaning(status: u16, range: Option<(u64, u64, Option<u64>)>, length: Option<u64>) -> Meaning {
        let range = range.map(|(first, last, total)| ContentRange { first, last, total });
        let head = HttpHead { status, length, range, retry_after: None };
        read(
            &head,
            ASKED,
            &WebSeedConfig { skip_bytes_max: 100, gap_bytes_max: 50, ..WebSeedConfig::default() },
        )
    }

    #[test]
    fn a_range_is_the_one_that_was_asked_for_or_its_beginning() {
        assert_eq!(meaning(206, Some((100, 199, Some(1000))), Some(100)), Meaning::Range(100));
        assert_eq!(meaning(206, Some((100, 149, None)), None), Meaning::Range(50));
        let wrong = Meaning::Later(WebSeedError::WrongRange, None);
        for range in [
            Some((99, 199, None)),
            Some((100, 148, None)),
            Some((100, 200, None)),
            Some((100, 99, None)),
            None,
        ] {
            assert_eq!(meaning(206, range, None), wrong, "{range:?}");
        }
        assert_eq!(meaning(206, Some((100, 199, None)), Some(99)), wrong, "the head contradicts itself");
        assert_eq!(meaning(206, Some((0, u64::MAX, None)), None), wrong);
        assert_eq!(
            meaning(206, Some((100, 199, Some(999))), None),
            Meaning::Never(WebSeedError::Length),
            "another file"
        );
    }

    #[test]
    fn a_whole_file_is_read_if_what_is_wanted_is_near_its_beginning() {
        assert_eq!(meaning(200, None, Some(1000)), Meaning::Whole);
        assert_eq!(meaning(200, None, None), Meaning::Whole);
        assert_eq!(meaning(200, None, Some(1001)), Meaning::Never(WebSeedError::Length));
        let deep = Asked { first: 101, ..ASKED };
        let config = WebSeedConfig { skip_bytes_max: 100, ..WebSeedConfig::default() };
        let head = HttpHead { status: 200, ..HttpHead::default() };
        assert!(matches!(read(&head, deep, &config), Meaning::Later(WebSeedError::NoRanges, _)));
    }

    #[test]
    fn some_answers_are_for_ever_and_some_for_now() {
        for status in [401, 403, 404, 410, 416, 451] {
            assert!(matches!(meaning(status, None, None), Meaning::Never(_)), "{status}");
        }
        for status in [0, 100, 204, 301, 400, 429, 500, 503, 999] {
            assert!(matches!(meaning(status, None, None), Meaning::Later(..)), "{status}");
        }
    }
}
