//! What goes out: the segments of a transmit in one row of bytes, and runs of datagrams cut into single ones, packed for a
//! proxy's relay where they go through one.

use crate::bytes::lend;
use crate::values::{address, socket_address};
use core::net::SocketAddr;
use millstream::jobs::{Jobs, Reach};
use millstream_core::base::{Extent, Segment, TorrentId};
use millstream_core::engine::Datagrams;
use millstream_core::wire::socks5::{UDP_HEAD_BYTES_MAX, write_udp_head};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::{self, IoSliceMut};

/// A datagram: its bytes, where to, and whether it may not be cut into fragments.
pub(crate) type Datagram<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, bool);

/// A datagram as a proxy's relay takes it, where to, and how many bytes are packed in it.
pub(crate) type Packed<'py> = (Bound<'py, PyBytes>, (String, u16), usize);

/// A stretch of a file that is read at once, and the places in a transmit that it goes to.
type Run<'a> = (TorrentId, Extent, Vec<IoSliceMut<'a>>);

/// Writes all segments into `into`, which has just the room. What is stored side by side is read by one call.
pub(crate) fn fill(jobs: &Jobs, segments: &[Segment], into: &mut [u8]) -> io::Result<()> {
    let mut rest = into;
    let mut runs: Vec<Run<'_>> = Vec::new();
    for segment in segments {
        let too_short = || io::Error::other("a transmit is longer than it says");
        let (now, after) = rest.split_at_mut_checked(segment.len()).ok_or_else(too_short)?;
        rest = after;
        match segment {
            Segment::Bytes(bytes) => now.copy_from_slice(bytes),
            Segment::Stored(torrent, extent) => match runs.last_mut() {
                Some((of, run, places)) if of == torrent && follows(run, extent) => {
                    run.length += extent.length;
                    places.push(IoSliceMut::new(now));
                }
                _ => runs.push((*torrent, *extent, vec![IoSliceMut::new(now)])),
            },
        }
    }
    runs.into_iter().try_for_each(|(torrent, extent, mut places)| jobs.read(torrent, extent, &mut places))
}

fn follows(run: &Extent, next: &Extent) -> bool {
    run.file == next.file && run.offset + u64::from(run.length) == next.offset
}

/// Cuts runs into single datagrams, each lent from its run.
pub(crate) fn split(py: Python<'_>, runs: Vec<Datagrams>) -> PyResult<Vec<Datagram<'_>>> {
    let mut out = Vec::new();
    for run in runs {
        let stride = run.stride.map_or(run.data.len(), usize::from).max(1);
        for at in (0..run.data.len()).step_by(stride) {
            let one = lend(py, run.data.slice(at, at + stride))?;
            out.push((one, socket_address(py, run.to)?, run.dont_fragment));
        }
    }
    Ok(out)
}

/// Cuts runs into single datagrams, each packed for the relay; and where those were to go whose name was forgotten.
pub(crate) fn pack<'py>(
    py: Python<'py>,
    reach: &Reach,
    runs: &[Datagrams],
) -> (Vec<Packed<'py>>, Vec<SocketAddr>) {
    let (mut packed, mut lost) = (Vec::new(), Vec::new());
    for run in runs {
        let Some(target) = reach.target(run.to) else {
            lost.push(run.to);
            continue;
        };
        let mut head = Vec::with_capacity(UDP_HEAD_BYTES_MAX);
        write_udp_head(&mut head, &target);
        let stride = run.stride.map_or(run.data.len(), usize::from).max(1);
        for payload in run.data.chunks(stride) {
            let whole = [&head, payload].concat();
            packed.push((PyBytes::new(py, &whole), address(run.to), payload.len()));
        }
    }
    (packed, lost)
}
