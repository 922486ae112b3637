//! The ways out of a session on somebody's loop, and how a proxy is spoken to: bytes in, bytes out. Sockets, names and
//! time are the loop's.

use crate::bytes::take;
use crate::values::{address, take_address};
use core::fmt::Display;
use core::net::{IpAddr, SocketAddr};
use millstream::jobs::Reach;
use millstream_core::wire::http_proxy::{HEAD_BYTES_MAX, read_answer, write_connect};
use millstream_core::wire::proxy_url::{ProxyKind, ProxyUrl};
use millstream_core::wire::socks5::{Request, Socks5, Step, Target};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of an HTTP proxy's answer after which it is looked at for the first time: what is no proxy is seen early.
const BEGINNING: usize = 12;

/// Where sockets may lead, and what they come from.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Ways(pub(crate) Arc<Reach>);

#[pymethods]
impl Ways {
    /// The proxy's host and port, if everything goes through one or not at all.
    #[getter]
    // stub: Address | None
    fn proxy(&self) -> Option<(String, u16)> {
        self.0.proxy().map(|proxy| (proxy.host.clone(), proxy.port))
    }

    /// The same as a URL, without name and password.
    #[getter]
    fn proxy_url(&self) -> Option<String> {
        self.0.proxy().map(ToString::to_string)
    }

    /// Whether it relays datagrams.
    #[getter]
    fn relays(&self) -> bool {
        self.0.relay().is_some()
    }

    /// The interface that every socket is kept to.
    #[getter]
    fn interface(&self) -> Option<&str> {
        self.0.interface()
    }

    /// The address of one family that every socket is bound to, or None where the system chooses. Raises OSError where
    /// there is none: no other takes its place.
    fn source(&self, v4: bool) -> PyResult<Option<String>> {
        Ok(self.0.source(v4)?.map(|ip| ip.to_string()))
    }

    /// The opening of a link to a host, to be carried on over a link to the proxy. Raises OSError.
    fn tunnel(&self, host: &str, port: u16) -> PyResult<Tunnel> {
        let proxy = self.proxy_or_error()?;
        let target = target(host, port)?;
        Ok(match proxy.kind {
            ProxyKind::Socks5 => Tunnel::socks(Request::Connect(target), proxy),
            ProxyKind::Http => {
                let hello = write_connect(&target, proxy.credentials.as_ref());
                Tunnel { hello, talk: Mutex::new(Talk::Http(Vec::new())) }
            }
        })
    }

    /// The opening of a relay for datagrams. Raises OSError.
    fn associate(&self) -> PyResult<Tunnel> {
        Ok(Tunnel::socks(Request::UdpAssociate, self.proxy_or_error()?))
    }

    /// The address that stands in for a name which the proxy is to look up; an address stands for itself. Raises OSError.
    #[pyo3(signature = (host, port) -> "Address")]
    fn stand_in(&self, host: &str, port: u16) -> PyResult<(String, u16)> {
        Ok(address(self.0.stand_in(&target(host, port)?)))
    }

    /// What is to be asked of the proxy for an address: the name that it stands in for, or itself. None for a stand-in
    /// whose name was forgotten.
    #[pyo3(signature = (addr: "Address") -> "Address | None")]
    fn target(&self, addr: &Bound<'_, PyAny>) -> PyResult<Option<(String, u16)>> {
        Ok(self.0.target(take_address(addr)?).map(|target| match target {
            Target::Addr(addr) => address(addr),
            Target::Name(name, port) => (name.into(), port),
        }))
    }
}

impl Ways {
    fn proxy_or_error(&self) -> PyResult<&ProxyUrl> {
        self.0.proxy().ok_or_else(|| PyOSError::new_err("there is no proxy"))
    }
}

/// One opening, on a link to the proxy. Not a byte of what follows is taken.
#[pyclass(frozen, module = "millstream")]
pub(crate) struct Tunnel {
    hello: Vec<u8>,
    talk: Mutex<Talk>,
}

enum Talk {
    Socks(Box<Socks5>),
    /// What came of the answer's head.
    Http(Vec<u8>),
    Over(Option<Target>),
}

#[pymethods]
impl Tunnel {
    /// What is sent first.
    #[getter]
    fn hello<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.hello)
    }

    /// How many bytes are to be read for `take`; 0 when the proxy has agreed.
    #[getter]
    fn wants(&self) -> usize {
        match &*self.lock() {
            Talk::Socks(socks) => socks.wants(),
            // Byte by byte: what follows the head belongs to the link, and the head is short.
            Talk::Http(head) => BEGINNING.saturating_sub(head.len()).max(1),
            Talk::Over(_) => 0,
        }
    }

    /// Takes exactly as many as it wants, and gives what is to be sent now. Raises OSError where the proxy says no, or
    /// nothing that makes sense.
    #[pyo3(signature = (data: "BytesLike"))]
    fn take<'py>(&self, py: Python<'py>, data: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let data = take(data)?;
        let mut talk = self.lock();
        let (send, over) = match &mut *talk {
            Talk::Socks(socks) => match socks.on_received(&data).map_err(said)? {
                Step::Send(bytes) => (bytes, None),
                Step::Read => (Vec::new(), None),
                Step::Done(target) => (Vec::new(), Some(Some(target))),
            },
            Talk::Http(head) => {
                head.extend_from_slice(&data);
                let ended = head.ends_with(b"\r\n\r\n") || head.len() >= HEAD_BYTES_MAX;
                let looked_at = ended || head.len() == BEGINNING;
                let done = looked_at && read_answer(head).map_err(said)?.is_some();
                (Vec::new(), done.then_some(None))
            }
            Talk::Over(_) => return Err(PyOSError::new_err("the proxy has agreed already")),
        };
        if let Some(target) = over {
            *talk = Talk::Over(target);
        }
        Ok(PyBytes::new(py, &send))
    }

    /// Where the relay is, given where the proxy is. Raises OSError before it has agreed.
    #[pyo3(signature = (there) -> "Address")]
    fn relay(&self, there: &str) -> PyResult<(String, u16)> {
        let Talk::Over(Some(target)) = &*self.lock() else {
            return Err(PyOSError::new_err("the proxy hasn't said where its relay is"));
        };
        Ok(match target {
            // Many say "where I am" this way.
            Target::Addr(addr) if addr.ip().is_unspecified() => (there.to_owned(), addr.port()),
            Target::Addr(addr) => address(*addr),
            // Its name isn't looked up: the relay is where the proxy is.
            Target::Name(_, port) => (there.to_owned(), *port),
        })
    }
}

impl Tunnel {
    fn socks(request: Request, proxy: &ProxyUrl) -> Self {
        let (socks, hello) = Socks5::start(request, proxy.credentials.clone());
        Self { hello, talk: Mutex::new(Talk::Socks(Box::new(socks))) }
    }

    fn lock(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn target(host: &str, port: u16) -> PyResult<Target> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = host.split('%').next().unwrap_or_default().parse::<IpAddr>();
    match ip {
        Ok(ip) => Ok(Target::Addr(SocketAddr::new(ip, port))),
        Err(_) => {
            Target::new(host, port).ok_or_else(|| PyOSError::new_err(format!("{host:?} is no possible name")))
        }
    }
}

fn said(error: impl Display) -> PyErr {
    PyOSError::new_err(error.to_string())
}
