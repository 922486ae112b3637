//! Tracker URLs: which kind of tracker one names, its parts, and the URLs that announces and scrapes are asked at
//! (BEP 3, 7, 27, 41, 48). Nothing is sent here.

use super::InfoHash;
use super::percent;
use super::tracker::{AnnounceQuery, TrackerEvent};
use alloc::string::String;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv6Addr};

/// Bytes of a tracker's URL; a longer one is refused.
pub const URL_BYTES_MAX: usize = 2048;

/// What a tracker is spoken to by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// BEP 15.
    Udp,
    /// WebSocket in clear, for browsers' peers.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Why a text is no tracker's URL, or has no scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackerUrlError {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL is too long")]
    Long,
    /// None of the schemes that trackers have.
    #[error("unknown scheme")]
    Scheme,
    /// No host, or one with a character that no host has.
    #[error("no usable host")]
    Host,
    /// A port that is no number from 1 to 65535, or none where one is needed (UDP).
    #[error("no usable port")]
    Port,
    /// A user's name in it: it would be sent to whoever the torrent's maker chose.
    #[error("credentials in the URL")]
    Credentials,
    /// The last part of the path doesn't begin with `announce` (BEP 48).
    #[error("this tracker has no scrape")]
    NoScrape,
}

/// The parts of a tracker's URL, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerUrl<'a> {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: &'a str,
    /// The port, or the scheme's own.
    pub port: u16,
    /// Path and query, without the fragment; may be empty.
    pub path_and_query: &'a str,
    before_path: &'a str,
}

impl<'a> TrackerUrl<'a> {
    /// Reads a URL.
    pub fn parse(url: &'a str) -> Result<Self, TrackerUrlError> {
        if url.len() > URL_BYTES_MAX {
            return Err(TrackerUrlError::Long);
        }
        let url = url.trim();
        let url = url.split_once('#').map_or(url, |(before, _)| before);
        let (name, rest) = url.split_once("://").ok_or(TrackerUrlError::Scheme)?;
        let scheme = scheme(name).ok_or(TrackerUrlError::Scheme)?;
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) =
            rest.split_at_checked(authority_len).ok_or(TrackerUrlError::Host)?;
        if authority.contains('@') {
            return Err(TrackerUrlError::Credentials);
        }
        let (host, port) = host_and_port(authority)?;
        let port = match (port, scheme) {
            (Some(port), _) => port.parse().ok().filter(|&p| p != 0).ok_or(TrackerUrlError::Port)?,
            (None, Scheme::Http | Scheme::Ws) => 80,
            (None, Scheme::Https | Scheme::Wss) => 443,
            (None, Scheme::Udp) => return Err(TrackerUrlError::Port),
        };
        let before_len = url.len() - path_and_query.len();
        let before_path = url.get(..before_len).unwrap_or(url);
        Ok(Self { scheme, host, port, path_and_query, before_path })
    }

    /// The host, if it is an address.
    pub fn host_address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the tracker is on this machine by its own word, as in a demo or a test.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host_address().is_some_and(|ip| ip.is_loopback())
    }

    fn written(&self, path_and_query: &str) -> String {
        let mut out = String::with_capacity(self.before_path.len() + path_and_query.len() + 400);
        out.push_str(self.before_path);
        if !path_and_query.starts_with('/') {
            out.push('/');
        }
        // What can't stand in a request line is escaped, so that a URL never ends the line or begins a header.
        for b in path_and_query.bytes() {
            if (0x21..0x7f).contains(&b) { out.push(char::from(b)) } else { escape(&mut out, b) }
        }
        out
    }
}

fn scheme(name: &str) -> Option<Scheme> {
    let known = [
        ("http", Scheme::Http),
        ("https", Scheme::Https),
        ("udp", Scheme::Udp),
        ("ws", Scheme::Ws),
        ("wss", Scheme::Wss),
    ];
    known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, scheme)| scheme)
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), TrackerUrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(TrackerUrlError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| TrackerUrlError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(TrackerUrlError::Port),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let usable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(usable) {
        return Err(TrackerUrlError::Host);
    }
    Ok((host, port))
}

fn escape(out: &mut String, byte: u8) {
    // Writing to a string can't fail.
    let _ = write!(out, "%{byte:02X}");
}

/// The URL of an announce (BEP 3): the tracker's own query is kept, ours is appended. `tracker_id` is what the tracker
/// gave before.
pub fn announce_url(url: &TrackerUrl<'_>, query: &AnnounceQuery, tracker_id: Option<&[u8]>) -> String {
    let mut out = url.written(url.path_and_query);
    out.push_str(if url.path_and_query.contains('?') { "&info_hash=" } else { "?info_hash=" });
    percent::encode_into(&mut out, &query.info_hash.0);
    out.push_str("&peer_id=");
    percent::encode_into(&mut out, &query.peer_id.0);
    // Writing to a string can't fail.
    let _ = write!(
        out,
        "&port={}&uploaded={}&downloaded={}&left={}&compact=1&no_peer_id=1&key={:08x}",
        query.port,
        query.uploaded,
        query.downloaded,
        query.left_sent(),
        query.key
    );
    if let Some(numwant) = query.numwant {
        let _ = write!(out, "&numwant={numwant}");
    }
    match query.event {
        TrackerEvent::None => {}
        TrackerEvent::Completed => out.push_str("&event=completed"),
        TrackerEvent::Started => out.push_str("&event=started"),
        TrackerEvent::Stopped => out.push_str("&event=stopped"),
    }
    if let Some(id) = tracker_id {
        out.push_str("&trackerid=");
        percent::encode_into(&mut out, id);
    }
    out
}

/// The URL of a scrape (BEP 48): the `announce` that the last part of the path begins with becomes `scrape`.
pub fn scrape_url(url: &TrackerUrl<'_>, info_hashes: &[InfoHash]) -> Result<String, TrackerUrlError> {
    let whole = url.path_and_query;
    let path = whole.split_once('?').map_or(whole, |(path, _)| path);
    let slash = path.rfind('/').ok_or(TrackerUrlError::NoScrape)?;
    let last = path.get(slash + 1..).ok_or(TrackerUrlError::NoScrape)?;
    let tail = last.strip_prefix("announce").ok_or(TrackerUrlError::NoScrape)?;
    let mut target = String::with_capacity(whole.len());
    target.push_str(path.get(..=slash).unwrap_or("/"));
    target.push_str("scrape");
    target.push_str(tail);
    target.push_str(whole.get(path.len()..).unwrap_or_default());
    let mut out = url.written(&target);
    let mut separator = if whole.contains('?') { '&' } else { '?' };
    for hash in info_hashes {
        out.push(separator);
        out.push_str("info_hash=");
        percent::encode_into(&mut out, &hash.0);
        separator = '&';
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::wire::PeerId;

    fn query() -> AnnounceQuery {
        AnnounceQuery {
            info_hash: InfoHash(
                *b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a",
            ),
            peer_id: PeerId(*b"-MS0100-abcdefghijk&"),
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: Some(u64::MAX),
            event: TrackerEvent::Started,
            numwant: Some(50),
            key: 0xbad,
        }
    }

    #[test]
    fn bep_0003_the_announce_url_carries_binary_hash_and_id_escaped() {
        let url = TrackerUrl::parse("http://t.example:6969/announce").unwrap();
        assert_eq!(
            announce_url(&url, &query(), None),
            "http://t.example:6969/announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
             &peer_id=-MS0100-abcdefghijk%26&port=6881&uploaded=1&downloaded=2&left=18446744073709551615\
             &compact=1&no_peer_id=1&key=00000bad&numwant=50&event=started"
        );
    }

    #[test]
    fn the_trackers_own_query_is_kept_and_its_id_sent_back() {
        let url = TrackerUrl::parse("https://t.example/a/announce?passkey=x#frag").unwrap();
        let asked = announce_url(&url, &AnnounceQuery { event: TrackerEvent::None, ..query() }, Some(b"i d"));
        assert!(asked.starts_with("https://t.example/a/announce?passkey=x&info_hash=%124Vx"));
        assert!(asked.ends_with("&numwant=50&trackerid=i%20d"));
        assert_eq!((url.host, url.port), ("t.example", 443));
    }

    #[test]
    fn a_url_cannot_break_out_of_the_request_line() {
        let url = TrackerUrl::parse("http://t.example/a b\r\nHost: x/\u{e9}").unwrap();
        let asked = announce_url(&url, &query(), None);
        assert!(asked.starts_with("http://t.example/a%20b%0D%0AHost:%20x/%C3%A9?info_hash="));
    }

    #[test]
    fn bep_0048_scrape_replaces_announce_in_the_last_part_of_the_path() {
        let scrape = |url: &str| scrape_url(&TrackerUrl::parse(url).unwrap(), &[InfoHash([b'x'; 20])]);
        let hash = "info_hash=xxxxxxxxxxxxxxxxxxxx";
        for (announce, expected) in [
            ("http://e.com/announce", "http://e.com/scrape?"),
            ("http://e.com/x/announce", "http://e.com/x/scrape?"),
            ("http://e.com/announce.php", "http://e.com/scrape.php?"),
            ("http://e.com/announce?x2%0644", "http://e.com/scrape?x2%0644&"),
        ] {
            assert_eq!(scrape(announce).unwrap(), std::format!("{expected}{hash}"));
        }
        for announce in
            ["http://e.com/a", "http://e.com/announce?x=2/4/", "http://e.com/x%064announce", "http://e.com"]
        {
            let expected = announce.starts_with("http://e.com/announce?");
            assert_eq!(scrape(announce).is_ok(), expected, "{announce}");
        }
    }

    #[test]
    fn bep_0048_a_scrape_names_each_torrent() {
        let url = TrackerUrl::parse("http://tracker/announce").unwrap();
        assert_eq!(
            scrape_url(&url, &[InfoHash([b'x'; 20]), InfoHash([b'y'; 20])]).unwrap(),
            "http://tracker/scrape?info_hash=xxxxxxxxxxxxxxxxxxxx&info_hash=yyyyyyyyyyyyyyyyyyyy"
        );
    }

    #[test]
    fn bep_0041_a_udp_url_keeps_path_and_query() {
        let url = TrackerUrl::parse("udp://tracker.example.com:80/dir?a=b&c=d").unwrap();
        assert_eq!((url.scheme, url.host, url.port), (Scheme::Udp, "tracker.example.com", 80));
        assert_eq!(url.path_and_query, "/dir?a=b&c=d");
        let url = TrackerUrl::parse("UDP://[2001:db8::1]:80").unwrap();
        assert_eq!((url.host, url.path_and_query), ("2001:db8::1", ""));
        assert!(url.host_address().is_some());
    }

    #[test]
    fn what_is_no_tracker_url_is_refused_by_its_fault() {
        let error = |url: &str| TrackerUrl::parse(url).unwrap_err();
        assert_eq!(error("ftp://a/announce"), TrackerUrlError::Scheme);
        assert_eq!(error("announce"), TrackerUrlError::Scheme);
        assert_eq!(error("http://"), TrackerUrlError::Host);
        assert_eq!(error("http://a b/announce"), TrackerUrlError::Host);
        assert_eq!(error("http://[::1/announce"), TrackerUrlError::Host);
        assert_eq!(error("http://[::1]x/announce"), TrackerUrlError::Port);
        assert_eq!(error("http://a:0/announce"), TrackerUrlError::Port);
        assert_eq!(error("http://a:70000/"), TrackerUrlError::Port);
        assert_eq!(error("udp://a/announce"), TrackerUrlError::Port);
        assert_eq!(error("http://user:pw@a/announce"), TrackerUrlError::Credentials);
        assert_eq!(error(&"x".repeat(URL_BYTES_MAX + 1)), TrackerUrlError::Long);
    }

    #[test]
    fn a_tracker_on_this_machine_is_known() {
        for url in ["http://127.0.0.1:1/announce", "http://localhost/announce", "udp://[::1]:9"] {
            assert!(TrackerUrl::parse(url).unwrap().is_loopback());
        }
        assert!(!TrackerUrl::parse("http://127.example/announce").unwrap().is_loopback());
    }

    #[test]
    fn mutated_urls_never_panic() {
        let mut rng = Rng::new([7; 32]);
        for _ in 0..20_000 {
            let mut url = *b"http://[2001:db8::1]:80/announce?x=y#z";
            for _ in 0..=rng.below(4) {
                let at = rng.index(url.len()).unwrap();
                url[at] = *b":/?#[]@% \x01".get(rng.index(10).unwrap()).unwrap();
            }
            let text = core::str::from_utf8(&url).unwrap();
            if let Ok(url) = TrackerUrl::parse(text) {
                assert!(announce_url(&url, &query(), None).bytes().all(|b| (0x21..0x7f).contains(&b)));
                let _ = scrape_url(&url, &[]);
            }
        }
    }
}
