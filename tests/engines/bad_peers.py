"""Misbehaving peers (`tests/examples/bad_peers.rs`), let loose on a node."""

from __future__ import annotations

from pathlib import Path

from .floor import example
from .node import Address
from .process import Child


def let_loose(
    at: Address, torrent: Path, count: int, mode: str, work: Path, file: Path | None = None, round_us: int = 5000
) -> Child:
    """Dials `count` links to `at`; `mode` is trickle, give, stall, greedy or idle."""
    import libtorrent as lt

    info = lt.load_torrent_file(str(torrent)).ti
    words = [info.info_hash().to_bytes().hex(), str(info.num_pieces()), str(info.piece_length()), str(count), mode]
    if file is not None:
        words += [str(file), str(round_us)]
    return Child([str(example("bad_peers")), f"{at[0]}:{at[1]}", *words], work / f"{mode}.log")
