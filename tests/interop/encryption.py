"""The interop cases of encrypted links: who requires what, who dials, and what a relay between the two could read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engines.aria2 import Aria2
from engines.content import digest, make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.node import NETWORK, Job, Node, Reach
from engines.process import EngineError
from engines.tap import PROTOCOL, Tap
from engines.tracker import Tracker
from engines.transmission import Transmission

PIECE = 64 << 10
CASE_S = 60.0
KEEP = 8 << 20

# What a relay can read of a link: all of it, all but how it begins, nothing.
CLEAR, VEILED, HIDDEN = "clear", "veiled", "hidden"

# libtorrent's own words: forced both ways, at one level.
PLAINTEXT = {"out_enc_policy": 0, "in_enc_policy": 0, "allowed_enc_level": 1}


@dataclass(frozen=True)
class Party:
    """One side of a transfer."""

    kind: type[Node]
    encryption: str
    settings: dict[str, Any] | None = None

    def node(self, job: Job) -> Node:
        job = replace(job, reach=Reach(encryption=self.encryption))
        options: dict[str, Any] = {} if self.settings is None else {"settings": self.settings}
        return self.kind(job, **options)


@dataclass(frozen=True)
class Content:
    """What is transferred: a folder with the album, its torrent, its digests."""

    home: Path
    torrent: Path
    digests: dict[str, str]


def encryption_cases(content: Content, ours: type[Node]) -> dict[str, Callable[[Path], None]]:
    """Every case by its name."""
    cases: dict[str, Callable[[Path], None]] = {}
    prefer, require = Party(ours, "prefer"), Party(ours, "require")
    pairs = {
        "libtorrent, rc4 forced": (Party(Libtorrent, "require"), require, HIDDEN),
        "libtorrent, rc4 forced, we only prefer": (Party(Libtorrent, "require"), prefer, HIDDEN),
        "libtorrent, plaintext forced": (Party(Libtorrent, "require", PLAINTEXT), prefer, VEILED),
        "libtorrent, off": (Party(Libtorrent, "off"), prefer, CLEAR),
    }
    for name, (theirs, us, seen) in pairs.items():
        for dialler in ("seed", "leech"):
            end = f"the {dialler} dials"
            cases[f"encryption: {name}, -> millstream, {end}"] = _tapped(content, (theirs, us), dialler, seen)
            cases[f"encryption: {name}, <- millstream, {end}"] = _tapped(content, (us, theirs), dialler, seen)
    for rival in (Transmission, Aria2):
        name, theirs = f"{rival.name}, required", Party(rival, "require")
        for word, us in (("", require), (", we only prefer", prefer)):
            cases[f"encryption: {name}{word}, -> millstream"] = _tapped(content, (theirs, us), "leech", HIDDEN)
            cases[f"encryption: {name}{word}, <- millstream"] = _tapped(content, (us, theirs), "seed", HIDDEN)
        cases[f"encryption: {name}, -> millstream, by a tracker"] = _by_tracker(content, theirs, require)
        cases[f"encryption: {name}, <- millstream, by a tracker"] = _by_tracker(content, require, theirs)
    return cases


def _tapped(content: Content, parties: tuple[Party, Party], dialler: str, seen: str) -> Callable[[Path], None]:
    """One transfer through a relay that keeps all that it carries; `seen` is how much of it should make sense."""

    def case(work: Path) -> None:
        (work / "in").mkdir()
        giver = parties[0].node(Job(content.home, work / "seed", content.torrent, seed=True))
        taker = parties[1].node(Job(work / "in", work / "leech", content.torrent))
        dials, hears = (giver, taker) if dialler == "seed" else (taker, giver)
        with hears, dials:
            hears.start(CASE_S)
            with Tap(hears.address, keep=KEEP) as tap:
                dials.job.peers = [tap.address]
                dials.start(CASE_S)
                taker.wait_complete(CASE_S)
                links = [link for link in tap.links if sum(side.carried for side in link) > 2_000_000]
        _whole(content, work / "in", taker)
        _expect(len(links) == 1, f"{len(links)} of {len(tap.links)} links carried the content")
        said = [bytes(side.begin) for side in links[0]]
        sample = (content.home / "album" / "cover.jpg").read_bytes()[1000:1064]
        shown = {
            CLEAR: all(one.startswith(PROTOCOL) for one in said),
            VEILED: not any(one.startswith(PROTOCOL) for one in said) and any(sample in one for one in said),
            HIDDEN: not any(PROTOCOL in one or sample in one for one in said),
        }
        _expect(shown[seen], f"the link should be {seen}, but {shown}")

    return case


def _by_tracker(content: Content, seed: Party, leech: Party) -> Callable[[Path], None]:
    """Two peers that require encryption and know nothing but a tracker, outside of 127/8, whence Transmission takes
    no peers."""

    def case(work: Path) -> None:
        (work / "in").mkdir()
        with Tracker(NETWORK[0]) as tracker:
            torrent = make_torrent(content.home / "album", work / "a.torrent", "v1", PIECE, tracker.url)
            giver = seed.node(Job(content.home, work / "seed", torrent, seed=True, tracker=True, host=NETWORK[0]))
            taker = leech.node(Job(work / "in", work / "leech", torrent, tracker=True, host=NETWORK[0]))
            with giver, taker:
                giver.start(CASE_S)
                taker.start(CASE_S)
                taker.wait_complete(CASE_S)
        _whole(content, work / "in", taker)

    return case


def _whole(content: Content, folder: Path, taker: Node) -> None:
    taker.stop()  # libtorrent says `complete` before all is written
    got, wanted = digest(folder / "album"), content.digests
    if isinstance(taker, Transmission):  # it makes no file of length zero
        wanted = {name: one for name, one in wanted.items() if name != "empty"}
    _expect(got == wanted, f"other bytes: {got}")


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise EngineError(otherwise)
