"""TorrentFeedSubscriber: what a feed (RSS 2.0 or Atom) names as torrents is downloaded, each once, and told of when it
is ready. It owns which items are new; the transfer is the TorrentService's.

    inbox    feeds (bytes or str), in place of a URL or beside it
    control  producerFinished ends it when all that it saw is ready, shutdown and shutdownMicroprocess at once
    outbox   TIPCEpisodeReady for each item, when its torrent is complete
    status   TIPCTorrentError for garbage and failures
    signal   producerFinished when it has ended

An item's torrent is its magnet link, or what its enclosure or link leads to if that says that it is a torrent. Items
are known again by their guid or id, and by that link: what is the same by either is the same. What a feed says of dates
is passed on and counts for nothing, so that no clock needs to be right. A feed that hasn't changed isn't sent again
(its ETag, or when it was modified); relative links lead from where it was found in the end, behind all redirects. A
torrent file that couldn't be got is tried again when the feed is looked at next.
"""

from __future__ import annotations

import os
from typing import Any

from ._crew import Crewed
from ._http import Page, fetch, fetch_page
from ._syndication import FEED_BYTES_MAX, Item, parse
from .ipc import TIPCCreateTorrentIn, TIPCEpisodeReady, TIPCTorrentComplete, TIPCTorrentError
from .TorrentIPC import TIPCNewTorrentCreated

__all__ = ["Item", "TorrentFeedSubscriber", "parse"]

TORRENT_BYTES_MAX = 16 << 20
"""A torrent file that is longer isn't taken. Bytes."""

KNOWN_MAX = 100_000
"""So many names of items are remembered; then the oldest is forgotten, and new if it is seen again."""

MISSED_MAX = 1000
"""So many items whose torrent files couldn't be got are tried again."""


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
        self._page: Page | None = None
        # what couldn't be got: it is begun again though the feed says nothing new
        self._missed: list[Item] = []
        self._looking = False
        self._first = True

    def on_tick(self) -> None:
        if self._url is not None and not self._looking:
            url, known = self._url, self._page
            self._looking = True
            self.work(None, lambda: fetch_page(url, known=known, bytes_max=FEED_BYTES_MAX))
            missed, self._missed = self._missed, []
            for item in missed:
                self._begin(item)

    def on_message(self, message: Any) -> None:
        self._take(message, self._url or "")

    def on_done(self, token: Any, result: Any, error: str | None) -> None:
        if token is not None:
            self._on_torrent(token, result, error)
            return
        self._looking = False
        if error is not None:
            self.complain(error)
            return
        self._page = result
        if result.body is not None:
            self._take(result.body, result.url)

    def _take(self, feed: Any, base: str) -> None:
        try:
            items = parse(feed, base)
        except ValueError as error:
            self.complain(str(error))
            return
        count = len(items) if not self._first or self._latest is None else self._latest
        self._first = False
        for at, item in enumerate(items):
            if not item.torrent or item.key in self._known or item.torrent in self._known:
                continue
            self._remember(item.key)
            self._remember(item.torrent)
            if at < count:
                self._begin(item)

    def _remember(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]

    def _on_torrent(self, item: Item, torrent: Any, error: str | None) -> None:
        if error is not None:
            self.complain(error)
            if self._url is not None and not self.finishing and len(self._missed) < MISSED_MAX:
                self._missed.append(item)
            return
        self.create(item, TIPCCreateTorrentIn(rawmetainfo=torrent, savefolder=os.fspath(self._folder)))

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
        else:
            self.work(item, lambda: fetch(where, bytes_max=TORRENT_BYTES_MAX))


__kamaelia_components__ = (TorrentFeedSubscriber,)
