//! A node of the DHT for Python, in aioquic's manners: datagrams and moments in, datagrams and events out.

mod values;

use crate::bytes::take;
use crate::errors;
use crate::given::{Int, about, optional};
use crate::outcomes::digest;
use crate::peer::info_hash;
use crate::room::{Room, fields, seed};
use crate::values::{address, moment, seconds, take_address, take_addresses};
use millstream_core::base::{Instant, Rng};
use millstream_core::dht::{Busy, DhtConfig, Family, LookupId, Node, PutError, SecretKey};
use millstream_core::wire::krpc::NodeId;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

/// A node of the mainline DHT: no socket, thread or clock. Moments are seconds since whenever you like, and never go back.
#[pyclass(frozen, module = "millstream.sansio")]
pub(crate) struct DhtNode(Room<Node>);

#[pymethods]
impl DhtNode {
    /// A node with a socket in each family that is on. `seed` is all its chance: 32 bytes, or a number below 2^256; `saved`
    /// is what `save` gave.
    #[new]
    #[pyo3(signature = (seed: "BytesLike | int", *, now = 0.0, ipv4 = true, ipv6 = false,
        saved: "BytesLike | None" = None, **settings: "Unpack[DhtSettings]"))]
    #[expect(clippy::too_many_arguments, reason = "keywords, in Python")]
    fn new(
        seed: &Bound<'_, PyAny>,
        now: f64,
        ipv4: bool,
        ipv6: bool,
        saved: Option<&Bound<'_, PyAny>>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = seed.py();
        let mut config = DhtConfig::default();
        for (name, value) in settings.into_iter().flatten() {
            let name: String = name.extract()?;
            set(&mut config, &name, &value).map_err(|error| about(&name, &value, error))?;
        }
        let now = moment(py, now)?;
        let mut node = Node::new(config, Rng::new(self::seed(seed)?), now);
        if let Some(saved) = saved {
            node.restore(now, &take(saved)?).map_err(|error| errors::state(py, &error))?;
        }
        for (_, family) in [(ipv4, Family::V4), (ipv6, Family::V6)].into_iter().filter(|(on, _)| *on) {
            node.on_bound(now, family);
        }
        Ok(Self(Room::new(node, now)))
    }

    /// A datagram came. Garbage is dropped and counted.
    #[pyo3(signature = (data: "BytesLike", addr: "Address", now))]
    fn receive_datagram(&self, data: &Bound<'_, PyAny>, addr: &Bound<'_, PyAny>, now: f64) -> PyResult<()> {
        let (bytes, from) = (take(data)?, take_address(addr)?);
        self.0.at(data.py(), now, |node, now| node.on_datagram(now, from, &bytes))
    }

    /// What is to be sent now: each datagram with where it goes, first.
    #[pyo3(signature = (now) -> "list[tuple[Address, bytes]]")]
    fn datagrams_to_send<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyList>> {
        let datagrams = self.0.at(py, now, |node, _| {
            let all = Family::ALL.into_iter();
            all.flat_map(|family| core::iter::from_fn(|| node.next_datagram(family)).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        })?;
        let list = PyList::empty(py);
        for (to, data) in datagrams {
            list.append((address(to), PyBytes::new(py, &data)))?;
        }
        Ok(list)
    }

    /// When `handle_timer` is due.
    fn get_timer(&self, py: Python<'_>) -> Option<f64> {
        self.0.with(py, |node| node.deadline()).map(seconds)
    }

    /// Does what is due. Early and spurious calls do no harm.
    fn handle_timer(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |node, now| node.on_timeout(now))
    }

    /// The next event, or None.
    #[pyo3(signature = () -> "DhtEvent | None")]
    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.with(py, |node| node.next_event()).map(|event| values::event(py, event)).transpose()
    }

    /// All events that wait.
    #[pyo3(signature = () -> "list[DhtEvent]")]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = self.0.with(py, |node| core::iter::from_fn(|| node.next_event()).collect::<Vec<_>>());
        let list = PyList::empty(py);
        events.into_iter().try_for_each(|event| list.append(values::event(py, event)?))?;
        Ok(list)
    }

    /// The addresses of a name that `DhtResolve` asked for; none if it couldn't be looked up.
    #[pyo3(signature = (addrs: "Iterable[Address]", now))]
    fn resolved(&self, addrs: &Bound<'_, PyAny>, now: f64) -> PyResult<()> {
        let taken = take_addresses(addrs)?;
        self.0.at(addrs.py(), now, |node, now| node.on_resolved(now, &taken))
    }

    /// There may be a node at this address: it is asked.
    #[pyo3(signature = (addr: "Address", now))]
    fn add_node(&self, addr: &Bound<'_, PyAny>, now: f64) -> PyResult<()> {
        let taken = take_address(addr)?;
        self.0.at(addr.py(), now, |node, now| node.on_node(now, taken))
    }

    /// Asks the bootstrap nodes now, whatever the table has.
    fn bootstrap(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.0.at(py, now, |node, now| node.bootstrap(now))
    }

    /// Seeks the nodes nearest to a point; ends with `DhtFoundNodes`. Gives the look-up's number, as all of these do; each
    /// raises CommandError if too many are under way.
    #[pyo3(signature = (target: "BytesLike", now))]
    fn find_node(&self, target: &Bound<'_, PyAny>, now: f64) -> PyResult<u64> {
        let point = NodeId(digest(target)?);
        self.look_up(target.py(), now, |node, now| node.find_node(now, point))
    }

    /// Seeks peers of a torrent: `DhtPeers`, and ends with `DhtFoundPeers`.
    #[pyo3(name = "get_peers")]
    #[pyo3(signature = (info_hash: "BytesLike", now))]
    fn peers_of(&self, info_hash: &Bound<'_, PyAny>, now: f64) -> PyResult<u64> {
        let hash = self::info_hash(info_hash)?;
        self.look_up(info_hash.py(), now, |node, now| node.get_peers(now, hash))
    }

    /// Likewise, and tells the nodes nearest to it that we are a peer, reached at `port`, or where our datagrams come from;
    /// ends with `DhtAnnounced`. A seed seeks no seeds.
    #[pyo3(signature = (info_hash: "BytesLike", now, *, port = None, seed = false))]
    fn announce(
        &self,
        info_hash: &Bound<'_, PyAny>,
        now: f64,
        port: Option<Int<u16>>,
        seed: bool,
    ) -> PyResult<u64> {
        let hash = self::info_hash(info_hash)?;
        self.look_up(info_hash.py(), now, |node, now| node.announce(now, hash, optional(port), seed))
    }

    /// Counts who is in a swarm (BEP 33); ends with `DhtScraped`.
    #[pyo3(signature = (info_hash: "BytesLike", now))]
    fn scrape(&self, info_hash: &Bound<'_, PyAny>, now: f64) -> PyResult<u64> {
        let hash = self::info_hash(info_hash)?;
        self.look_up(info_hash.py(), now, |node, now| node.scrape(now, hash))
    }

    /// Seeks an item by its target (BEP 44); `salt` is that of a mutable one. Only one above `newer_than`. Ends with `DhtGot`.
    #[pyo3(signature = (target: "BytesLike", now, *, salt: "BytesLike | None" = None, newer_than = None))]
    fn get(
        &self,
        target: &Bound<'_, PyAny>,
        now: f64,
        salt: Option<&Bound<'_, PyAny>>,
        newer_than: Option<Int<i64>>,
    ) -> PyResult<u64> {
        let point = NodeId(digest(target)?);
        let salt = salt.map_or_else(|| Ok(Vec::new()), take)?;
        self.look_up(target.py(), now, |node, now| node.get(now, point, &salt, optional(newer_than)))
    }

    /// Stores an item at the nodes nearest to its target (BEP 44), with `cas` only over that sequence number; ends with
    /// `DhtStored`. Raises ItemError for what no node would store.
    #[pyo3(signature = (item: "DhtItem", now, *, cas = None))]
    fn put(&self, item: &Bound<'_, PyAny>, now: f64, cas: Option<Int<i64>>) -> PyResult<u64> {
        let (py, item) = (item.py(), values::take_item(item)?);
        let lookup = self.0.at(py, now, |node, now| node.put(now, item, optional(cas)))?;
        lookup.map(|lookup| lookup.0).map_err(|error| match error {
            PutError::Item(error) => errors::item(py, &error),
            PutError::Busy(busy) => errors::busy(py, &busy),
        })
    }

    /// Asks nodes on the way to a point which torrents they know (BEP 51): `DhtSamples`, and ends with `DhtSampled`.
    #[pyo3(signature = (target: "BytesLike", now))]
    fn sample(&self, target: &Bound<'_, PyAny>, now: f64) -> PyResult<u64> {
        let point = NodeId(digest(target)?);
        self.look_up(target.py(), now, |node, now| node.sample(now, point))
    }

    /// Ends a look-up without an event.
    fn cancel(&self, py: Python<'_>, lookup: Int<u64>) {
        self.0.with(py, |node| node.cancel(LookupId(lookup.0)));
    }

    /// Our id, which differs by family (BEP 32, 45).
    #[pyo3(signature = (family: "Family" = "ipv4"))]
    fn id<'py>(&self, py: Python<'py>, family: &str) -> PyResult<Bound<'py, PyBytes>> {
        let family = take_family(family)?;
        Ok(PyBytes::new(py, &self.0.with(py, |node| node.id(family)).0))
    }

    /// The nodes of the tables, each its id and address.
    #[pyo3(signature = () -> "tuple[tuple[bytes, Address], ...]")]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let all = self.0.with(py, |node| {
            Family::ALL
                .into_iter()
                .flat_map(|family| node.contacts(family).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        });
        values::nodes(py, all)
    }

    /// The tables, for another node's `saved`.
    fn save<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let saved = self.0.with(py, |node| node.save());
        PyBytes::new(py, &saved)
    }

    /// How the node is.
    #[pyo3(signature = (now) -> "DhtStatus")]
    fn status<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyAny>> {
        let status = self.0.at(py, now, |node, now| node.status(now))?;
        values::status(py, &status)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let nodes = self.0.with(py, |node| Family::ALL.map(|family| node.contacts(family).count()));
        format!("<DhtNode: {} nodes over IPv4, {} over IPv6>", nodes[0], nodes[1])
    }
}

impl DhtNode {
    fn look_up(
        &self,
        py: Python<'_>,
        now: f64,
        begin: impl FnOnce(&mut Node, Instant) -> Result<LookupId, Busy>,
    ) -> PyResult<u64> {
        let lookup = self.0.at(py, now, begin)?;
        lookup.map(|lookup| lookup.0).map_err(|busy| errors::busy(py, &busy))
    }
}

/// Signs a value for `put` (BEP 44): `secret` is 32 random bytes, or 64 of the expanded form. Gives the public key and the
/// signature. Raises ItemError for what no node would store.
#[pyfunction]
#[pyo3(signature = (secret: "BytesLike", value: "BytesLike", seq, salt: "BytesLike"))]
pub(crate) fn sign<'py>(
    secret: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    seq: Int<i64>,
    salt: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let (py, secret) = (secret.py(), take(secret)?);
    let key = if let Ok(seed) = <[u8; 32]>::try_from(&*secret) {
        SecretKey::from_seed(&seed)
    } else if let Ok(expanded) = <[u8; 64]>::try_from(&*secret) {
        SecretKey::from_expanded(&expanded)
    } else {
        return Err(PyValueError::new_err(format!("a secret key has 32 or 64 bytes, not {}", secret.len())));
    };
    let item = key.sign(&take(salt)?, seq.0, &take(value)?).map_err(|error| errors::item(py, &error))?;
    Ok((PyBytes::new(py, &item.key), PyBytes::new(py, &item.signature)))
}

fn take_family(name: &str) -> PyResult<Family> {
    match name {
        "ipv4" => Ok(Family::V4),
        "ipv6" => Ok(Family::V6),
        _ => Err(PyValueError::new_err(format!("{name:?} is no family; there are ipv4 and ipv6"))),
    }
}

fn set(config: &mut DhtConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    fields!(config, name, value;
        plain: bootstrap_nodes read_only private_addresses enforce_node_ids bucket_nodes_max nodes_max
            lookup_parallel_max lookup_queries_max lookup_candidates_max lookup_peers_max lookups_max transactions_max
            address_queries_per_second_max dht_reply_bytes_per_second dht_proved_reply_bytes_per_second
            reply_bytes_per_second_max datagrams_max events_max stored_hashes_max stored_peers_per_hash_max
            stored_peers_max stored_peers_per_address_max stored_items_max stored_items_bytes_max
            stored_items_per_network_max;
        seconds: stall_timeout query_timeout peer_lifetime item_lifetime sample_interval
    );
    Ok(())
}
