"""The feed of a live stream: which chunks there are, in one of three forms. It owns their writing and reading; how a
feed gets from one side to the other is its users'.

JSON carries the torrents themselves:

    {"millstream": 1, "name": "radio", "ended": false,
     "chunks": [{"number": 1, "length": 4194304, "torrent": "<base64>"}, ..]}

RSS 2.0 and Atom are for other programs too: each chunk is an item whose enclosure is a torrent, by its URL or as a
magnet link. Its guid or id ends in "/" and the chunk's number. A category `millstream-ended` of the feed says that the
stream has ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from time import gmtime, strftime
from typing import Any, Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from ._signals import is_a
from ._syndication import TORRENT_TYPE, read_feed

__all__ = ["CHUNKS_MAX", "CHUNK_BYTES_MAX", "FORMS", "Chunk", "FeedForm", "StreamFeed", "read", "write"]

FeedForm: TypeAlias = Literal["json", "rss", "atom"]

FORMS: tuple[FeedForm, ...] = ("json", "rss", "atom")

CHUNK_BYTES_MAX = 256 << 20
"""A chunk that is longer is none: it is held in memory. Bytes."""

CHUNKS_MAX = 10_000
"""A feed that names more chunks, or chunks further apart, is none."""

FEED_BYTES_MAX = 16 << 20
"""A feed that is longer isn't taken. Bytes."""

ENDED = "millstream-ended"

NUMBERS_MAX = 1 << 53


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a stream. `torrent`: the contents of a .torrent file, a magnet link, or the URL of a .torrent file.
    `length` in bytes, if the feed says it; `made`: when, in seconds since 1970, if the writer says it."""

    number: int
    torrent: bytes | str
    length: int | None = None
    made: float = 0.0


@dataclass(frozen=True, slots=True)
class StreamFeed:
    """What a feed says: chunks by rising numbers, and whether there will be more."""

    name: str
    ended: bool
    chunks: tuple[Chunk, ...]


def write(feed: StreamFeed, form: FeedForm = "json") -> bytes:
    """The feed as a document. JSON takes chunks with their torrents, RSS and Atom those with links."""
    match form:
        case "json":
            chunks = [
                {"number": chunk.number, "length": chunk.length, "torrent": base64.b64encode(_bytes(chunk)).decode()}
                for chunk in feed.chunks
            ]
            return json.dumps({"millstream": 1, "name": feed.name, "ended": feed.ended, "chunks": chunks}).encode()
        case "rss":
            return _rss(feed).encode()
        case "atom":
            return _atom(feed).encode()


def read(document: Any, base: str = "") -> StreamFeed:
    """What a document that came from `base` says, in whichever form. `ValueError` if it is no feed of a stream."""
    if not is_a(document, bytes, bytearray, str) or len(document) > FEED_BYTES_MAX:
        raise ValueError(f"a {type(document).__name__} is no feed")
    start = document[:64].lstrip()
    if start[:1] in (b"<", "<") or start[:3] == b"\xef\xbb\xbf":
        return _checked(_from_xml(document, base))
    return _checked(_from_json(document))


def _bytes(chunk: Chunk) -> bytes:
    if not isinstance(chunk.torrent, bytes):
        raise ValueError("a feed in JSON has the torrents themselves")
    return chunk.torrent


def _key(feed: StreamFeed, chunk: Chunk) -> str:
    return f"urn:millstream:{feed.name}/{chunk.number}"


def _rss(feed: StreamFeed) -> str:
    items = "".join(
        f"<item><title>{escape(feed.name)} {chunk.number}</title>"
        f'<guid isPermaLink="false">{escape(_key(feed, chunk))}</guid><pubDate>{formatdate(chunk.made)}</pubDate>'
        f"<enclosure url={quoteattr(str(chunk.torrent))} length={quoteattr(str(chunk.length or 0))}"
        f' type="{TORRENT_TYPE}"/></item>\n'
        for chunk in _latest_first(feed.chunks)
    )
    ended = f"<category>{ENDED}</category>" if feed.ended else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>{escape(feed.name)}</title>'
        f"<link>urn:millstream:{escape(feed.name)}</link><description>a live stream in torrents</description>{ended}\n"
        f"{items}"
        "</channel></rss>\n"
    )


def _atom(feed: StreamFeed) -> str:
    entries = "".join(
        f"<entry><id>{escape(_key(feed, chunk))}</id><title>{escape(feed.name)} {chunk.number}</title>"
        f'<updated>{_moment(chunk.made)}</updated><link rel="enclosure" type="{TORRENT_TYPE}"'
        f" length={quoteattr(str(chunk.length or 0))} href={quoteattr(str(chunk.torrent))}/></entry>\n"
        for chunk in _latest_first(feed.chunks)
    )
    ended = f'<category term="{ENDED}"/>' if feed.ended else ""
    updated = _moment(max((chunk.made for chunk in feed.chunks), default=0.0))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<id>urn:millstream:{escape(feed.name)}</id><title>{escape(feed.name)}</title><updated>{updated}</updated>"
        f"<author><name>{escape(feed.name)}</name></author>{ended}\n{entries}</feed>\n"
    )


def _latest_first(chunks: Iterable[Chunk]) -> list[Chunk]:
    """As readers of news want it: they look at a feed from its beginning."""
    return sorted(chunks, key=lambda chunk: -chunk.number)


def _moment(made: float) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(made))


def _from_xml(document: Any, base: str) -> StreamFeed:
    feed = read_feed(document, base)
    chunks: dict[int, Chunk] = {}
    for item in feed.items:
        digits = item.key.rpartition("/")[2]
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 16:
            raise ValueError("an item of a stream's feed has a guid or id that ends in its number")
        if not item.torrent:
            raise ValueError("an item of a stream's feed has a torrent")
        chunks.setdefault(int(digits), Chunk(int(digits), item.torrent))
    return StreamFeed(feed.title, ENDED in feed.categories, tuple(chunks[number] for number in sorted(chunks)))


def _from_json(document: Any) -> StreamFeed:
    try:
        feed = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("a feed is JSON, RSS or Atom") from None
    if not isinstance(feed, dict) or feed.get("millstream") != 1 or not isinstance(feed.get("ended"), bool):
        raise ValueError("that is no feed of a stream")
    given = feed.get("chunks")
    if not isinstance(given, list) or len(given) > CHUNKS_MAX:
        raise ValueError("a feed has a list of chunks")
    chunks = []
    for chunk in given:
        if not isinstance(chunk, dict) or not isinstance(chunk.get("torrent"), str):
            raise ValueError("a chunk of a feed has a torrent")
        try:
            torrent = base64.b64decode(chunk["torrent"], validate=True)
        except ValueError:
            raise ValueError("a chunk's torrent is base64") from None
        length = _count(chunk.get("length"), CHUNK_BYTES_MAX)
        chunks.append(Chunk(_count(chunk.get("number"), NUMBERS_MAX), torrent, length))
    return StreamFeed(str(feed.get("name", "")), feed["ended"], tuple(chunks))


def _checked(feed: StreamFeed) -> StreamFeed:
    last = 0
    for chunk in feed.chunks:
        _count(chunk.number, NUMBERS_MAX)
        if chunk.number <= last:
            raise ValueError("chunks of a feed are numbered in order")
        last = chunk.number
    if feed.chunks and last - feed.chunks[0].number >= CHUNKS_MAX:
        raise ValueError(f"chunks of a feed lie within {CHUNKS_MAX} numbers")
    return feed


def _count(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise ValueError("chunks of a feed have numbers and lengths")
    return value
