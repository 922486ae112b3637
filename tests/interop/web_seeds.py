"""Web seeds (BEP 19) over real web servers: alone, beside a peer, and for a real client with a torrent of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.content import digest, fill
from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream, command
from engines.node import Job, Node, Reach
from engines.process import EngineError
from engines.web import Nginx, Rangeless

if TYPE_CHECKING:
    from .cases import Album, Case

WEB = Reach(web_seeds=True)
WAIT_S = 60.0


def web_seed_cases(album: Album) -> dict[str, Case]:
    """All of them, by name."""
    return {
        **{f"web seed only, nginx -> millstream, {kind}": _alone(album, kind) for kind in ("v1", "v2", "hybrid")},
        "web seed only, a server without ranges -> millstream": _rangeless(album),
        "web seed only, https and a redirect -> millstream": _secure(album),
        "web seed only, one large file -> millstream": _large,
        "web seed only, nginx -> libtorrent, a torrent of ours": _theirs(album),
        "web seed beside libtorrent -> millstream": _beside,
        "web seed that goes round in circles -> millstream": _round(album),
    }


def _created(folder: Path, work: Path, url: str, *words: str) -> Path:
    torrent = work / "ours.torrent"
    command("create", folder, "-o", torrent, "--web-seed", url, *words, timeout=WAIT_S)
    return torrent


def _fetched(node: Node, folder: Path, wanted: dict[str, str]) -> None:
    with node:
        node.start(WAIT_S)
        node.wait_complete(WAIT_S)
        node.settle(WAIT_S)
    got = digest(folder)
    if got != wanted:
        raise EngineError(f"other bytes: {got}")


def _leech(kind: type[Node], torrent: Path, work: Path, **options: Any) -> Node:
    (work / "in").mkdir()
    return kind(Job(work / "in", work / "leech", torrent, reach=WEB), **options)


def _alone(album: Album, kind: str) -> Callable[[Path], None]:
    def case(work: Path) -> None:
        with Nginx(album.home, work / "nginx") as web:
            torrent = _created(album.folder, work, web.url, f"--{kind}")
            _fetched(_leech(Millstream, torrent, work), work / "in" / "album", album.digests)
            files = {line.split('"')[1].split()[1] for line in web.requests}
            if len(files) != 4 or "/album/disc%20one/01.flac" not in files:
                raise EngineError(f"asked for {files}")

    return case


def _rangeless(album: Album) -> Callable[[Path], None]:
    def case(work: Path) -> None:
        with Rangeless(album.home, work / "web") as web:
            torrent = _created(album.folder, work, web.url, "--v1", "--piece-length", "65536")
            _fetched(_leech(Millstream, torrent, work), work / "in" / "album", album.digests)

    return case


def _secure(album: Album) -> Callable[[Path], None]:
    def case(work: Path) -> None:
        with Nginx(album.home, work / "nginx", secure=True) as web:
            torrent = _created(album.folder, work, f"{web.url}moved/")
            trust = {"SSL_CERT_FILE": str(web.authority)}
            leech = _leech(Millstream, torrent, work, env=trust)
            _fetched(leech, work / "in" / "album", album.digests)
            moved = [line for line in web.requests if '" 302 ' in line]
            if not moved:
                raise EngineError("nothing was redirected")

    return case


def _large(work: Path) -> None:
    fill(work / "whole" / "large", 200_000_001, 7)
    with Nginx(work / "whole", work / "nginx") as web:
        torrent = _created(work / "whole" / "large", work, web.url)
        _fetched(_leech(Millstream, torrent, work), work / "in" / "large", digest(work / "whole" / "large"))
        if len(web.requests) > 6:
            raise EngineError(f"{len(web.requests)} requests for one file")


def _theirs(album: Album) -> Callable[[Path], None]:
    def case(work: Path) -> None:
        with Nginx(album.home, work / "nginx") as web:
            torrent = _created(album.folder, work, web.url, "--hybrid")
            _fetched(_leech(Libtorrent, torrent, work), work / "in" / "album", album.digests)

    return case


def _beside(work: Path) -> None:
    fill(work / "whole" / "shared", 30_000_000, 8)
    with Nginx(work / "whole", work / "nginx", rate=6_000_000) as web:
        torrent = _created(work / "whole" / "shared", work, web.url)
        giver = Libtorrent(Job(work / "whole", work / "seed", torrent, seed=True, upload_max=6_000_000))
        leech = _leech(Millstream, torrent, work)
        with giver, leech:
            giver.start(WAIT_S)
            leech.job.peers = [giver.address]
            leech.start(WAIT_S)
            leech.wait_complete(WAIT_S)
            given = giver.stats()["uploaded"]
        if digest(work / "in" / "shared") != digest(work / "whole" / "shared"):
            raise EngineError("other bytes")
        if not 5_000_000 < given < 28_000_000:
            raise EngineError(f"of 30 MB the peer gave {given} bytes: the web seed didn't do its part, or all of it")


def _round(album: Album) -> Callable[[Path], None]:
    """A bad web seed is left; a good one beside it does all."""

    def case(work: Path) -> None:
        with Nginx(album.home, work / "nginx") as web:
            torrent = _created(album.folder, work, f"{web.url}round/", "--web-seed", web.url)
            _fetched(_leech(Millstream, torrent, work), work / "in" / "album", album.digests)

    return case
