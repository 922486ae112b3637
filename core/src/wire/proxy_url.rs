//! The URL of a proxy: which kind it is, where it is, who we are to it. Nothing is sent here.

use super::percent;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// Bytes of a name or a password (RFC 1929).
pub const CREDENTIAL_BYTES_MAX: usize = 255;

/// Bytes of a host's name (RFC 1928, RFC 1035).
pub const HOST_BYTES_MAX: usize = 255;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// RFC 1928: links and datagrams.
    Socks5,
    /// `CONNECT` (RFC 9110): links only.
    Http,
}

/// Who we are to a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, 1 to 255 bytes.
    pub user: Box<[u8]>,
    /// The password, up to 255 bytes.
    pub password: Box<[u8]>,
}

/// Secrets don't belong in logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Credentials(..)")
    }
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// Name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
}

/// Why a text is no proxy's URL. Whoever wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Neither `socks5://` (or `socks5h://`) nor `http://`.
    #[error("a proxy is socks5://host:port or http://host:port")]
    Scheme,
    /// No host, or no possible one.
    #[error("the proxy's URL has no usable host")]
    Host,
    /// A port that is no number from 1 to 65535.
    #[error("the proxy's URL has no usable port")]
    Port,
    /// An empty or over-long name, or an over-long password.
    #[error("the name is 1 to 255 bytes, the password 255 at most")]
    Credentials,
    /// A path or query: a proxy has none.
    #[error("a proxy's URL ends behind the port")]
    Path,
}

impl ProxyUrl {
    /// Reads `socks5://[user:password@]host[:port]` or `http://..`. Name and password are percent-decoded; the port is
    /// 1080 or 8080 where none stands.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let (kind, port_default) = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            "http" => (ProxyKind::Http, 8080),
            _ => return Err(ProxyUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password may hold anything but what ends the authority.
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(read_credentials(credentials)?), authority),
            None => (None, rest),
        };
        if authority.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let (host, port) = host_and_port(authority)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or(ProxyUrlError::Port)?,
            None => port_default,
        };
        Ok(Self { kind, host: host.to_string(), port, credentials })
    }

    /// The host, if it is an address and no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Without the credentials.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Http => "http",
        };
        match self.host.contains(':') {
            true => write!(out, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(out, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

fn read_credentials(text: &str) -> Result<Credentials, ProxyUrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (percent::decode(user), percent::decode(password));
    if user.is_empty() || user.len() > CREDENTIAL_BYTES_MAX || password.len() > CREDENTIAL_BYTES_MAX {
        return Err(ProxyUrlError::Credentials);
    }
    Ok(Credentials { user: user.into(), password: password.into() })
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), ProxyUrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(ProxyUrlError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| ProxyUrlError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(ProxyUrlError::Port),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let of_a_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(of_a_host) {
        return Err(ProxyUrlError::Host);
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_with_and_without_credentials() {
        let proxy = ProxyUrl::parse("socks5://me:p%40ss:w@proxy.test:9050/").unwrap();
        let credentials = Credentials { user: (*b"me").into(), password: (*b"p@ss:w").into() };
        assert_eq!((proxy.kind, proxy.host.as_str(), proxy.port), (ProxyKind::Socks5, "proxy.test", 9050));
        assert_eq!(proxy.credentials, Some(credentials));
        let proxy = ProxyUrl::parse("HTTP://[::1]").unwrap();
        assert_eq!((proxy.kind, proxy.address(), proxy.port), (ProxyKind::Http, "::1".parse().ok(), 8080));
        assert_eq!(ProxyUrl::parse("socks5h://192.0.2.1").unwrap().port, 1080);
    }

    #[test]
    fn what_is_no_proxy_is_said_with_its_reason() {
        let refused = |url| ProxyUrl::parse(url).unwrap_err();
        assert_eq!(refused("proxy:1080"), ProxyUrlError::Scheme);
        assert_eq!(refused("https://proxy"), ProxyUrlError::Scheme);
        assert_eq!(refused("socks5://"), ProxyUrlError::Host);
        assert_eq!(refused("socks5://a b"), ProxyUrlError::Host);
        assert_eq!(refused("socks5://h:0"), ProxyUrlError::Port);
        assert_eq!(refused("socks5://h:x"), ProxyUrlError::Port);
        assert_eq!(refused("socks5://:x@h"), ProxyUrlError::Credentials);
        assert_eq!(refused("http://h/path"), ProxyUrlError::Path);
    }

    #[test]
    fn neither_display_nor_debug_tells_the_password() {
        let proxy = ProxyUrl::parse("socks5://me:secret@[2001:db8::1]:9").unwrap();
        assert_eq!(proxy.to_string(), "socks5://[2001:db8::1]:9");
        assert!(!alloc::format!("{proxy:?}").contains("secret"));
    }
}
