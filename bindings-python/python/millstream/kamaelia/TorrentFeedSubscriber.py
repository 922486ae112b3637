"""TorrentFeedSubscriber: what a feed (RSS 2.0 or Atom) names as torrents is downloaded, each once, and told of when it
is ready. It owns which items are new; the transfer is the TorrentService's.

    inbox    feeds (bytes or str), in place of a URL or beside it
    control  producerFinished ends it when all that it saw is ready, shutdown and shutdownMicroprocess at once
    outbox   TIPCEpisodeReady for each item, when its torrent is complete
    status   TIPCTorrentError for garbage and failures
    signal   producerFinished when it has ended

An item's torrent is its magnet link, or what its enclosure or link leads to if that says that it is a torrent. Items
are known again by their guid or id, or else by that link.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from ._crew import Crewed
from ._http import fetch
from .ipc import TIPCCreateTorrentIn, TIPCEpisodeReady, TIPCTorrentComplete, TIPCTorrentError
from .TorrentIPC import TIPCNewTorrentCreated

__all__ = ["Item", "TorrentFeedSubscriber", "parse"]

FEED_BYTES_MAX = 4 << 20
"""A feed that is longer isn't taken. Bytes."""

TORRENT_BYTES_MAX = 16 << 20
"""A torrent file that is longer isn't taken. Bytes."""

ITEMS_MAX = 1000
"""So many items of a feed are looked at, from its beginning."""

DEPTH_MAX = 64
"""A feed whose elements lie deeper is none."""

KNOWN_MAX = 100_000
"""So many items are remembered; then the oldest is forgotten, and new if it is seen again."""

TORRENT_TYPE = "application/x-bittorrent"


@dataclass(slots=True)
class Item:
    """An entry of a feed."""

    title: str = ""
    link: str = ""
    published: str = ""
    key: str = ""
    torrent: str = ""


class TorrentFeedSubscriber(Crewed):
    """TorrentFeedSubscriber([url]) -> a component that downloads what a feed names.

    `interval`: seconds between looks. `folder`: where it is stored. `latest`: of the first feed that is seen, so many
    items count as new (None: all). The other keywords are TorrentPatron's.
    """

    Outboxes = {**Crewed.Outboxes, "status": "Garbage and failures"}
    COMPLAINTS = "status"

    def __init__(
        self,
        url: str | None = None,
        *,
        interval: float = 900,
        folder: str | os.PathLike[str] = ".",
        latest: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(options, interval=interval if url is not None else None)
        self._url, self._folder, self._latest = url, folder, latest
        self._known: dict[str, None] = {}
        self._running: dict[int, tuple[Item, str]] = {}
        self._looking = False
        self._first = True

    def on_tick(self) -> None:
        if self._url is not None and not self._looking:
            url = self._url
            self._looking = True
            self.work(None, lambda: fetch(url, bytes_max=FEED_BYTES_MAX))

    def on_message(self, message: Any) -> None:
        try:
            items = parse(message)
        except ValueError as error:
            self.complain(str(error))
            return
        count = len(items) if not self._first or self._latest is None else self._latest
        self._first = False
        for at, item in enumerate(items):
            if not item.torrent or item.key in self._known:
                continue
            self._known[item.key] = None
            if len(self._known) > KNOWN_MAX:
                del self._known[next(iter(self._known))]
            if at < count:
                self._begin(item)

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if token is None:
            self._looking = False
            if error is None:
                self.on_message(result)
        elif error is None:
            self.create(token, TIPCCreateTorrentIn(rawmetainfo=result, savefolder=os.fspath(self._folder)))
        if error is not None:
            self.complain(error)

    def on_started(self, token: Any, answer: Any) -> None:
        if isinstance(answer, TIPCNewTorrentCreated):
            self._running[answer.torrentid] = (token, answer.savefolder)
        else:
            self.complain(f"{token.title or token.torrent} can't be started, or is running already")

    def on_told(self, message: Any) -> None:
        torrentid = getattr(message, "torrentid", None)
        if torrentid not in self._running:
            return
        item, path = self._running[torrentid]
        if isinstance(message, TIPCTorrentComplete):
            del self._running[torrentid]
            self.out.put(
                TIPCEpisodeReady(
                    title=item.title, path=path, link=item.link, published=item.published, torrentid=torrentid
                )
            )
        elif isinstance(message, TIPCTorrentError):
            self.complain(message.message, torrentid)

    def is_done(self) -> bool:
        return self.is_idle and not self._running

    def _begin(self, item: Item) -> None:
        where = item.torrent
        if where.startswith("magnet:"):
            self.create(item, TIPCCreateTorrentIn(rawmetainfo=where, savefolder=os.fspath(self._folder)))
            return
        url = urljoin(self._url or "", where)
        self.work(item, lambda: fetch(url, bytes_max=TORRENT_BYTES_MAX))


def parse(feed: Any) -> list[Item]:
    """The items of a feed, in its order. `ValueError` if it is none."""
    if not isinstance(feed, bytes | bytearray | str) or len(feed) > FEED_BYTES_MAX:
        raise ValueError(f"a {type(feed).__name__} is no feed")
    reader = _Reader()
    try:
        reader.parser.Parse(feed if isinstance(feed, str) else bytes(feed), True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"a feed is XML: {error}") from None
    if not reader.is_feed:
        raise ValueError("that is neither RSS nor Atom")
    return reader.items


@dataclass(slots=True)
class _Found:
    item: Item = field(default_factory=Item)
    enclosure: str = ""
    magnet: str = ""


class _Reader:
    """Reads a feed as it is parsed. Entities of its own making are refused: they can be made to grow without bound."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.is_feed = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._found: _Found | None = None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append
        self.parser.EntityDeclHandler = self._refuse

    def _refuse(self, *declaration: object) -> None:
        raise ValueError("a feed declares no entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        self._path.append(name)
        if len(self._path) > DEPTH_MAX:
            raise ValueError("a feed isn't so deep")
        self.is_feed = self.is_feed or (len(self._path) == 1 and name in ("rss", "feed", "RDF"))
        self._text.clear()
        if name in ("item", "entry") and self._found is None:
            self._found = _Found()
        elif self._found is not None and name in ("enclosure", "link", "content"):
            self._see(attributes.get("url") or attributes.get("href") or "", attributes)

    def _see(self, place: str, attributes: dict[str, str]) -> None:
        found = self._found
        if found is None or not place:
            return
        if place.startswith("magnet:"):
            found.magnet = found.magnet or place
        elif attributes.get("type") == TORRENT_TYPE or place.partition("?")[0].endswith(".torrent"):
            found.enclosure = found.enclosure or place
        elif attributes.get("rel", "alternate") == "alternate":
            found.item.link = found.item.link or place

    def _end(self, name: str) -> None:
        self._path.pop()
        found, name = self._found, name.rpartition(" ")[2]
        if found is None:
            return
        text = "".join(self._text).strip()
        self._text.clear()
        match name:
            case "title":
                found.item.title = found.item.title or text
            case "link" | "magnetURI":
                self._see(text, {})
            case "guid" | "id":
                found.item.key = text
            case "pubDate" | "published" | "updated":
                found.item.published = found.item.published or text
            case "item" | "entry":
                self._found = None
                found.item.torrent = found.magnet or found.enclosure
                found.item.key = found.item.key or found.item.torrent
                if len(self.items) < ITEMS_MAX:
                    self.items.append(found.item)
            case _:
                return


__kamaelia_components__ = (TorrentFeedSubscriber,)
