//! SOCKS5 as its client speaks it: the greeting, name and password (RFC 1929), CONNECT and UDP ASSOCIATE, and the head of
//! a datagram (RFC 1928). Bytes to values and back; sockets, names and time are the driver's.

use super::proxy_url::{Credentials, HOST_BYTES_MAX};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest head of a datagram that is written or read.
pub const UDP_HEAD_BYTES_MAX: usize = 4 + 1 + HOST_BYTES_MAX + 2;

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const TYPE_V4: u8 = 1;
const TYPE_NAME: u8 = 3;
const TYPE_V6: u8 = 4;

/// Where something is to go, or came from: an address, or a name that the proxy looks up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Addr(SocketAddr),
    /// A name of 1 to 255 bytes, and a port.
    Name(Box<str>, u16),
}

impl Target {
    /// A host and a port: an address where the host is one. `None` if it is no possible name.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self::Addr(SocketAddr::new(ip, port)));
        }
        let fits =
            !host.is_empty() && host.len() <= HOST_BYTES_MAX && !host.bytes().any(|b| b.is_ascii_control());
        fits.then(|| Self::Name(host.into(), port))
    }
}

/// Whether an address is one of those that stand for a name which the proxy looks up: out of 240.0.0.0/4, which nobody
/// has. The driver chooses them; the engine has one kind of address.
pub fn stands_for_a_name(ip: IpAddr) -> bool {
    matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.octets()[0] >= 240 && ip != Ipv4Addr::BROADCAST)
}

/// What is asked of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A link to this target.
    Connect(Target),
    /// A relay for datagrams, for as long as this link lives.
    UdpAssociate,
}

/// Why it came to nothing. The proxy is to blame, or whoever configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Socks5Error {
    /// Its version isn't 5: it is no SOCKS5 proxy.
    #[error("the proxy doesn't speak SOCKS5")]
    Version,
    /// It takes none of the ways to say who we are that we have.
    #[error("the proxy wants another way to log in")]
    Method,
    /// It doesn't take the name and the password.
    #[error("the proxy refuses the name or the password")]
    Credentials,
    /// It says no, with a code of RFC 1928.
    #[error("the proxy refuses: {}", refusal(*.0))]
    Refused(u8),
    /// Bytes that are no answer.
    #[error("the proxy's answer is malformed")]
    Malformed,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this.
    Send(Vec<u8>),
    /// Read more.
    Read,
    /// The proxy agrees. For a relay: where datagrams go to.
    Done(Target),
}

/// One conversation with a proxy, from the greeting to its answer. It asks for exactly the bytes that it can use, so that
/// none of what follows is taken.
#[derive(Debug)]
pub struct Socks5 {
    state: State,
    request: Request,
    credentials: Option<Credentials>,
    /// Of an answer whose length isn't known yet.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Password,
    ReplyHead,
    ReplyRest(usize),
    Over,
}

impl Socks5 {
    /// Begins; sends the first bytes.
    pub fn start(request: Request, credentials: Option<Credentials>) -> (Self, Vec<u8>) {
        let hello = match credentials {
            None => Vec::from([VERSION, 1, METHOD_NONE]),
            Some(_) => Vec::from([VERSION, 2, METHOD_NONE, METHOD_PASSWORD]),
        };
        (Self { state: State::Method, request, credentials, head: Vec::new() }, hello)
    }

    /// How many bytes are to be read before `on_received`; 0 when it is over.
    pub fn wants(&self) -> usize {
        match self.state {
            State::Method | State::Password => 2,
            // Up to the first byte of the address: a name's length, or a part of the address.
            State::ReplyHead => 5,
            State::ReplyRest(bytes) => bytes,
            State::Over => 0,
        }
    }

    /// Takes exactly [`Socks5::wants`] bytes.
    pub fn on_received(&mut self, bytes: &[u8]) -> Result<Step, Socks5Error> {
        let step = self.step(bytes);
        if !matches!(step, Ok(Step::Send(_) | Step::Read)) {
            self.state = State::Over;
        }
        step
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Step, Socks5Error> {
        if bytes.len() != self.wants() {
            return Err(Socks5Error::Malformed);
        }
        match (self.state, bytes) {
            (State::Method, &[VERSION, METHOD_NONE]) => Ok(self.ask()),
            (State::Method, &[VERSION, METHOD_PASSWORD]) => match &self.credentials {
                Some(credentials) => {
                    self.state = State::Password;
                    Ok(Step::Send(write_credentials(credentials)))
                }
                None => Err(Socks5Error::Method),
            },
            (State::Method, &[VERSION, _]) => Err(Socks5Error::Method),
            (State::Method, _) => Err(Socks5Error::Version),
            // RFC 1929's own version; some proxies answer with 5.
            (State::Password, &[AUTH_VERSION | VERSION, 0]) => Ok(self.ask()),
            (State::Password, _) => Err(Socks5Error::Credentials),
            (State::ReplyHead, &[version, code, _, kind, first]) => {
                if version != VERSION {
                    return Err(Socks5Error::Version);
                }
                if code != 0 {
                    return Err(Socks5Error::Refused(code));
                }
                let rest = match kind {
                    TYPE_V4 => 3 + 2,
                    TYPE_V6 => 15 + 2,
                    TYPE_NAME => usize::from(first) + 2,
                    _ => return Err(Socks5Error::Malformed),
                };
                self.head = bytes.to_vec();
                self.state = State::ReplyRest(rest);
                Ok(Step::Read)
            }
            (State::ReplyRest(_), _) => {
                self.head.extend_from_slice(bytes);
                let (target, _) = self.head.get(3..).and_then(read_target).ok_or(Socks5Error::Malformed)?;
                Ok(Step::Done(target))
            }
            (State::ReplyHead | State::Over, _) => Err(Socks5Error::Malformed),
        }
    }

    fn ask(&mut self) -> Step {
        self.state = State::ReplyHead;
        let any = Target::Addr(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let (command, target) = match &self.request {
            Request::Connect(target) => (1, target),
            Request::UdpAssociate => (3, &any),
        };
        let mut out = Vec::from([VERSION, command, 0]);
        write_target(&mut out, target);
        Step::Send(out)
    }
}

/// Appends the head of a datagram to `target`; its payload follows.
pub fn write_udp_head(out: &mut Vec<u8>, target: &Target) {
    out.extend_from_slice(&[0, 0, 0]);
    write_target(out, target);
}

/// Reads a datagram from a relay: where it came from, and its payload. `None` for fragments, which nobody has to support,
/// and for anything else.
pub fn read_udp(datagram: &[u8]) -> Option<(Target, &[u8])> {
    let rest = datagram.strip_prefix(&[0, 0, 0])?;
    let (target, taken) = read_target(rest)?;
    Some((target, rest.get(taken..)?))
}

fn write_target(out: &mut Vec<u8>, target: &Target) {
    let port = match target {
        Target::Addr(addr) => {
            match addr.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    out.push(TYPE_V4);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(TYPE_V6);
                    out.extend_from_slice(&ip.octets());
                }
            }
            addr.port()
        }
        Target::Name(name, port) => {
            let name = name.as_bytes().get(..name.len().min(HOST_BYTES_MAX)).unwrap_or_default();
            out.extend_from_slice(&[TYPE_NAME, name.len() as u8]);
            out.extend_from_slice(name);
            *port
        }
    };
    out.extend_from_slice(&port.to_be_bytes());
}

/// A target, and how many bytes it took.
fn read_target(bytes: &[u8]) -> Option<(Target, usize)> {
    let (&kind, rest) = bytes.split_first()?;
    let (host, taken) = match kind {
        TYPE_V4 => (Ok(IpAddr::from(Ipv4Addr::from(*rest.first_chunk::<4>()?))), 4),
        TYPE_V6 => (Ok(IpAddr::from(Ipv6Addr::from(*rest.first_chunk::<16>()?)).to_canonical()), 16),
        TYPE_NAME => {
            let length = usize::from(*rest.first()?);
            (Err(rest.get(1..1 + length)?), 1 + length)
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(*rest.get(taken..)?.first_chunk::<2>()?);
    let target = match host {
        Ok(ip) => Target::Addr(SocketAddr::new(ip, port)),
        // Some proxies write addresses as names.
        Err(name) => Target::new(core::str::from_utf8(name).ok()?, port)?,
    };
    Some((target, 1 + taken + 2))
}

fn write_credentials(credentials: &Credentials) -> Vec<u8> {
    let mut out = Vec::from([AUTH_VERSION]);
    for text in [&credentials.user, &credentials.password] {
        let text = text.get(..text.len().min(255)).unwrap_or_default();
        out.push(text.len() as u8);
        out.extend_from_slice(text);
    }
    out
}

/// The words of RFC 1928 for its codes.
fn refusal(code: u8) -> String {
    let words = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => return alloc::format!("code {code}"),
    };
    words.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn connect(to: &str, port: u16) -> Request {
        Request::Connect(Target::new(to, port).unwrap())
    }

    fn login() -> Option<Credentials> {
        Some(Credentials { user: (*b"me").into(), password: (*b"pw").into() })
    }

    #[test]
    fn rfc_1928_connect_to_a_name_without_login() {
        let (mut socks, hello) = Socks5::start(connect("a.test", 80), None);
        assert_eq!((hello, socks.wants()), (vec![5, 1, 0], 2));
        let request = b"\x05\x01\x00\x03\x06a.test\x00\x50".to_vec();
        assert_eq!(socks.on_received(&[5, 0]), Ok(Step::Send(request)));
        assert_eq!(socks.wants(), 5);
        assert_eq!(socks.on_received(&[5, 0, 0, 1, 192]), Ok(Step::Read));
        assert_eq!(socks.wants(), 5);
        let bound = Target::Addr("192.0.2.1:4660".parse().unwrap());
        assert_eq!(socks.on_received(&[0, 2, 1, 0x12, 0x34]), Ok(Step::Done(bound)));
        assert_eq!(socks.wants(), 0);
        assert_eq!(socks.on_received(&[1]), Err(Socks5Error::Malformed));
    }

    #[test]
    fn rfc_1929_name_and_password_then_a_relay_for_datagrams() {
        let (mut socks, hello) = Socks5::start(Request::UdpAssociate, login());
        assert_eq!(hello, [5, 2, 0, 2]);
        assert_eq!(socks.on_received(&[5, 2]), Ok(Step::Send(b"\x01\x02me\x02pw".to_vec())));
        assert_eq!(socks.on_received(&[1, 0]), Ok(Step::Send(vec![5, 3, 0, 1, 0, 0, 0, 0, 0, 0])));
        assert_eq!(socks.on_received(&[5, 0, 0, 4, 0x20]), Ok(Step::Read));
        assert_eq!(socks.wants(), 17);
        let mut rest = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[1..].to_vec();
        rest.extend_from_slice(&[0, 9]);
        let relay = Target::Addr("[2001:db8::1]:9".parse().unwrap());
        assert_eq!(socks.on_received(&rest), Ok(Step::Done(relay)));
    }

    #[test]
    fn addresses_of_both_families_are_asked_for_in_binary() {
        let asked = |to| {
            let (mut socks, _) = Socks5::start(connect(to, 1), None);
            match socks.on_received(&[5, 0]) {
                Ok(Step::Send(bytes)) => bytes,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(asked("192.0.2.7"), [5, 1, 0, 1, 192, 0, 2, 7, 0, 1]);
        assert_eq!(asked("::ffff:192.0.2.7"), [5, 1, 0, 1, 192, 0, 2, 7, 0, 1]);
        assert_eq!(asked("2001:db8::1")[..6], [5, 1, 0, 4, 0x20, 0x01]);
    }

    #[test]
    fn every_refusal_says_whose_it_is() {
        let answer = |bytes: &[&[u8]], credentials| {
            let (mut socks, _) = Socks5::start(connect("a", 1), credentials);
            let mut last = Ok(Step::Read);
            bytes.iter().for_each(|bytes| last = socks.on_received(bytes));
            last
        };
        assert_eq!(answer(&[b"HT"], None), Err(Socks5Error::Version));
        assert_eq!(answer(&[&[5, 255]], login()), Err(Socks5Error::Method));
        assert_eq!(answer(&[&[5, 2]], None), Err(Socks5Error::Method), "not asked for, not given");
        assert_eq!(answer(&[&[5, 2], &[1, 1]], login()), Err(Socks5Error::Credentials));
        assert_eq!(answer(&[&[5, 0], &[5, 5, 0, 1, 0]], None), Err(Socks5Error::Refused(5)));
        assert_eq!(answer(&[&[5, 0], &[5, 0, 0, 9, 0]], None), Err(Socks5Error::Malformed));
        assert_eq!(answer(&[&[5, 0], &[4, 0, 0, 1, 0]], None), Err(Socks5Error::Version));
        assert_eq!(answer(&[&[5, 0, 0]], None), Err(Socks5Error::Malformed));
        assert_eq!(alloc::format!("{}", Socks5Error::Refused(5)), "the proxy refuses: connection refused");
    }

    #[test]
    fn a_datagrams_head_comes_back_and_fragments_are_dropped() {
        for target in ["192.0.2.1", "2001:db8::9", "tracker.test"] {
            let target = Target::new(target, 6969).unwrap();
            let mut datagram = vec![];
            write_udp_head(&mut datagram, &target);
            assert!(datagram.len() <= UDP_HEAD_BYTES_MAX);
            datagram.extend_from_slice(b"payload");
            assert_eq!(read_udp(&datagram), Some((target, &b"payload"[..])));
            datagram[2] = 1;
            assert_eq!(read_udp(&datagram), None, "a fragment");
        }
        assert_eq!(read_udp(&[0, 0, 0, 1, 1, 2, 3]), None);
        assert_eq!(read_udp(&[0, 0, 0, 3, 0, 0, 1]), None, "a name of no bytes");
        let named = b"\x00\x00\x00\x03\x09192.0.2.1\x00\x07!";
        assert_eq!(read_udp(named), Some((Target::Addr("192.0.2.1:7".parse().unwrap()), &b"!"[..])));
    }
}
