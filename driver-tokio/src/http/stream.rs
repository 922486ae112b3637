//! Bodies that stream: one GET whose answer is read piece by piece, by who asked. Links to a server are kept for a while
//! and used again, since a web seed is asked for one range after the other.

use super::{Driven, HEAD_BYTES_MAX, Target, connect, is_public, redirect, secure};
use crate::error::FetchError;
use crate::lock;
use crate::way::{Opened, Ways, Wish};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Buf, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_RANGE, HOST, HeaderMap, HeaderName, RANGE, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use millstream_core::base::{Chunk, Pool};
use millstream_core::wire::http::{ContentRange, HttpHead, HttpRequest};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// Links that are kept, at most.
const KEPT_MAX: usize = 64;

/// How long a link is kept unused.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// Bytes that are read from a link ahead of who reads the body.
const READ_BYTES_MAX: usize = 256 << 10;

/// Tells the addresses of the Internet from others.
type Judge = fn(IpAddr) -> bool;

/// An open link to a server.
struct ServerLink {
    sender: SendRequest<Empty<Bytes>>,
    _driven: Driven,
    remote: Option<SocketAddr>,
    secure: bool,
    host: String,
    port: u16,
}

impl ServerLink {
    fn leads_to(&self, target: &Target) -> bool {
        (self.secure, self.port) == (target.secure, target.port) && self.host == target.host
    }
}

/// Links that wait to be used again.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<VecDeque<(Instant, ServerLink)>>>);

/// A name that a proxy looked up can't be judged: see `Wish::only`.
fn passes(link: &ServerLink, only: Option<fn(IpAddr) -> bool>) -> bool {
    only.is_none_or(|public| link.remote.is_none_or(|remote| public(remote.ip())))
}

impl Kept {
    fn take(&self, target: &Target, only: Option<Judge>) -> Option<ServerLink> {
        let mut kept = lock(&self.0);
        kept.retain(|(since, link)| since.elapsed() < KEPT_FOR && !link.sender.is_closed());
        let fits = |link: &ServerLink| link.leads_to(target) && passes(link, only);
        let at = kept.iter().position(|(_, link)| fits(link))?;
        kept.remove(at).map(|(_, link)| link)
    }

    fn put(&self, link: ServerLink) {
        {
            let mut kept = lock(&self.0);
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back((Instant::now(), link));
        }
        let kept = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            lock(&kept.0).retain(|(since, _)| since.elapsed() < KEPT_FOR);
        });
    }
}

/// An answer that begins.
pub(crate) struct Stream {
    pub(crate) head: HttpHead,
    pub(crate) remote: Option<SocketAddr>,
    body: Incoming,
    /// Of a frame that didn't fit into the last chunk.
    rest: Bytes,
    /// What broke the body after `rest`.
    failed: Option<hyper::Error>,
    link: Option<ServerLink>,
    kept: Kept,
}

/// Asks for what a request names. It takes as long as it takes: who asks watches the time.
pub(crate) async fn open(ways: &Ways, request: &HttpRequest, kept: &Kept) -> Result<Stream, FetchError> {
    follow(ways, request, kept, is_public).await
}

/// As for trackers: whoever comes from a public server is led to public addresses only.
pub(super) async fn follow(
    ways: &Ways,
    request: &HttpRequest,
    kept: &Kept,
    public: Judge,
) -> Result<Stream, FetchError> {
    let mut target = Target::parse(&request.url)?;
    let mut from_public = false;
    for _ in 0..=request.redirects_max {
        let wish = Wish { only: from_public.then_some(public), from: None };
        let (link, response) = ask((ways, wish), &target, request.range, kept).await?;
        from_public |= link.remote.is_none_or(|remote| public(remote.ip()));
        match redirect(&response) {
            Some(location) => target = target.join(&location)?,
            None => return answer(link, response, kept),
        }
    }
    Err(FetchError::Redirects(request.redirects_max))
}

/// One exchange, over a link that is kept or a new one. A kept one may have been closed by the server just now: then it
/// says nothing of the server.
async fn ask(
    (ways, wish): (&Ways, Wish),
    target: &Target,
    range: Option<(u64, u64)>,
    kept: &Kept,
) -> Result<(ServerLink, Response<Incoming>), FetchError> {
    while let Some(mut link) = kept.take(target, wish.only) {
        if let Ok(response) = send(&mut link, target, range).await {
            return Ok((link, response));
        }
    }
    let mut link = dial(ways, target, wish).await?;
    let response = send(&mut link, target, range).await?;
    Ok((link, response))
}

async fn dial(ways: &Ways, target: &Target, wish: Wish) -> Result<ServerLink, FetchError> {
    let Opened { stream, remote } = connect(ways, target, wish).await?;
    let (sender, driven) = match target.secure {
        true => handshake(target, secure(target, stream).await?).await?,
        false => handshake(target, stream).await?,
    };
    Ok(ServerLink {
        sender,
        _driven: driven,
        remote,
        secure: target.secure,
        host: target.host.clone(),
        port: target.port,
    })
}

async fn handshake<S>(target: &Target, stream: S) -> Result<(SendRequest<Empty<Bytes>>, Driven), FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, link) = http1::Builder::new()
        .max_buf_size(READ_BYTES_MAX.max(HEAD_BYTES_MAX))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(target, &error))?;
    Ok((sender, Driven(tokio::spawn(async move { drop(link.await) }))))
}

async fn send(
    link: &mut ServerLink,
    target: &Target,
    range: Option<(u64, u64)>,
) -> Result<Response<Incoming>, FetchError> {
    let mut request = Request::get(target.path())
        .header(HOST, target.host_header())
        .header(USER_AGENT, concat!("millstream/", env!("CARGO_PKG_VERSION")))
        // Ranges count the bytes as they are.
        .header(ACCEPT_ENCODING, "identity");
    if let Some((first, last)) = range {
        request = request.header(RANGE, format!("bytes={first}-{last}"));
    }
    let request = request.body(Empty::new()).map_err(|_| FetchError::Url(target.uri.to_string()))?;
    link.sender.ready().await.map_err(|error| broken(target, &error))?;
    link.sender.send_request(request).await.map_err(|error| broken(target, &error))
}

fn broken(target: &Target, error: &hyper::Error) -> FetchError {
    FetchError::Http { host: target.host.clone(), error: error.to_string() }
}

fn answer(link: ServerLink, response: Response<Incoming>, kept: &Kept) -> Result<Stream, FetchError> {
    let headers = response.headers();
    if headers.get(CONTENT_ENCODING).is_some_and(|with| !with.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let error = "the answer is compressed, though that wasn't asked for".to_owned();
        return Err(FetchError::Http { host: link.host, error });
    }
    let head = HttpHead {
        status: response.status().as_u16(),
        length: response.body().size_hint().exact(),
        range: text(headers, &CONTENT_RANGE).and_then(content_range),
        retry_after: text(headers, &RETRY_AFTER).and_then(|s| s.parse().ok()).map(Duration::from_secs),
    };
    let (remote, body) = (link.remote, response.into_body());
    Ok(Stream { head, remote, body, rest: Bytes::new(), failed: None, link: Some(link), kept: kept.clone() })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `bytes FIRST-LAST/TOTAL`, where the total may be unknown (`*`).
fn content_range(text: &str) -> Option<ContentRange> {
    let (unit, range) = text.split_once(' ')?;
    let (span, total) = range.trim().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let number = |text: &str| text.trim().parse().ok();
    let total = if total.trim() == "*" { None } else { Some(number(total)?) };
    unit.eq_ignore_ascii_case("bytes").then_some(())?;
    Some(ContentRange { first: number(first)?, last: number(last)?, total })
}

impl Stream {
    /// Our end, as far as it is known.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
    }

    /// Some bytes of the body: what is there, up to a buffer, and not much more than `most`. `None` at its end.
    pub(crate) async fn next(&mut self, buffers: &Pool, most: usize) -> Result<Option<Chunk>, hyper::Error> {
        if self.rest.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Err(error);
        }
        if self.rest.is_empty() && !self.fetch().await? {
            self.keep();
            return Ok(None);
        }
        let mut buffer = buffers.take();
        let (space, mut filled) = (buffer.bytes_mut(), 0);
        loop {
            let n = self.rest.len().min(space.len() - filled);
            space[filled..filled + n].copy_from_slice(&self.rest[..n]);
            self.rest.advance(n);
            filled += n;
            if filled == space.len() || filled >= most || !self.fetch_ready() {
                break;
            }
        }
        if self.rest.is_empty() && self.failed.is_none() && self.body.is_end_stream() {
            self.keep();
        }
        Ok(Some(buffer.freeze(filled)))
    }

    /// Whether more bytes came, before the end.
    async fn fetch(&mut self) -> Result<bool, hyper::Error> {
        while self.rest.is_empty() {
            let Some(frame) = self.body.frame().await else { return Ok(false) };
            if let Ok(data) = frame?.into_data() {
                self.rest = data;
            }
        }
        Ok(true)
    }

    /// Whether more bytes were there already.
    fn fetch_ready(&mut self) -> bool {
        let mut waker = core::task::Context::from_waker(core::task::Waker::noop());
        // Whoever waits next asks with a waker of its own; the end is met again then.
        if self.failed.is_some() || self.body.is_end_stream() {
            return false;
        }
        match Pin::new(&mut self.body).poll_frame(&mut waker) {
            Poll::Ready(Some(Ok(frame))) => {
                self.rest = frame.into_data().unwrap_or_default();
                !self.rest.is_empty()
            }
            Poll::Ready(Some(Err(error))) => {
                // It is said once: after it the body looks whole.
                self.failed = Some(error);
                false
            }
            Poll::Ready(None) | Poll::Pending => false,
        }
    }

    /// The body was read whole: its link may be used again.
    fn keep(&mut self) {
        if let Some(link) = self.link.take().filter(|link| !link.sender.is_closed()) {
            self.kept.put(link);
        }
    }
}
