//! A careful HTTP client for trackers and torrent files: GET, and nothing kept between exchanges. Servers are
//! strangers: bodies, redirects, time and what a gzip unpacks to are bounded, and a server of the open Internet leads
//! nobody into a private network.

pub(crate) mod stream;

use crate::error::FetchError;
use crate::way::{self, OpenError, Opened, Ways, Wish};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes of an answer's head. A longer one breaks the exchange.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A longer body, as sent or as unpacked, fails the exchange.
    pub(crate) bytes_max: usize,
    pub(crate) redirects_max: u32,
    /// For all of it, redirects included.
    pub(crate) timeout: Duration,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Gets a URL, from an address of ours and so over its family, or over any.
pub(crate) async fn get(
    ways: &Ways,
    from: Option<IpAddr>,
    url: &str,
    limits: Limits,
) -> Result<Answer, FetchError> {
    let wish = Wish { from, only: None };
    let answer = follow((ways, wish), url, limits, is_public);
    timeout(limits.timeout, answer).await.unwrap_or(Err(FetchError::TimedOut))
}

/// Follows redirects; `public` tells the addresses of the Internet from those that only this host or its network reach.
async fn follow(
    (ways, wish): (&Ways, Wish),
    url: &str,
    limits: Limits,
    public: fn(IpAddr) -> bool,
) -> Result<Answer, FetchError> {
    let mut target = Target::parse(url)?;
    let mut from_public = false;
    for _ in 0..=limits.redirects_max {
        let wish = Wish { only: from_public.then_some(public), ..wish };
        let Opened { stream, remote } = connect(ways, &target, wish).await?;
        // A name that a proxy looked up is taken for one of the Internet: it leads nobody to an address of ours.
        from_public |= remote.is_none_or(|addr| public(addr.ip()));
        let answer = match target.secure {
            true => exchange(&target, secure(&target, stream).await?, limits).await?,
            false => exchange(&target, stream, limits).await?,
        };
        match answer {
            Turn::Answer(answer) => return Ok(answer),
            Turn::Redirect(location) => target = target.join(&location)?,
        }
    }
    Err(FetchError::Redirects(limits.redirects_max))
}

/// What one exchange leads to.
enum Turn {
    Answer(Answer),
    Redirect(String),
}

/// Where a URL leads.
struct Target {
    uri: Uri,
    secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let wrong = || FetchError::Url(url.to_owned());
        let uri: Uri = escape(url).parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, host, port, uri })
    }

    /// Where a `Location` leads from here.
    fn join(&self, location: &str) -> Result<Self, FetchError> {
        let location = location.trim();
        let scheme = if self.secure { "https" } else { "http" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let path = self.uri.path();
        let lower = location.to_ascii_lowercase();
        let url = if lower.starts_with("http://") || lower.starts_with("https://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.starts_with('?') {
            format!("{scheme}://{authority}{path}{location}")
        } else {
            let folder = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
            format!("{scheme}://{authority}{folder}{location}")
        };
        Self::parse(&url)
    }

    fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// For the `Host` header: no user, and the port only if it isn't the usual one.
    fn host_header(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Escapes what strangers write into URLs though it doesn't belong there, and leaves the fragment away.
pub(crate) fn escape(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.push_str(&format!("%{byte:02X}"));
            }
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A link to the server. Whoever comes from a public server is led to public addresses only: the addresses that are
/// judged are those that are used, so that a name can't change its meaning in between.
async fn connect(ways: &Ways, target: &Target, wish: Wish) -> Result<Opened, FetchError> {
    let host = || target.host.clone();
    let there = way::Target::new(&target.host, target.port);
    let there = there.ok_or_else(|| FetchError::Url(target.uri.to_string()))?;
    ways.open(&there, wish).await.map_err(|error| match error {
        OpenError::Resolve(error) => FetchError::Resolve { host: host(), error },
        OpenError::Private => FetchError::Private(host()),
        OpenError::Connect(error) => FetchError::Connect { host: host(), error },
    })
}

async fn secure(
    target: &Target,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + use<>, FetchError> {
    let broken = |error| FetchError::Connect { host: target.host.clone(), error };
    tls_over(&target.host, stream).await.map_err(broken)
}

/// TLS with a host, over a link to it.
pub(crate) async fn tls_over(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(tls()?).connect(name, stream).await
}

/// The settings of TLS, made when they are first needed.
fn tls() -> io::Result<Arc<rustls::ClientConfig>> {
    static SETTINGS: OnceLock<Arc<rustls::ClientConfig>> = OnceLock::new();
    if let Some(settings) = SETTINGS.get() {
        return Ok(Arc::clone(settings));
    }
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        trust(&mut roots, Path::new(&file));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(SETTINGS.get_or_init(|| Arc::new(settings))))
}

/// Authorities that the user trusts beside the usual ones. What can't be read is said, and changes nothing.
fn trust(roots: &mut rustls::RootCertStore, file: &Path) {
    let added =
        CertificateDer::pem_file_iter(file).map(|found| roots.add_parsable_certificates(found.flatten()));
    match added {
        Ok((added, unusable)) => tracing::debug!(?file, added, unusable, "authorities of SSL_CERT_FILE"),
        Err(error) => tracing::warn!(?file, %error, "SSL_CERT_FILE can't be read"),
    }
}

async fn exchange<S>(target: &Target, stream: S, limits: Limits) -> Result<Turn, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken =
        |error: hyper::Error| FetchError::Http { host: target.host.clone(), error: error.to_string() };
    let (mut sender, link) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // The link ends with this exchange, however that ends.
    let _driven = Driven(tokio::spawn(async move { drop(link.await) }));
    let request = Request::get(target.path())
        .header(HOST, target.host_header())
        .header(USER_AGENT, concat!("millstream/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT_ENCODING, "gzip")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url(target.uri.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if let Some(location) = redirect(&response) {
        return Ok(Turn::Redirect(location));
    }
    let status = response.status().as_u16();
    let packed = response
        .headers()
        .get(CONTENT_ENCODING)
        .is_some_and(|with| with.as_bytes().eq_ignore_ascii_case(b"gzip") || with.as_bytes() == b"x-gzip");
    let body = read(response.into_body(), limits.bytes_max).await.map_err(|error| match error {
        None => FetchError::TooLong(limits.bytes_max),
        Some(error) => broken(error),
    })?;
    let body = if packed { unpack(&body, limits.bytes_max, target)? } else { body };
    Ok(Turn::Answer(Answer { status, body }))
}

/// A task that ends with its owner.
struct Driven(tokio::task::JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn redirect(response: &Response<Incoming>) -> Option<String> {
    let statuses = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !statuses.contains(&response.status()) {
        return None;
    }
    Some(response.headers().get(LOCATION)?.to_str().ok()?.to_owned())
}

/// The body; `None` as the error if it is too long.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<Vec<u8>, Option<hyper::Error>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Some)?.into_data() {
            if bytes.len() + data.len() > bytes_max {
                return Err(None);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// Unpacks no more than is allowed, whatever the packed bytes claim.
fn unpack(packed: &[u8], bytes_max: usize, target: &Target) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    let unpacked =
        flate2::read::MultiGzDecoder::new(packed).take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    match unpacked {
        Ok(_) if bytes.len() > bytes_max => Err(FetchError::TooLong(bytes_max)),
        Ok(_) => Ok(bytes),
        Err(error) => Err(FetchError::Http { host: target.host.clone(), error: error.to_string() }),
    }
}

/// Whether an address is one of the open Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let special = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast() || shared || special)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, .., seventh, eighth] = ip.segments();
    let [a, b] = seventh.to_be_bytes();
    let [c, d] = eighth.to_be_bytes();
    if (first, second) == (0x64, 0xff9b) {
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // 2000::/3 is all that was ever given out.
    first & 0xe000 == 0x2000
}

#[cfg(test)]
mod tests;
