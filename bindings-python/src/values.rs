//! Small values both ways: classes of `millstream._values`, addresses, moments.

use crate::errors;
use crate::given::{about, given};
use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use millstream_core::base::{Extent, Instant, Part};
use pyo3::PyClass;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

static VALUES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// A class of `millstream._values`.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module = VALUES.get_or_try_init(py, || py.import("millstream._values").map(Bound::unbind))?;
    module.bind(py).getattr(PyString::intern(py, name))
}

/// A value of this class.
pub(crate) fn make<'py>(
    py: Python<'py>,
    name: &str,
    args: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    class(py, name)?.call1(args)
}

/// A value of a native class as Python has it. It refers to no other object, so that the collector of cycles needn't look
/// at it, however many are kept.
#[allow(unsafe_code)]
pub(crate) fn value<T: PyClass + Into<PyClassInitializer<T>>>(
    py: Python<'_>,
    value: T,
) -> PyResult<Bound<'_, PyAny>> {
    let object = Bound::new(py, value)?.into_any();
    // SAFETY: the object is ours and whole, and its class is one that the collector knows, as all native ones are.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
    Ok(object)
}

/// An address as Python has it; the link of a link-local one stands behind a `%`, as a number.
pub(crate) fn address(addr: SocketAddr) -> (String, u16) {
    let host = match addr {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => format!("{}%{}", addr.ip(), addr.scope_id()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => addr.ip().to_string(),
    };
    (host, addr.port())
}

/// An address for `sendto`, which doesn't look for the link in the text.
pub(crate) fn socket_address(py: Python<'_>, addr: SocketAddr) -> PyResult<Bound<'_, PyAny>> {
    match addr {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => {
            let whole = (addr.ip().to_string(), addr.port(), 0_u32, addr.scope_id());
            Ok(whole.into_pyobject(py)?.into_any())
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(address(addr).into_pyobject(py)?.into_any()),
    }
}

/// Where a peer's name is to be looked up, which isn't done here.
const LOOK_UP: &str = ", and a name is looked up with `session.look_up(host, port)`";

/// An address from Python: a host in text and a port, and for IPv6 what sockets append; or one text, `127.0.0.1:6881` or
/// `[::1]:6881`. The link of a link-local one is a number, behind a `%` or in the fourth place.
pub(crate) fn take_address(object: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    address_or(object, "")
}

/// An address; `hint` is added to what is said of a host that is no IP address.
fn address_or(object: &Bound<'_, PyAny>, hint: &str) -> PyResult<SocketAddr> {
    if let Ok(text) = object.cast::<PyString>() {
        return address_of_text(&text.to_cow()?, hint);
    }
    let wrong = |_| {
        PyTypeError::new_err(
            "an address is a tuple of an IP address in text and a port, or a text, host:port",
        )
    };
    let tuple = object.cast::<PyTuple>().map_err(|error| wrong(error.into()))?;
    let host: String = tuple.get_item(0).and_then(|host| host.extract()).map_err(wrong)?;
    let port = tuple.get_item(1).map_err(wrong)?;
    let port: u16 = given(&port).map_err(|error| match error.is_instance_of::<PyTypeError>(object.py()) {
        true => wrong(error),
        false => about("port", &port, error),
    })?;
    let (host, link) = host.split_once('%').unwrap_or((&host, ""));
    let ip: IpAddr = host.parse().map_err(|_| no_ip(host, hint))?;
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            let fourth = || tuple.get_item(3).ok()?.extract().ok();
            let scope: u32 = link.parse().ok().or_else(fourth).unwrap_or(0);
            Ok(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(SocketAddr::new(ip, port)),
    }
}

fn address_of_text(text: &str, hint: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        Some((host, port)) if is_name(host) && port.parse::<u16>().is_ok() => no_ip(host, hint),
        _ => PyValueError::new_err(format!(
            "{text:?} is no address: an IP address and a port are, as in 127.0.0.1:6881 or [::1]:6881"
        )),
    })
}

/// Whether this may be the name of a host.
fn is_name(host: &str) -> bool {
    !host.is_empty() && !host.contains([':', '[', ']', '/']) && host.parse::<IpAddr>().is_err()
}

fn no_ip(host: &str, hint: &str) -> PyErr {
    PyValueError::new_err(format!("{host:?} is not an IP address{hint}"))
}

/// An address as sockets of Python have it.
#[pyfunction]
#[pyo3(signature = (given: "Address | str") -> "Address")]
pub(crate) fn read_address(given: &Bound<'_, PyAny>) -> PyResult<(String, u16)> {
    take_address(given).map(address)
}

/// Whether this is the IP address of a host that anybody in the Internet may reach.
#[pyfunction]
pub(crate) fn is_public(host: &str) -> PyResult<bool> {
    let ip: IpAddr = host.parse().map_err(|_| no_ip(host, ""))?;
    Ok(millstream_core::base::is_public(ip))
}

/// Several addresses.
pub(crate) fn take_addresses(object: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    each_address(object, "")
}

/// Addresses of peers: of a name it is said who looks it up.
pub(crate) fn take_peers(object: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    each_address(object, LOOK_UP).map_err(|error| about("peers", object, error))
}

fn each_address(object: &Bound<'_, PyAny>, hint: &str) -> PyResult<Vec<SocketAddr>> {
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("several addresses are wanted, not a text"));
    }
    object.try_iter()?.map(|item| address_or(&item?, hint)).collect()
}

/// Beyond this many seconds a float no longer tells microseconds apart.
const SECONDS_MAX: f64 = 4.0e9;

/// A moment from seconds, to the nearest microsecond.
pub(crate) fn moment(py: Python<'_>, seconds: f64) -> PyResult<Instant> {
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(errors::driver(
            py,
            format!("{seconds} is no moment: seconds from 0 to {SECONDS_MAX} are"),
        ));
    }
    Ok(Instant::from_micros((seconds * 1e6).round() as u64))
}

/// Seconds of a moment; given back to `moment`, it is the same moment.
pub(crate) fn seconds(at: Instant) -> f64 {
    at.as_micros() as f64 / 1e6
}

/// An extent as Python has it.
pub(crate) fn extent<'py>(py: Python<'py>, extent: Extent) -> PyResult<Bound<'py, PyAny>> {
    make(py, "Extent", (extent.file, extent.offset, extent.length))
}

/// A tuple of values, each made by `each`.
pub(crate) fn tuple<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
    each: impl Fn(Python<'py>, T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, items.into_iter().map(|item| each(py, item)).collect::<PyResult<Vec<_>>>()?)
}

/// A stretch of a torrent as Python has it.
pub(crate) fn part(py: Python<'_>, part: Part) -> PyResult<Bound<'_, PyAny>> {
    match part {
        Part::Stored(stored) => extent(py, stored),
        Part::Pad(length) => make(py, "Pad", (length,)),
    }
}
