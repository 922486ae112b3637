"""The interop cases where real clients know nothing but `millstream tracker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.aria2 import Aria2
from engines.content import make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.millstream_tracker import MillstreamTracker
from engines.node import NETWORK, Job, Node, Reach
from engines.process import EngineError, poll_until
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 90.0
PIECE = 64 << 10


def tracker_cases(home: Path, folder: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    return {
        f"libtorrent -> Transmission and aria2, by millstream's tracker over {scheme.upper()}": _swarm(
            scheme, home, folder, whole
        )
        for scheme in ("http", "udp")
    }


def _swarm(scheme: str, home: Path, folder: Path, whole: Whole) -> Case:
    """A seed and two leeches that know nobody."""

    def case(work: Path) -> None:
        with MillstreamTracker(work, NETWORK[0]) as tracker:
            torrent = make_torrent(folder, work / "a.torrent", "v1", PIECE, tracker.urls[scheme])
            seed = Libtorrent(Job(home, work / "seed", torrent, seed=True, tracker=True, host=NETWORK[1]))
            leeches: list[Node] = []
            for engine, host in ((Transmission, NETWORK[2]), (Aria2, NETWORK[3])):
                into = work / f"in-{engine.name}"
                into.mkdir()
                # aria2 speaks UDP at all only with its DHT, which knows no node here
                reach = Reach(dht=()) if engine is Aria2 else Reach()
                leeches.append(engine(Job(into, work / engine.name, torrent, tracker=True, reach=reach, host=host)))
            with seed, leeches[0], leeches[1]:
                seed.start(CASE_S)
                poll_until(lambda: tracker.statistics()["seeds"] == 1, CASE_S, 0.1, "the seed announces")
                for leech in leeches:
                    leech.start(CASE_S)
                for leech in leeches:
                    leech.wait_complete(CASE_S)
                heard = tracker.statistics()
            announces = sum(heard["protocols"][scheme]["announces"].values())
            if heard["peers"] < 3 or announces < 3 or announces != heard["announces"]:
                raise EngineError(f"the tracker heard {heard}")
            for leech in leeches:
                whole(leech.job.folder, leech)

    return case
