"""The interop cases where real clients know nothing but `millstream tracker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.aria2 import Aria2
from engines.content import magnet, make_torrent, marked
from engines.libtorrent_engine import Libtorrent
from engines.millstream_tracker import MillstreamTracker
from engines.node import NETWORK, Job, Node, Reach
from engines.process import EngineError, poll_until
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 90.0
PIECE = 64 << 10


def tracker_cases(ours: type[Node], home: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}
    folder = home / "album"
    for scheme in ("http", "udp"):
        name = f"libtorrent -> Transmission and aria2, by millstream's tracker over {scheme.upper()}"
        cases[name] = _swarm(scheme, home, folder, whole)
    for seed, leech in (
        (Transmission, ours),
        (ours, Transmission),
        (Aria2, ours),
        (ours, Aria2),
        (Libtorrent, ours),
        (ours, Libtorrent),
    ):
        source = "magnet"
        name = f"{source} with a UDP tracker only: {seed.name} -> {leech.name}"
        cases[name] = _alone((seed, leech), source, (home, folder), whole)
    return cases


def _alone(pair: tuple[type[Node], type[Node]], source: str, content: tuple[Path, Path], whole: Whole) -> Case:
    """A seed, and a leech that has nothing but a link (or a torrent) with the tracker's address in it."""
    home, folder = content

    def case(work: Path) -> None:
        with MillstreamTracker(work, NETWORK[0]) as tracker:
            torrent = make_torrent(folder, work / "any.torrent", "v1", PIECE, tracker.urls["udp"])
            torrent = marked(torrent, work / "a.torrent", work.name)
            (work / "in").mkdir()
            seed = pair[0](_known(pair[0], Job(home, work / "seed", torrent, seed=True, host=NETWORK[1])))
            job = Job(work / "in", work / "leech", torrent, host=NETWORK[2])
            if source == "magnet":
                job.torrent, job.magnet = None, magnet(torrent)
            leech = pair[1](_known(pair[1], job))
            with seed, leech:
                seed.start(CASE_S)
                poll_until(lambda: tracker.statistics()["seeds"] == 1, CASE_S, 0.1, "the seed announces")
                leech.start(CASE_S)
                leech.wait_complete(CASE_S)
                heard = tracker.statistics()["protocols"]
            announces = {scheme: sum(one["announces"].values()) for scheme, one in heard.items()}
            if announces.pop("udp") < 2 or any(announces.values()):
                raise EngineError(f"the tracker heard {heard}")
            whole(work / "in", leech)

    return case


def _known(kind: type[Node], job: Job) -> Job:
    job.tracker = True
    # aria2 speaks UDP at all only with its DHT, which knows no node here
    job.reach = Reach(dht=()) if kind is Aria2 else Reach()
    return job


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
                leeches.append(engine(_known(engine, Job(into, work / engine.name, torrent, host=host))))
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
