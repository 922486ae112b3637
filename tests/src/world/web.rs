//! Simulated web servers: files behind URLs, with the manners that a story gives them. Each keeps what it was asked.

use super::network::End;
use super::{Happening, World};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use millstream_core::base::ConnId;
use millstream_core::engine::{Input, LinkEnd, LinkInfo};
use millstream_core::wire::http::{ContentRange, HttpHead, HttpRequest};
use millstream_core::wire::percent;
use std::collections::BTreeMap;

/// How a web server behaves.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Whether it knows ranges.
    pub ranges: bool,
    /// It answers so many requests with this status and `Retry-After`.
    pub refuses: (u32, u16, Option<Duration>),
    /// It takes what it is asked, and never answers.
    pub hangs: bool,
    /// It ends each body after so many bytes.
    pub short: Option<u64>,
    /// It stops sending after so many bytes, and keeps the link.
    pub stalls: Option<u64>,
    /// It sends this many bytes more than it says.
    pub extra: u64,
    /// It sends a range that begins so many bytes later.
    pub shift: u64,
    /// It changes a byte of every so many of a file.
    pub lies: Option<usize>,
    /// Bytes a second.
    pub rate: Option<u64>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            ranges: true,
            refuses: (0, 503, None),
            hangs: false,
            short: None,
            stalls: None,
            extra: 0,
            shift: 0,
            lies: None,
            rate: None,
        }
    }
}

/// A web server.
#[derive(Debug)]
pub struct SimWeb {
    /// Its host name.
    pub host: String,
    /// Its address.
    pub addr: SocketAddr,
    /// How it behaves.
    pub manners: Manners,
    /// What it serves, by path without the first slash.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What it was asked, in order.
    pub requests: Vec<HttpRequest>,
    /// Links that were open at once, at most.
    pub links_most: usize,
}

/// What a server does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    head: HttpHead,
    body: Vec<u8>,
    /// The link stays when the body is sent.
    stays: bool,
}

impl SimWeb {
    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("http://{}/", self.host)
    }

    fn answer(&mut self, request: &HttpRequest) -> Answer {
        self.requests.push(request.clone());
        let plain = |status, retry_after| Answer {
            head: HttpHead { status, retry_after, ..HttpHead::default() },
            body: b"no".to_vec(),
            stays: false,
        };
        if self.manners.refuses.0 > 0 {
            self.manners.refuses.0 -= 1;
            return plain(self.manners.refuses.1, self.manners.refuses.2);
        }
        let path = request.url.splitn(4, '/').nth(3).unwrap_or_default();
        let path = String::from_utf8(percent::decode(path)).unwrap_or_default();
        let Some(file) = self.files.get(&path) else { return plain(404, None) };
        let mut bytes = file.clone();
        if let Some(every) = self.manners.lies {
            bytes.iter_mut().step_by(every).for_each(|byte| *byte ^= 1);
        }
        let total = bytes.len() as u64;
        let mut head = HttpHead { status: 200, length: Some(total), ..HttpHead::default() };
        if let Some((first, last)) = request.range.filter(|_| self.manners.ranges) {
            let (first, last) = (first + self.manners.shift, (last + self.manners.shift).min(total - 1));
            bytes = bytes.get(first as usize..=last as usize).unwrap_or_default().to_vec();
            head.status = 206;
            head.length = Some(bytes.len() as u64);
            head.range = Some(ContentRange { first, last, total: Some(total) });
        }
        bytes.extend(core::iter::repeat_n(0, self.manners.extra as usize));
        let cut = self.manners.short.or(self.manners.stalls).unwrap_or(u64::MAX);
        bytes.truncate(cut.min(bytes.len() as u64) as usize);
        Answer { head, body: bytes, stays: self.manners.stalls.is_some() }
    }
}

impl World {
    /// A new web server with these files. Returns its number.
    pub fn web(&mut self, files: &[(String, Vec<u8>)]) -> usize {
        let n = self.webs.len();
        self.webs.push(SimWeb {
            host: format!("web{n}.example"),
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(93, n as u8 + 1, 0, 1)), 80),
            manners: Manners::default(),
            files: files.iter().cloned().collect(),
            requests: Vec::new(),
            links_most: 0,
        });
        n
    }

    /// Links to web servers that are open now.
    fn web_links(&self, addr: SocketAddr) -> usize {
        self.web_wires.iter().filter(|&&(wire, of)| of == addr && !self.is_left(wire)).count()
    }

    fn is_left(&self, wire: usize) -> bool {
        self.wires[wire].ends.iter().all(|end| !matches!(end, End::Host { .. }))
    }

    pub(super) fn on_fetch(&mut self, n: usize, conn: ConnId, request: HttpRequest) {
        let boot = self.hosts[n].boot;
        let host = request.url.split('/').nth(2).unwrap_or_default();
        let at = self.after(self.weather.latency_us);
        let Some(web) = self.webs.iter().position(|web| web.host == host) else {
            let why = LinkEnd::Host(format!("{host} has no address"));
            let nowhere = self.hosts[n].addr;
            self.hosts[n].dialing.insert(conn, nowhere);
            return self.plan(at, Happening::Tell { host: n, boot, input: Input::Closed { conn, why } });
        };
        self.hosts[n].dialing.insert(conn, self.webs[web].addr);
        self.plan(at, Happening::Fetch { host: n, boot, conn, web, request });
    }

    /// A request reaches its server.
    pub(super) fn on_request(
        &mut self,
        (n, boot, conn): (usize, u32, ConnId),
        web: usize,
        request: &HttpRequest,
    ) {
        if self.hosts[n].boot != boot || !self.hosts[n].dialing.contains_key(&conn) {
            return;
        }
        let (addr, rate) = (self.webs[web].addr, self.webs[web].manners.rate);
        let Answer { head, body, stays } = self.webs[web].answer(request);
        if self.webs[web].manners.hangs {
            return;
        }
        let latency_us = self.draw(self.weather.latency_us);
        let latency = Duration::from_micros(latency_us);
        let wire = self.lay(latency, [End::Host { host: n, conn }, End::Stranger]);
        self.web_wires.push((wire, addr));
        let open = self.web_links(addr);
        self.webs[web].links_most = self.webs[web].links_most.max(open);
        let info = LinkInfo { head: Some(Box::new(head)), ..LinkInfo::between(self.hosts[n].addr, addr) };
        let at = self.now + latency;
        self.plan(at, Happening::Tell { host: n, boot, input: Input::Opened { conn, info } });
        self.plan(at, Happening::Body { wire, rate, stays, left: body });
    }

    /// A server sends what it has left of a body, or as much as its rate allows in a second.
    pub(super) fn on_body(&mut self, wire: usize, rate: Option<u64>, stays: bool, mut left: Vec<u8>) {
        if self.is_left(wire) {
            return;
        }
        let now = rate.map_or(left.len(), |rate| left.len().min(rate as usize));
        let later = left.split_off(now);
        let stream = &mut self.wires[wire].streams[0];
        stream.outgoing.push(left);
        stream.closing = later.is_empty() && !stays;
        self.pump(wire, 1);
        if !later.is_empty() {
            let at = self.now + Duration::from_secs(1);
            self.plan(at, Happening::Body { wire, rate, stays, left: later });
        }
    }
}
