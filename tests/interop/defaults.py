"""The interop cases with everything on, as users run it: DHT, PEX, LSD, uTP beside TCP, encryption preferred."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engines.aria2 import Aria2
from engines.content import magnet, marked
from engines.libtorrent_engine import Libtorrent
from engines.node import NETWORK, Job, Node, Reach
from engines.process import EngineError
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 60.0
ALL = Reach(dht=(), pex=True, lsd=True, web_seeds=True, utp="on", encryption="prefer")
# What it may take from the dial on, on a busy machine: nothing waits for a time-out of a way that is not there.
QUICK_S = {Libtorrent: 8.0, Aria2: 12.0, Transmission: 25.0}


def default_cases(ours: type[Node], home: Path, torrent: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}

    def add(seed: type[Node], leech: type[Node], dialler: str, by_magnet: bool = False) -> None:
        name = f"all on: {seed.name} -> {leech.name}, " + ("magnet" if by_magnet else f"the {dialler} dials")
        cases[name] = _transfer((seed, leech), dialler, by_magnet, (home, torrent), whole)

    for rival in (Transmission, Aria2):
        add(rival, ours, "leech")
        add(ours, rival, "seed")
    for seed, leech in ((Libtorrent, ours), (ours, Libtorrent), (ours, ours)):
        add(seed, leech, "seed")
        add(seed, leech, "leech")
        add(seed, leech, "leech", True)
    return cases


def _transfer(
    pair: tuple[type[Node], type[Node]], dialler: str, by_magnet: bool, content: tuple[Path, Path], whole: Whole
) -> Case:
    home, torrent = content

    def case(work: Path) -> None:
        (work / "in").mkdir()
        # a torrent of this case's own: whoever is in the network would be found
        own = marked(torrent, work / "a.torrent", work.name)
        giver = pair[0](Job(home, work / "seed", own, seed=True, reach=ALL, host=NETWORK[0]))
        taker = pair[1](Job(work / "in", work / "leech", own, reach=ALL, host=NETWORK[1]))
        if by_magnet:
            taker.job.torrent, taker.job.magnet = None, magnet(own)
        dials, hears = (giver, taker) if dialler == "seed" else (taker, giver)
        with hears, dials:
            hears.start(CASE_S)
            dials.job.peers = [hears.address]
            dials.start(CASE_S)
            began = time.monotonic()
            took = taker.wait_complete(CASE_S) - began
        whole(work / "in", taker)
        allowed = max(QUICK_S.get(kind, 8.0) for kind in pair)
        if took > allowed:
            raise EngineError(f"complete after {took:.1f} s, not within {allowed:.0f} s")

    return case
