//! A careful HTTP client.
use crate::error::FetchError;
use core::time::Duration;

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes_max: usize,
    pub(crate) redirects_max: u32,
    pub(crate) timeout: Duration,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

pub(crate) async fn get(_url: &str, _limits: Limits) -> Result<Answer, FetchError> {
    Err(FetchError::TimedOut)
}
