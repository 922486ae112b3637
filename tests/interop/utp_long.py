"""Transfers over uTP that are long enough for the search for the path's size to end. Our side speaks nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from engines.content import digest, fill, make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.node import NETWORK, Job, Node, Reach
from engines.process import EngineError
from engines.transmission import Transmission

CASE_S = 120.0
LENGTH = (24 << 20) + 12_345  # enough for the search for the path's size to end


def long_utp_cases(ours: type[Node]) -> dict[str, Callable[[Path], None]]:
    """Every case by its name."""
    cases: dict[str, Callable[[Path], None]] = {}
    for rival in (Libtorrent, Transmission):
        cases[f"uTP only, 24 MiB: {rival.name} -> millstream"] = _transfer(rival, ours, "off")
        cases[f"uTP only, 24 MiB: millstream -> {rival.name}"] = _transfer(ours, rival, "off")
    return cases


def _transfer(seed: type[Node], leech: type[Node], encryption: str) -> Callable[[Path], None]:
    """One transfer outside of 127/8; ours dials."""

    def case(work: Path) -> None:
        (work / "in").mkdir()
        fill(work / "whole" / "data", LENGTH, 1)
        torrent = make_torrent(work / "whole" / "data", work / "t.torrent", "v1", 256 << 10)
        reach = Reach(utp="only", encryption=encryption)
        giver = seed(Job(work / "whole", work / "seed", torrent, seed=True, reach=reach, host=NETWORK[0]))
        taker = leech(Job(work / "in", work / "leech", torrent, reach=reach, host=NETWORK[0]))
        dials, hears = (giver, taker) if giver.takes_peers else (taker, giver)
        with hears, dials:
            hears.start(CASE_S)
            dials.job = replace(dials.job, peers=[hears.address])
            dials.start(CASE_S)
            taker.wait_complete(CASE_S)
            taker.settle(CASE_S)
        if digest(work / "in" / "data") != digest(work / "whole" / "data"):
            raise EngineError("other bytes arrived")

    return case
