//! Events, items and states of a node as Python has them: dataclasses of `millstream._dht`.

use crate::bytes::take;
use crate::given::field;
use crate::outcomes::digest;
use crate::values::address;
use core::net::SocketAddr;
use millstream_core::dht::{Cost, DhtStatus, Event, Family, Item, MutableItem, Outcome};
use millstream_core::wire::krpc::NodeId;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

static VALUES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module = VALUES.get_or_try_init(py, || py.import("millstream._dht").map(Bound::unbind))?;
    module.bind(py).getattr(PyString::intern(py, name))
}

fn make<'py>(py: Python<'py>, name: &str, args: impl PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
    class(py, name)?.call1(args)
}

/// An event.
pub(super) fn event(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyAny>> {
    match event {
        Event::Resolve { host, port } => make(py, "DhtResolve", (host, port)),
        Event::Peers { lookup, peers } => {
            let peers = PyTuple::new(py, peers.into_iter().map(address))?;
            make(py, "DhtPeers", (lookup.0, peers))
        }
        Event::Item { lookup, item } => make(py, "DhtItemFound", (lookup.0, self::item(py, &item)?)),
        Event::Samples { lookup, from, samples, num, interval } => {
            let samples = PyTuple::new(py, samples.iter().map(|hash| PyBytes::new(py, &hash.0)))?;
            make(py, "DhtSamples", (lookup.0, address(from), samples, num, interval.as_secs_f64()))
        }
        Event::Done { lookup, outcome, cost } => {
            make(py, "DhtDone", (lookup.0, self::outcome(py, outcome)?, self::cost(py, cost)?))
        }
        Event::Joined(family) => make(py, "DhtJoined", (family_name(family),)),
        Event::External(ip) => make(py, "DhtExternal", (ip.to_string(),)),
    }
}

fn outcome(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
    match outcome {
        Outcome::Nodes(found) => make(py, "DhtFoundNodes", (nodes(py, found)?,)),
        Outcome::Peers { found } => make(py, "DhtFoundPeers", (found,)),
        Outcome::Announced { stored, failed, found } => make(py, "DhtAnnounced", (stored, failed, found)),
        Outcome::Scraped { seeds, peers, answers } => make(py, "DhtScraped", (seeds, peers, answers)),
        Outcome::Got(found) => {
            let found = found.map(|found| item(py, &found)).transpose()?;
            make(py, "DhtGot", (found,))
        }
        Outcome::Put { stored, refused, seq_before } => {
            make(py, "DhtStored", (stored, PyTuple::new(py, refused)?, seq_before))
        }
        Outcome::Sampled { nodes, samples } => make(py, "DhtSampled", (nodes, samples)),
    }
}

fn cost(py: Python<'_>, cost: Cost) -> PyResult<Bound<'_, PyAny>> {
    let Cost { hops, queries, answers, timeouts, elapsed } = cost;
    make(py, "DhtCost", (hops, queries, answers, timeouts, elapsed.as_secs_f64()))
}

/// Nodes, each its id and address.
pub(super) fn nodes(py: Python<'_>, nodes: Vec<(NodeId, SocketAddr)>) -> PyResult<Bound<'_, PyTuple>> {
    PyTuple::new(py, nodes.into_iter().map(|(id, addr)| (PyBytes::new(py, &id.0), address(addr))))
}

fn item<'py>(py: Python<'py>, item: &Item) -> PyResult<Bound<'py, PyAny>> {
    match item {
        Item::Immutable { value } => make(py, "DhtItem", (PyBytes::new(py, value),)),
        Item::Mutable(MutableItem { key, salt, seq, value, signature }) => {
            let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
            make(py, "DhtItem", (bytes(value), bytes(key), bytes(salt), seq, bytes(signature)))
        }
    }
}

/// An item from Python.
pub(super) fn take_item(given: &Bound<'_, PyAny>) -> PyResult<Item> {
    if !given.is_instance(&class(given.py(), "DhtItem")?)? {
        return Err(PyTypeError::new_err(format!("{} is no DhtItem", given.get_type().name()?)));
    }
    let value = take(&given.getattr("value")?)?;
    let key = given.getattr("key")?;
    if key.is_none() {
        return Ok(Item::Immutable { value });
    }
    Ok(Item::Mutable(MutableItem {
        key: digest(&key)?,
        salt: take(&given.getattr("salt")?)?,
        seq: field(given, "seq")?,
        value,
        signature: digest(&given.getattr("signature")?)?,
    }))
}

/// How a node is.
pub(super) fn status<'py>(py: Python<'py>, told: &DhtStatus) -> PyResult<Bound<'py, PyAny>> {
    let mut families = Vec::new();
    for side in &told.families {
        let external = side.external.map(|ip| ip.to_string());
        let id = PyBytes::new(py, &side.id.0);
        let args = (family_name(side.family), id, external, side.nodes, side.good, side.buckets);
        families.push(make(py, "DhtFamily", args)?);
    }
    let (fields, dropped) = (PyDict::new(py), PyDict::new(py));
    fields.set_item("families", PyTuple::new(py, families)?)?;
    fields.set_item("lookups", told.lookups)?;
    fields.set_item("transactions", told.transactions)?;
    fields.set_item("stored_hashes", told.stored_hashes)?;
    fields.set_item("stored_peers", told.stored_peers)?;
    fields.set_item("stored_items", told.stored_items)?;
    fields.set_item("stored_items_bytes", told.stored_items_bytes)?;
    let traffic = told.traffic;
    fields.set_item("queries_in", traffic.queries_in)?;
    fields.set_item("queries_out", traffic.queries_out)?;
    fields.set_item("answers_in", traffic.answers_in)?;
    fields.set_item("answers_out", traffic.answers_out)?;
    fields.set_item("bytes_in", traffic.bytes_in)?;
    fields.set_item("bytes_out", traffic.bytes_out)?;
    let lost = told.dropped;
    for (name, count) in [
        ("malformed", lost.malformed),
        ("source", lost.source),
        ("unasked", lost.unasked),
        ("flood", lost.flood),
        ("allowance", lost.allowance),
        ("queue", lost.queue),
        ("filtered", lost.filtered),
        ("read_only", lost.read_only),
        ("lies", lost.lies),
    ] {
        dropped.set_item(name, count)?;
    }
    fields.set_item("dropped", dropped)?;
    class(py, "DhtStatus")?.call((), Some(&fields))
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}
