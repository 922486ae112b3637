//! An interface or an address that everything comes from.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use socket2::Socket;
use std::io;

/// Where all links and datagrams come from, and where peers reach us: a way that isn't there is not replaced by another.
///
/// Names are looked up by the system's own resolver, which doesn't know of this: it asks over whatever way the system
/// has. A proxy closes that way too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// An address of this host.
    Address(IpAddr),
    /// An interface by name: its addresses as they are when they are needed, and, where the system lets us, nothing but
    /// this interface.
    Interface(String),
}

/// Why a text is neither an address nor the name of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor an interface")]
pub(crate) struct BindError(String);

impl FromStr for Bind {
    type Err = BindError;

    fn from_str(text: &str) -> Result<Self, BindError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Address(ip));
        }
        // What Linux takes for a name: 15 bytes, no slash, no space.
        let odd = |b: u8| !b.is_ascii_graphic() || b == b'/' || b == b':';
        if text.is_empty() || text.len() > 15 || text.bytes().any(odd) {
            return Err(BindError(text.to_owned()));
        }
        Ok(Self::Interface(text.to_owned()))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(out),
            Self::Interface(name) => name.fmt(out),
        }
    }
}

impl Bind {
    /// Its addresses; those that others can't reach come last.
    pub(crate) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::Address(ip) => Ok(vec![*ip]),
            Self::Interface(name) => {
                let all = if_addrs::get_if_addrs()?;
                let ours = all.into_iter().filter(|interface| interface.name == *name);
                let mut ips: Vec<IpAddr> = ours.map(|interface| interface.ip()).collect();
                // An address of the link alone needs its scope in every destination.
                ips.retain(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
                if ips.is_empty() {
                    let words = format!("the interface {name} has no address");
                    return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, words));
                }
                Ok(ips)
            }
        }
    }

    /// The address of one family.
    pub(crate) fn address(&self, v4: bool) -> io::Result<IpAddr> {
        let none = || {
            let family = if v4 { "IPv4" } else { "IPv6" };
            io::Error::new(io::ErrorKind::AddrNotAvailable, format!("{self} has no {family} address"))
        };
        self.addresses()?.into_iter().find(|ip| ip.is_ipv4() == v4).ok_or_else(none)
    }

    /// Keeps a socket to the interface where the system lets us; an address alone lets packets leave by another.
    pub(crate) fn attach(&self, socket: &Socket) -> io::Result<()> {
        match self {
            Self::Address(_) => Ok(()),
            #[cfg(target_os = "linux")]
            Self::Interface(name) => match socket.bind_device(Some(name.as_bytes())) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    tracing::debug!(name, "the system keeps sockets to their address only");
                    Ok(())
                }
                done => done,
            },
            #[cfg(not(target_os = "linux"))]
            Self::Interface(_) => {
                let _ = socket;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_an_interface() {
        assert_eq!("::1".parse(), Ok(Bind::Address("::1".parse().unwrap())));
        assert_eq!("wg0".parse(), Ok(Bind::Interface("wg0".to_owned())));
        for odd in ["", "a b", "sixteen-chars-xx", "1.2.3.4:5", "../x"] {
            assert!(odd.parse::<Bind>().is_err(), "{odd}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_interface_has_its_addresses_and_a_missing_one_is_an_error() {
        let lo = Bind::Interface("lo".to_owned());
        assert_eq!(lo.address(true).unwrap().to_string(), "127.0.0.1");
        let gone = Bind::Interface("nosuch0".to_owned());
        assert_eq!(gone.addresses().unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
