//! The messages by which a peer that two others share brings them together (BEP 55). Who relays for whom is not decided
//! here.

use super::tracker::write_compact;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// One message of `ut_holepunch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolepunchMessage {
    /// Bring me together with the peer at this address, that you are connected to.
    Rendezvous(SocketAddr),
    /// Open a uTP link to this address now: the peer there does the same.
    Connect(SocketAddr),
    /// A rendezvous with this address can't be had.
    Failed(SocketAddr, HolepunchRefusal),
}

/// Why a rendezvous can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HolepunchRefusal {
    /// The target is no address that there can be.
    #[error("no such peer")]
    NoSuchPeer,
    /// The relay isn't connected to it.
    #[error("the relay is not connected to it")]
    NotConnected,
    /// The target doesn't speak this extension.
    #[error("it doesn't speak the extension")]
    NoSupport,
    /// The target is the relay itself.
    #[error("it is the relay itself")]
    NoSelf,
    /// A number of a later time.
    #[error("error {0}")]
    Other(u32),
}

/// Why bytes are no holepunch message. The peer is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HolepunchError {
    /// Shorter than its address needs.
    #[error("a holepunch message of {0} bytes")]
    Length(usize),
    /// A type that isn't one.
    #[error("a holepunch message of type {0}")]
    Type(u8),
    /// An address of a kind that isn't one.
    #[error("a holepunch address of type {0}")]
    Address(u8),
}

impl HolepunchMessage {
    /// Reads the payload of an extended message. The error code may be missing where there is no error, and what follows
    /// is passed over: others write it so.
    pub fn parse(payload: &[u8]) -> Result<Self, HolepunchError> {
        let short = HolepunchError::Length(payload.len());
        let (&[kind, family], rest) = payload.split_first_chunk::<2>().ok_or(short)?;
        let (ip, rest): (IpAddr, &[u8]) = match family {
            0 => rest.split_first_chunk::<4>().map(|(ip, rest)| (Ipv4Addr::from(*ip).into(), rest)),
            1 => rest.split_first_chunk::<16>().map(|(ip, rest)| (Ipv6Addr::from(*ip).into(), rest)),
            other => return Err(HolepunchError::Address(other)),
        }
        .ok_or(short)?;
        let (port, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
        let addr = SocketAddr::new(ip, u16::from_be_bytes(*port));
        match kind {
            0 => Ok(Self::Rendezvous(addr)),
            1 => Ok(Self::Connect(addr)),
            2 => {
                let code = rest.first_chunk::<4>().ok_or(short)?;
                Ok(Self::Failed(addr, HolepunchRefusal::of(u32::from_be_bytes(*code))))
            }
            other => Err(HolepunchError::Type(other)),
        }
    }

    /// The payload of an extended message.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, addr, code) = match *self {
            Self::Rendezvous(addr) => (0, addr, 0),
            Self::Connect(addr) => (1, addr, 0),
            Self::Failed(addr, why) => (2, addr, why.code()),
        };
        let mut out = vec![kind, u8::from(addr.is_ipv6())];
        write_compact(&mut out, addr);
        out.extend_from_slice(&code.to_be_bytes());
        out
    }
}

impl HolepunchRefusal {
    fn of(code: u32) -> Self {
        match code {
            1 => Self::NoSuchPeer,
            2 => Self::NotConnected,
            3 => Self::NoSupport,
            4 => Self::NoSelf,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u32 {
        match self {
            Self::NoSuchPeer => 1,
            Self::NotConnected => 2,
            Self::NoSupport => 3,
            Self::NoSelf => 4,
            Self::Other(code) => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bep_0055_the_messages_are_those_of_the_bep() {
        let addr = "192.0.2.1:6881".parse().unwrap();
        assert_eq!(HolepunchMessage::Rendezvous(addr).encode(), [0, 0, 192, 0, 2, 1, 0x1a, 0xe1, 0, 0, 0, 0]);
        let failed = HolepunchMessage::Failed(addr, HolepunchRefusal::NoSupport);
        assert_eq!(failed.encode(), [2, 0, 192, 0, 2, 1, 0x1a, 0xe1, 0, 0, 0, 3]);
        let v6 = HolepunchMessage::Connect("[2001:db8::1]:2".parse().unwrap());
        assert_eq!(v6.encode().len(), 24);
        for message in [HolepunchMessage::Rendezvous(addr), failed, v6] {
            assert_eq!(HolepunchMessage::parse(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn bep_0055_a_connect_without_an_error_code_is_read() {
        let connect = HolepunchMessage::Connect("192.0.2.1:1".parse().unwrap());
        assert_eq!(HolepunchMessage::parse(&connect.encode()[..8]), Ok(connect));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let parse = HolepunchMessage::parse;
        assert_eq!(parse(&[]), Err(HolepunchError::Length(0)));
        assert_eq!(parse(&[0, 2, 1, 1, 1, 1, 1, 1]), Err(HolepunchError::Address(2)));
        assert_eq!(parse(&[0, 1, 1, 1, 1, 1, 1, 1]), Err(HolepunchError::Length(8)));
        assert_eq!(parse(&[7, 0, 1, 1, 1, 1, 1, 1]), Err(HolepunchError::Type(7)));
        assert_eq!(parse(&[2, 0, 1, 1, 1, 1, 1, 1]), Err(HolepunchError::Length(8)));
    }
}
