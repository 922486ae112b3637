"""The interop cases where peers learn of each other from peers (BEP 11) or from their network (BEP 14) alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from engines.aria2 import Aria2
from engines.content import marked
from engines.libtorrent_engine import Libtorrent
from engines.node import NETWORK, Job, Node, Reach
from engines.process import poll_until
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 90.0
# what a middleman takes, bytes a second: so little that nobody can have the content from it
TRICKLE = 2_000
# Transmission takes announces for a flood until it has made its first one
DEAF_S = 7.0

PEX = Reach(pex=True)
LSD = Reach(lsd=True)


def gossip_cases(ours: type[Node], home: Path, torrent: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}
    content = (home, torrent)
    for seed, middle, leech in (
        (Transmission, ours, ours),
        (Aria2, ours, ours),
        (ours, Libtorrent, Aria2),
        (Libtorrent, Libtorrent, ours),
        (Libtorrent, ours, Libtorrent),
        (ours, ours, Transmission),
        (Libtorrent, ours, Transmission),
    ):
        name = f"{seed.name} -> {leech.name}, told of by {middle.name} alone (PEX)"
        cases[name] = _told((seed, middle, leech), content, whole)
    for seed, leech, lasts in (
        # Transmission's own announce goes to other hosts alone: here it is the one that hears
        (Transmission, ours, ("leech",)),
        (ours, Transmission, ("seed",)),
        (Aria2, ours, ("seed", "leech")),
        (ours, Aria2, ("seed", "leech")),
        (Libtorrent, ours, ("seed", "leech")),
        (ours, Libtorrent, ("seed", "leech")),
    ):
        for last in lasts:
            name = f"{seed.name} -> {leech.name}, neighbours, the {last} comes last (LSD)"
            cases[name] = _neighbours(seed, leech, last, content, whole)
    return cases


def _told(kinds: tuple[type[Node], type[Node], type[Node]], content: tuple[Path, Path], whole: Whole) -> Case:
    """A seed, a middleman that knows it and has next to nothing, and a leech that knows the middleman alone. One that
    can't be told to dial is dialled by the middleman, when that knows the seed."""
    home, torrent = content
    seed, middle, leech = kinds

    def case(work: Path) -> None:
        giver = seed(Job(home, work / "seed", torrent, seed=True, reach=PEX, host=NETWORK[0]))
        between = middle(
            Job(work / "between", work / "middle", torrent, reach=PEX, host=NETWORK[1], download_max=TRICKLE)
        )
        taker = leech(Job(work / "in", work / "leech", torrent, reach=PEX, host=NETWORK[2]))
        (work / "between").mkdir()
        (work / "in").mkdir()
        with giver, between, taker:
            giver.start(CASE_S)
            between.job.peers = [giver.address]
            if leech is Transmission:
                # only its caller can bring them together
                taker.start(CASE_S)
                between.job.peers.append(taker.address)
                between.start(CASE_S)
                taker.wait_complete(CASE_S)
                return whole(work / "in", taker)
            between.start(CASE_S)
            if isinstance(between, Libtorrent) and leech is Aria2:
                poll_until(lambda: len(between.stats()["clients"]) == 1, CASE_S, 0.1, "the middleman knows the seed")
                taker.start(CASE_S)
                between.dial(taker.address)
            else:
                taker.job.peers = [between.address]
                taker.start(CASE_S)
            taker.wait_complete(CASE_S)
        whole(work / "in", taker)

    return case


def _neighbours(
    seed: type[Node], leech: type[Node], last: str, content: tuple[Path, Path], whole: Whole
) -> Case:
    """Two that know nobody; the one that comes last announces to one that listens already."""
    home, torrent = content

    def case(work: Path) -> None:
        own = marked(torrent, work / "a.torrent", work.name)  # the network is everyone's
        giver = seed(Job(home, work / "seed", own, seed=True, reach=LSD, host=NETWORK[0]))
        taker = leech(Job(work / "in", work / "leech", own, reach=LSD, host=NETWORK[1]))
        (work / "in").mkdir()
        first, second = (taker, giver) if last == "seed" else (giver, taker)
        with first, second:
            first.start(CASE_S)
            if isinstance(first, Transmission):
                time.sleep(DEAF_S)
            second.start(CASE_S)
            taker.wait_complete(CASE_S)
        whole(work / "in", taker)

    return case
