//! The tracker over HTTP: connections kept alive, pipelined, bounded in number, size and time. What is asked goes to the
//! worker that has the torrent.

use super::guests::{Guest, Guests};
use super::queue::{Ask, Shared};
use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use millstream_core::tracker::http::{self, HttpAnswer, HttpAsk};
use millstream_core::tracker::{Fault, ProtocolStatistics};
use millstream_core::wire::tracker_http_server::{RetryIn, write_failure};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long a connection may last: who reads slowly doesn't hold it for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a worker may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a connection's buffers: a longer head ends it.
const BUFFER_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// Serves until it is dropped.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    guests: Arc<Guests>,
    head_timeout: Duration,
) {
    loop {
        let Some((stream, from, guest)) = accept(&listener, &guests).await else { continue };
        tokio::spawn(connection((stream, from), Arc::clone(&shared), guest, head_timeout));
    }
}

/// The next connection that there is room for.
pub(super) async fn accept(
    listener: &TcpListener,
    guests: &Arc<Guests>,
) -> Option<(TcpStream, SocketAddr, Guest)> {
    match listener.accept().await {
        Ok((stream, from)) => {
            let guest = guests.admit(from.ip())?;
            // Else answers to pipelined requests wait for each other.
            let _ = stream.set_nodelay(true);
            Some((stream, from, guest))
        }
        Err(error) => {
            tracing::debug!(%error, "a connection couldn't be accepted");
            // Such as too many open files: it passes, but not at once.
            sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

async fn connection(
    (stream, from): (TcpStream, SocketAddr),
    shared: Arc<Shared>,
    guest: Guest,
    head_timeout: Duration,
) {
    let service = service_fn(|request| answer(&shared, request, from));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .pipeline_flush(true)
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Whatever went wrong, it was this connection's.
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Err(error)) if error.is_parse() => count(&shared, |seen| seen.fault(Fault::Malformed)),
        Ok(_) | Err(_) => {}
    }
    drop(guest);
}

fn count(shared: &Shared, change: impl FnOnce(&mut ProtocolStatistics)) {
    change(&mut crate::lock(&shared.front)[0]);
}

async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
    from: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET {
        let answer = HttpAnswer { status: 405, content_type: "text/plain", body: b"GET only\n".to_vec() };
        return Ok(response(answer));
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let bytes = target.len() as u64;
    let ask = http::read(target.as_bytes());
    let body = match &ask {
        HttpAsk::Announce(asked) => {
            let (answer, waits) = oneshot::channel();
            let asked = Box::new(asked.clone());
            let door = shared.door(&asked.query.info_hash);
            match door.ask(Ask::HttpAnnounce { asked, source: from, answer }) {
                Ok(()) => timeout(ANSWER_TIMEOUT, waits).await.ok().and_then(Result::ok),
                Err(_) => None,
            }
        }
        HttpAsk::Scrape(hashes) => timeout(ANSWER_TIMEOUT, shared.scrape(hashes))
            .await
            .ok()
            .flatten()
            .map(|known| http::scraped(&known)),
        HttpAsk::Bad(error) => Some(http::refused(error)),
        HttpAsk::ScrapeAll => Some(http::refused_scrape()),
        HttpAsk::Elsewhere => return Ok(response(http::elsewhere())),
    };
    count(shared, |seen| {
        seen.bytes_in += bytes;
        match (&body, &ask) {
            (None, _) => seen.fault(Fault::Busy),
            // Its worker counts it.
            (Some(_), HttpAsk::Announce(_)) => {}
            (Some(body), ask) => http::count(seen, ask, body.len()),
        }
    });
    let busy = || write_failure("this tracker is busy", Some(RetryIn::Minutes(5)));
    Ok(response(HttpAnswer::ok(body.unwrap_or_else(busy))))
}

fn response(answer: HttpAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}
