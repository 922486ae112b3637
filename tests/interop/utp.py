"""The interop cases over uTP (BEP 29): by the peer's own word, and without one TCP socket between the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.libtorrent_engine import Libtorrent
from engines.node import Job, Node, Reach, tcp_links
from engines.process import EngineError, poll_until
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 60.0
# so that Transmission can be asked while it goes on, bytes a second
UNHURRIED = 1_000_000
ONLY, EITHER = "only", "on"


def utp_cases(ours: type[Node], home: Path, torrent: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}
    for encryption in ("off", "require"):
        word = "" if encryption == "off" else ", encrypted"
        for seed, leech in ((Libtorrent, ours), (ours, Libtorrent)):
            for dialler in ("seed", "leech"):
                name = f"uTP only: {seed.name} -> {leech.name}, the {dialler} dials{word}"
                cases[name] = _libtorrent((seed, leech), dialler, encryption, (home, torrent), whole)
    for seed, leech in ((Transmission, ours), (ours, Transmission)):
        cases[f"uTP only: {seed.name} -> {leech.name}"] = _transmission((seed, leech), (home, torrent), whole)
    return cases


def _libtorrent(
    pair: tuple[type[Node], type[Node]], dialler: str, encryption: str, content: tuple[Path, Path], whole: Whole
) -> Case:
    home, torrent = content

    def case(work: Path) -> None:
        (work / "in").mkdir()
        reach = Reach(utp=ONLY, encryption=encryption)
        giver = pair[0](Job(home, work / "seed", torrent, seed=True, reach=reach))
        taker = pair[1](Job(work / "in", work / "leech", torrent, reach=reach))
        dials, hears = (giver, taker) if dialler == "seed" else (taker, giver)
        with hears, dials:
            hears.start(CASE_S)
            dials.job.peers = [hears.address]
            dials.start(CASE_S)
            taker.wait_complete(CASE_S)
            theirs = giver if isinstance(giver, Libtorrent) else taker
            assert isinstance(theirs, Libtorrent)
            told = theirs.links()
            over_tcp = tcp_links(giver.port, taker.port)
        if not told or any("uTP" not in one for one in told):
            raise EngineError(f"libtorrent's links were {told}")
        _no_tcp(over_tcp)
        whole(work / "in", taker)

    return case


def _transmission(pair: tuple[type[Node], type[Node]], content: tuple[Path, Path], whole: Whole) -> Case:
    """It knows no uTP without TCP, and can't be told to dial."""
    home, torrent = content

    def case(work: Path) -> None:
        (work / "in").mkdir()
        nodes = []
        for kind, seed in zip(pair, (True, False), strict=True):
            reach = Reach(utp=EITHER if kind is Transmission else ONLY)
            job = Job(home if seed else work / "in", work / f"{kind.name}", torrent, seed=seed, reach=reach)
            job.upload_max = UNHURRIED if seed else 0
            nodes.append(kind(job))
        giver, taker = nodes
        theirs, us = (giver, taker) if pair[0] is Transmission else (taker, giver)
        assert isinstance(theirs, Transmission)
        with theirs, us:
            theirs.start(CASE_S)
            us.job.peers = [theirs.address]
            us.start(CASE_S)
            poll_until(lambda: any(one["isUTP"] for one in theirs.peers()), CASE_S, 0.05, "a link over uTP")
            taker.wait_complete(CASE_S)
            over_tcp = tcp_links(giver.port, taker.port)
        _no_tcp(over_tcp)
        whole(work / "in", taker)

    return case


def _no_tcp(links: list[str]) -> None:
    if links:
        raise EngineError(f"over TCP: {links}")
