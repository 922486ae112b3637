//! What we ask of web servers and what their heads say, as values. The bytes of HTTP are the driver's.

use alloc::string::String;
use core::time::Duration;

/// A GET whose body streams in on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// An absolute http or https URL.
    pub url: String,
    /// First and last byte wanted, both counted from 0; `None` for all of it.
    pub range: Option<(u64, u64)>,
    /// More redirects than this end the link.
    pub redirects_max: u32,
}

/// The head of the answer, after redirects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpHead {
    /// The status code.
    pub status: u16,
    /// `Content-Length`, bytes of the body.
    pub length: Option<u64>,
    /// `Content-Range`.
    pub range: Option<ContentRange>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// Which part of a resource a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
    /// Bytes of the whole resource, if told.
    pub total: Option<u64>,
}
