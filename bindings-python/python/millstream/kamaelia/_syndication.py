"""Feeds as they come from the web: RSS 2.0 (1.0 too) and Atom, read without trust. It owns what an item of one is; what
is done with it is its users'.

Entities of a feed's own making are refused, since they can be made to grow without bound; depth, items and the lengths
of texts are bounded. Relative references are resolved by the `xml:base` around them, and then by where the feed came
from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from ._signals import is_a

__all__ = ["FEED_BYTES_MAX", "Feed", "Item", "parse", "read_feed"]

FEED_BYTES_MAX = 4 << 20
"""A feed that is longer isn't taken. Bytes."""

ITEMS_MAX = 1000
"""So many items of a feed are looked at, from its beginning."""

DEPTH_MAX = 64
"""A feed whose elements lie deeper is none."""

TEXT_MAX = 16 << 10
"""Of a title, a link or another text of an item so much is read. Characters."""

TORRENT_TYPE = "application/x-bittorrent"
XML_BASE = "http://www.w3.org/XML/1998/namespace base"


@dataclass(slots=True)
class Item:
    """An entry of a feed. `key` is what it is known by; `torrent` a magnet link or the URL of a torrent file, empty if
    it has none; `published` as the feed says it, which nothing here trusts."""

    title: str = ""
    link: str = ""
    published: str = ""
    key: str = ""
    torrent: str = ""


@dataclass(slots=True)
class Feed:
    """A feed: its title, its items in its order, and the feed's own categories."""

    title: str = ""
    items: list[Item] = field(default_factory=list)
    categories: set[str] = field(default_factory=set)


def parse(feed: Any, base: str = "") -> list[Item]:
    """The items of a feed that came from `base`, in its order. `ValueError` if it is none."""
    return read_feed(feed, base).items


def read_feed(feed: Any, base: str = "") -> Feed:
    """A feed that came from `base`. `ValueError` if it is none."""
    if not is_a(feed, bytes, bytearray, str) or len(feed) > FEED_BYTES_MAX:
        raise ValueError(f"a {type(feed).__name__} is no feed")
    reader = _Reader(base)
    try:
        reader.parser.Parse(feed if isinstance(feed, str) else bytes(feed), True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        raise ValueError(f"a feed is XML: {error}") from None
    if not reader.is_feed:
        raise ValueError("that is neither RSS nor Atom")
    return reader.feed


@dataclass(slots=True)
class _Found:
    item: Item = field(default_factory=Item)
    enclosure: str = ""
    magnet: str = ""


class _Reader:
    """Reads a feed as it is parsed."""

    def __init__(self, base: str) -> None:
        self.feed = Feed()
        self.is_feed = False
        self._bases = [base]
        self._text: list[str] = []
        self._length = 0
        self._found: _Found | None = None
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._on_text
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse

    def _refuse(self, *declaration: object) -> int:
        raise ValueError("a feed declares no entities")

    def _on_text(self, text: str) -> None:
        if self._length < TEXT_MAX:
            self._text.append(text[: TEXT_MAX - self._length])
            self._length += len(text)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        if len(self._bases) > DEPTH_MAX:
            raise ValueError("a feed isn't so deep")
        self.is_feed = self.is_feed or (len(self._bases) == 1 and name in ("rss", "feed", "RDF"))
        self._bases.append(_joined(self._bases[-1], attributes.get(XML_BASE, "")))
        self._clear()
        if name in ("item", "entry") and self._found is None:
            self._found = _Found()
        elif self._found is not None and name in ("enclosure", "link", "content"):
            self._see(attributes.get("url") or attributes.get("href") or "", attributes)
        elif self._found is None and name == "category" and "term" in attributes:
            self.feed.categories.add(attributes["term"][:TEXT_MAX])

    def _see(self, place: str, attributes: dict[str, str]) -> None:
        found = self._found
        if found is None or not place or len(place) > TEXT_MAX:
            return
        if place.startswith("magnet:"):
            found.magnet = found.magnet or place
            return
        place = _joined(self._bases[-1], place)
        if attributes.get("type") == TORRENT_TYPE or place.partition("?")[0].endswith(".torrent"):
            found.enclosure = found.enclosure or place
        elif attributes.get("rel", "alternate") == "alternate":
            found.item.link = found.item.link or place

    def _end(self, name: str) -> None:
        found, name = self._found, name.rpartition(" ")[2]
        text = "".join(self._text).strip()
        self._clear()
        if found is None:
            self._of_the_feed(name, text)
        else:
            self._of_an_item(found, name, text)
        self._bases.pop()

    def _of_the_feed(self, name: str, text: str) -> None:
        if name == "title":
            self.feed.title = self.feed.title or text
        elif name == "category" and text:
            self.feed.categories.add(text)

    def _of_an_item(self, found: _Found, name: str, text: str) -> None:
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
                if len(self.feed.items) < ITEMS_MAX:
                    self.feed.items.append(found.item)
            case _:
                return

    def _clear(self) -> None:
        self._text.clear()
        self._length = 0


def _joined(base: str, place: str) -> str:
    """Where a reference leads; as it is if it can't be read."""
    try:
        return urljoin(base, place) if place else base
    except ValueError:
        return place
