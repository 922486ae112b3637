//! The counts of an engine by name, for Python.

use crate::values::class;
use millstream_core::engine::Statistics;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The counts as Python has them: fields of fields are joined by a dot.
pub(crate) fn statistics<'py>(py: Python<'py>, statistics: &Statistics) -> PyResult<Bound<'py, PyAny>> {
    let counts = PyDict::new(py);
    for (name, count) in named(statistics) {
        counts.set_item(name, count)?;
    }
    class(py, "SessionStatistics")?.call1((counts,))
}

fn named(all: &Statistics) -> Vec<(&'static str, u64)> {
    let Statistics { link_faults, found, filter, offers, datagrams, pex, lsd, dht, pool, .. } = all;
    let mut named = vec![
        ("link_faults.handshake", link_faults.handshake),
        ("link_faults.plain", link_faults.plain),
        ("link_faults.encryption", link_faults.encryption),
        ("link_faults.other_torrent", link_faults.other_torrent),
        ("found.user", found.user),
        ("found.trackers", found.trackers),
        ("found.incoming", found.incoming),
        ("found.pex", found.pex),
        ("found.dht", found.dht),
        ("found.lsd", found.lsd),
        ("found.resume", found.resume),
        ("filter.links_refused", filter.links_refused),
        ("filter.links_closed", filter.links_closed),
        ("filter.addresses", filter.addresses),
        ("filter.datagrams", filter.datagrams),
        ("offers.ignored", offers.ignored),
        ("offers.strays", offers.strays),
        ("datagrams.utp", datagrams.utp),
        ("datagrams.unreadable", datagrams.unreadable),
        ("datagrams.unasked", datagrams.unasked),
        ("pex.too_often", pex.too_often),
        ("pex.malformed", pex.malformed),
        ("pex.excess", pex.excess),
        ("pex.junk", pex.junk),
        ("pex.repeated", pex.repeated),
        ("pex.beyond_share", pex.beyond_share),
        ("lsd.own", lsd.own),
        ("lsd.outside", lsd.outside),
        ("lsd.too_often", lsd.too_often),
        ("lsd.malformed", lsd.malformed),
        ("mapped_ports", all.mapped_ports.len() as u64),
        ("tracker_sockets_refused", all.tracker_sockets_refused),
        ("pool.open", pool.open as u64),
        ("pool.half_open", pool.half_open as u64),
        ("pool.lingering", pool.lingering as u64),
        ("pool.size", pool.size as u64),
        ("pool.half_open_size", pool.half_open_size as u64),
        ("pool.open_ms", pool.open_ms),
        ("pool.rate", pool.rate),
    ];
    // without it, nothing is held back
    named.extend(pool.held.map(|held| ("pool.held", held as u64)));
    if let Some(dht) = dht {
        let nodes = dht.families.iter().map(|family| family.nodes as u64).sum();
        let good = dht.families.iter().map(|family| family.good as u64).sum();
        named.extend([
            ("dht.nodes", nodes),
            ("dht.good", good),
            ("dht.lookups", dht.lookups as u64),
            ("dht.transactions", dht.transactions as u64),
            ("dht.stored_hashes", dht.stored_hashes as u64),
            ("dht.stored_peers", dht.stored_peers as u64),
            ("dht.stored_items", dht.stored_items as u64),
            ("dht.stored_items_bytes", dht.stored_items_bytes as u64),
            ("dht.queries_in", dht.traffic.queries_in),
            ("dht.answers_in", dht.traffic.answers_in),
            ("dht.bytes_in", dht.traffic.bytes_in),
            ("dht.bytes_out", dht.traffic.bytes_out),
            ("dht.dropped_malformed", dht.dropped.malformed),
            ("dht.dropped_unasked", dht.dropped.unasked),
            ("dht.dropped_flood", dht.dropped.flood),
            ("dht.dropped_allowance", dht.dropped.allowance),
        ]);
    }
    named
}
