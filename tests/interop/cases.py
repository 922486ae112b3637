"""The interop cases: who seeds, who leeches, who dials, which torrent. Each returns nothing or raises `EngineError`.

Every transfer checks the SHA-256 of all files and, in the handshakes that crossed between the two, that each side is
the client it is taken for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.aria2 import Aria2
from engines.content import digest, fill, hashes, magnet, make_torrent
from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream, command, inspect
from engines.node import Job, Node
from engines.process import EngineError
from engines.tap import Tap
from engines.tracker import Tracker
from engines.transmission import Transmission
from interop.defaults import default_cases
from interop.encryption import Content, encryption_cases
from interop.dht import dht_cases
from interop.gossip import gossip_cases
from interop.link_local import link_local_cases
from interop.trackers import tracker_cases
from interop.utp import utp_cases
from interop.utp_long import long_utp_cases

from .web_seeds import web_seed_cases

KINDS = ("v1", "v2", "hybrid", "padded")
PIECE = 64 << 10
CASE_S = 60.0

Case = Callable[[Path], None]


@dataclass
class Album:
    """A folder of files, among them an empty one, whose last piece is short, and its torrents by kind."""

    home: Path
    torrents: dict[str, Path]
    digests: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.home / "album"


def make_album(root: Path) -> Album:
    """The content of all cases. No length is a multiple of a piece or of a block."""
    home = root / "whole"
    lengths = {"cover.jpg": 70_001, "disc one/01.flac": 2_500_003, "disc one/02.flac": 16_384, "empty": 0, "notes": 33}
    for seed, (name, length) in enumerate(lengths.items()):
        fill(home / "album" / name, length, seed)
    torrents = {
        kind: make_torrent(home / "album", root / f"{kind}.torrent", kind, PIECE) for kind in KINDS
    }
    return Album(home, torrents, digest(home / "album"))


class Cases:
    """All cases over one album. `ours` is the engine under test."""

    def __init__(self, album: Album, ours: type[Node] = Millstream) -> None:
        self.album = album
        self.ours = ours

    def all(self) -> dict[str, Case]:
        """Every case by its name."""
        ours = self.ours
        cases: dict[str, Case] = {}
        for rival in (Transmission, Aria2):
            cases[f"{rival.name} v1 -> millstream"] = self._transfer(rival, ours, "v1", "leech")
            cases[f"millstream v1 -> {rival.name}"] = self._transfer(ours, rival, "v1", "seed")
        cases["aria2 v1 -> millstream, by a tracker"] = self._by_tracker(Aria2, ours)
        cases["millstream v1 -> aria2, by a tracker"] = self._by_tracker(ours, Aria2)
        for kind in KINDS:
            for dialler in ("seed", "leech"):
                end = f"the {dialler} dials"
                cases[f"libtorrent {kind} -> millstream, {end}"] = self._transfer(Libtorrent, ours, kind, dialler)
                cases[f"millstream {kind} -> libtorrent, {end}"] = self._transfer(ours, Libtorrent, kind, dialler)
            cases[f"libtorrent {kind} -> millstream, magnet"] = self._transfer(Libtorrent, ours, kind, "leech", True)
            cases[f"millstream {kind} -> libtorrent, magnet"] = self._transfer(ours, Libtorrent, kind, "leech", True)
        cases |= encryption_cases(Content(self.album.home, self.album.torrents["v1"], self.album.digests), ours)
        cases |= gossip_cases(ours, self.album.home, self.album.torrents["v1"], self._whole)
        cases |= link_local_cases(ours, self.album.home, self.album.torrents["v1"], self._whole)
        cases |= tracker_cases(ours, self.album.home, self._whole)
        cases |= utp_cases(ours, self.album.home, self.album.torrents["v1"], self._whole)
        cases |= long_utp_cases(ours)
        cases |= default_cases(ours, self.album.home, self.album.torrents["v1"], self._whole)
        if ours is Millstream:
            for kind in ("v1", "v2", "hybrid"):
                cases[f"created by libtorrent {kind}, read by millstream"] = self._read(kind)
                cases[f"created by millstream {kind}, seeded by libtorrent"] = self._created(kind)
            cases |= web_seed_cases(self.album)
            cases |= dht_cases(ours, self.album.home, self.album.torrents["v1"], self._whole)
        # the slowest first: Transmission looks at its peers every ten seconds, and at the DHT's nodes for longer
        return dict(sorted(cases.items(), key=lambda case: ("DHT" not in case[0], "ransmission" not in case[0])))

    def _transfer(
        self, seed: type[Node], leech: type[Node], kind: str, dialler: str, by_magnet: bool = False
    ) -> Case:
        """One transfer; `dialler` opens the link, through a tap that reads the handshakes."""
        torrent = self.album.torrents[kind]

        def case(work: Path) -> None:
            source: dict[str, Any] = {"magnet": magnet(torrent)} if by_magnet else {"torrent": torrent}
            giver = seed(Job(self.album.home, work / "seed", torrent, seed=True))
            taker = leech(Job(_new(work / "in"), work / "leech", **source))
            dials, hears = (giver, taker) if dialler == "seed" else (taker, giver)
            with hears, dials:
                hears.start(CASE_S)
                with Tap(hears.address) as tap:
                    dials.job.peers = [tap.address]
                    dials.start(CASE_S)
                    taker.wait_complete(CASE_S)
                    told, heard, info_hash = tap.peer_ids()
            _expect(told.startswith(dials.prefix), f"the dialler says {told!r}, not {dials.prefix!r}")
            _expect(heard.startswith(hears.prefix), f"the listener says {heard!r}, not {hears.prefix!r}")
            names = {known[:40] for known in hashes(torrent) if known}
            _expect(info_hash in names, f"the handshake is for {info_hash}, not {names}")
            self._whole(work / "in", taker)

        return case

    def _by_tracker(self, seed: type[Node], leech: type[Node]) -> Case:
        """Two peers that know nothing but a tracker."""

        def case(work: Path) -> None:
            with Tracker() as tracker:
                torrent = make_torrent(self.album.folder, work / "a.torrent", "v1", PIECE, tracker.url)
                giver = seed(Job(self.album.home, work / "seed", torrent, seed=True, tracker=True))
                taker = leech(Job(_new(work / "in"), work / "leech", torrent, tracker=True))
                with giver, taker:
                    giver.start(CASE_S)
                    taker.start(CASE_S)
                    taker.wait_complete(CASE_S)
                for node in (giver, taker):
                    known = [peer for peer, at in tracker.seen.items() if at[1] == node.port]
                    _expect(
                        any(peer.startswith(node.prefix) for peer in known), f"{node.name} announced as {known}"
                    )
            self._whole(work / "in", taker)

        return case

    def _read(self, kind: str) -> Case:
        """A torrent of libtorrent's: the same hashes, and the data found whole."""

        def case(_: Path) -> None:
            torrent = self.album.torrents[kind]
            _same_hashes(torrent)
            told = json.loads(command("verify", torrent, "--data", self.album.home, "--json", timeout=CASE_S))
            _expect(told["complete"] is True and told["missing"] == [], f"verify: {told}")

        return case

    def _created(self, kind: str) -> Case:
        """A torrent of ours: the same hashes in libtorrent, which finds the data whole and gives it to us."""

        def case(work: Path) -> None:
            torrent = work / "ours.torrent"
            command("create", self.album.folder, "-o", torrent, f"--{kind}", "--piece-length", str(PIECE))
            _same_hashes(torrent)
            giver = Libtorrent(Job(self.album.home, work / "seed", torrent, seed=True))
            taker = Millstream(Job(_new(work / "in"), work / "leech", torrent))
            with giver, taker:
                giver.start(CASE_S)
                taker.job.peers = [giver.address]
                taker.start(CASE_S)
                taker.wait_complete(CASE_S)
            self._whole(work / "in", taker)

        return case

    def _whole(self, folder: Path, taker: Node) -> None:
        taker.stop()  # libtorrent says `complete` before all is written
        got = digest(folder / "album")
        wanted = self.album.digests
        if isinstance(taker, Transmission):  # it makes no file of length zero
            wanted = {name: one for name, one in wanted.items() if name != "empty"}
        _expect(got == wanted, f"other bytes: {got}")


def _same_hashes(torrent: Path) -> None:
    told = inspect(torrent)
    ours = (told["info_hash_v1"], told["info_hash_v2"])
    _expect(ours == hashes(torrent), f"info-hashes {ours}, libtorrent's {hashes(torrent)}")


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise EngineError(otherwise)


def scratch() -> Path:
    """A folder for one run."""
    return Path(tempfile.mkdtemp(prefix="interop-"))
