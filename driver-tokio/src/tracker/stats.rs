//! A tracker's statistics over HTTP: `/stats.json`, `/metrics` for Prometheus, `/events` as server-sent events. For who
//! runs the tracker, not for the open Internet.

use super::queue::Shared;
use core::convert::Infallible;
use core::fmt::Write as _;
use core::time::Duration;
use futures_util::{Stream, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use millstream_core::tracker::{Fault, Protocol, ProtocolStatistics, TrackerStatistics};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How often an event is sent.
const EVENT_EVERY: Duration = Duration::from_secs(1);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

type Body = BoxBody<Bytes, Infallible>;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever went wrong, it was this connection's.
            let _ = serving.await;
            drop(place);
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let whole = |text: String| Full::from(text).boxed();
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/stats.json") => (200, "application/json", whole(json(&shared).await)),
        (&Method::GET, "/metrics") => {
            (200, "text/plain; version=0.0.4; charset=utf-8", whole(prometheus(&shared).await))
        }
        (&Method::GET, "/events") => (200, "text/event-stream", StreamBody::new(events(shared)).boxed()),
        _ => (404, "text/plain; charset=utf-8", whole("/stats.json, /metrics, /events\n".into())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The statistics at once, and then every second.
fn events(shared: Arc<Shared>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::unfold((shared, false), |(shared, again)| async move {
        if again {
            sleep(EVENT_EVERY).await;
        }
        let text = format!("event: statistics\ndata: {}\n\n", json(&shared).await);
        Some((Ok(Frame::data(text.into())), (shared, true)))
    })
}

/// One JSON object on one line.
pub(super) async fn json(shared: &Shared) -> String {
    let all = shared.statistics().await;
    let mut out = format!("{{\"uptime_s\":{},", shared.epoch.elapsed().as_secs());
    write_totals(&mut out, &super::sum(&all));
    out.push_str(",\"workers\":[");
    for (n, one) in all.iter().enumerate() {
        out.push_str(if n == 0 { "{" } else { ",{" });
        write_totals(&mut out, one);
        out.push('}');
    }
    out.push_str("]}");
    out
}

fn totals(of: &TrackerStatistics) -> [(&'static str, u64); 9] {
    [
        ("torrents", of.torrents as u64),
        ("peers", of.peers as u64),
        ("seeds", of.seeds as u64),
        ("leeches", of.leeches as u64),
        ("announces", of.announces),
        ("scraped", of.scraped),
        ("completed", of.completed),
        ("refused", of.refused),
        ("expired", of.expired),
    ]
}

fn plain(of: &ProtocolStatistics) -> [(&'static str, u64); 6] {
    [
        ("connects", of.connects),
        ("scrapes", of.scrapes),
        ("scraped", of.scraped),
        ("relayed", of.relayed),
        ("bytes_in", of.bytes_in),
        ("bytes_out", of.bytes_out),
    ]
}

fn announces(of: &ProtocolStatistics) -> impl Iterator<Item = (&'static str, u64)> {
    ProtocolStatistics::ANNOUNCES.into_iter().zip(of.announces)
}

fn errors(of: &ProtocolStatistics) -> impl Iterator<Item = (&'static str, u64)> {
    Fault::ALL.into_iter().map(Fault::name).zip(of.faults)
}

/// Members of an object, without its braces. Names are ours: nothing has to be escaped.
fn write_members(out: &mut String, members: impl IntoIterator<Item = (&'static str, u64)>) {
    for (n, (name, value)) in members.into_iter().enumerate() {
        let _ = write!(out, "{}\"{name}\":{value}", if n == 0 { "" } else { "," });
    }
}

fn write_totals(out: &mut String, of: &TrackerStatistics) {
    write_members(out, totals(of));
    out.push_str(",\"protocols\":{");
    for (n, protocol) in Protocol::ALL.into_iter().enumerate() {
        let one = of.protocol(protocol);
        let _ = write!(out, "{}\"{}\":{{", if n == 0 { "" } else { "," }, protocol.name());
        write_members(out, plain(one));
        out.push_str(",\"announces\":{");
        write_members(out, announces(one));
        out.push_str("},\"errors\":{");
        write_members(out, errors(one));
        out.push_str("}}");
    }
    out.push('}');
}

/// Prometheus' text format.
async fn prometheus(shared: &Shared) -> String {
    let sum = super::sum(&shared.statistics().await);
    let mut out = String::new();
    for (n, (name, value)) in totals(&sum).into_iter().enumerate() {
        // The first four are what there is, the rest is what has been.
        let (kind, suffix) = if n < 4 { ("gauge", "") } else { ("counter", "_total") };
        let _ = write!(
            out,
            "# TYPE millstream_tracker_{name}{suffix} {kind}\nmillstream_tracker_{name}{suffix} {value}\n"
        );
    }
    write_labelled(&mut out, "requests", "event", &sum, |of| announces(of).collect());
    write_labelled(&mut out, "errors", "reason", &sum, |of| errors(of).collect());
    write_labelled(&mut out, "traffic", "what", &sum, |of| plain(of).into());
    out
}

fn write_labelled(
    out: &mut String,
    name: &str,
    label: &str,
    of: &TrackerStatistics,
    values: fn(&ProtocolStatistics) -> Vec<(&'static str, u64)>,
) {
    let _ = writeln!(out, "# TYPE millstream_tracker_{name}_total counter");
    for protocol in Protocol::ALL {
        for (which, value) in values(of.protocol(protocol)) {
            let protocol = protocol.name();
            let _ = writeln!(
                out,
                "millstream_tracker_{name}_total{{protocol=\"{protocol}\",{label}=\"{which}\"}} {value}"
            );
        }
    }
}
