"""TorrentFeedSubscriber among the feeds that there are: those that don't change, that move, that repeat themselves,
that are wrong about the time, and those that mean harm."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import create, sync
from millstream.kamaelia import _syndication
from millstream.kamaelia._syndication import ITEMS_MAX, TEXT_MAX, parse
from millstream.kamaelia.ipc import TIPCEpisodeReady, TIPCTorrentError
from millstream.kamaelia.TorrentFeedSubscriber import TorrentFeedSubscriber

from .stage import Script, ended, until
from .test_reader import HERMETIC
from .test_stories import wired
from .world import DEADLINE, Quiet, Tracker, serving

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

TYPE = 'type="application/x-bittorrent"'


def rss(*items: str) -> bytes:
    return f'<rss version="2.0"><channel><title>Radio</title>{"".join(items)}</channel></rss>'.encode()


def item(number: int, url: str, date: str = "", guid: str | None = None) -> str:
    known = "" if guid == "" else f"<guid>{guid or number}</guid>"
    return f'<item><title>{number}</title>{known}<pubDate>{date}</pubDate><enclosure url="{url}" {TYPE}/></item>'


class Episodes:
    """Torrents of small files that a session seeds."""

    def __init__(self, folder: Path, announce: str, count: int) -> None:
        self.seeds = folder / "seeds"
        self.seeds.mkdir()
        self.torrents: dict[int, bytes] = {}
        for number in range(1, count + 1):
            data = random.Random(number).randbytes(50_000)
            (self.seeds / f"{number}.ogg").write_bytes(data)
            self.torrents[number] = create(f"{number}.ogg", data, version="v1", trackers=[[announce]])

    def seed(self, session: sync.Session) -> None:
        for torrent in self.torrents.values():
            session.add(torrent, folder=self.seeds).wait_complete(timeout=20)


def subscribe(folder: Path, page: type[Quiet], play: Any, episodes: Episodes) -> Script:
    """Plays a script beside a subscriber to `feed/latest` of this web server."""
    with serving(page) as web, sync.Session(**HERMETIC) as session:
        episodes.seed(session)
        settings: dict[str, Any] = {"interval": 0.05, "folder": folder / "shows", "settings": HERMETIC}
        return wired(TorrentFeedSubscriber(f"{web}feed/latest", **settings), play)


def test_a_feed_that_moved_and_has_not_changed_is_not_sent_again(folder: Path) -> None:
    answers: Counter[int] = Counter()

    with Tracker().serve() as announce:
        episodes = Episodes(folder, announce, 1)

        class Web(Quiet):
            def do_GET(self) -> None:
                if self.path == "/feed/latest":
                    self.send_response(301)
                    self.send_header("Location", "/moved/here/feed")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path == "/moved/here/feed":
                    known = self.headers["If-None-Match"] == '"1"' and self.headers["If-Modified-Since"] == "then"
                    answers[304 if known else 200] += 1
                    self.send_response(304 if known else 200)
                    body = b"" if known else rss(item(1, "../1.torrent"))
                    self.send_header("ETag", '"1"')
                    self.send_header("Last-Modified", "then")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                else:
                    assert self.path == "/moved/1.torrent", self.path
                    self.answer(200, episodes.torrents[1])

        def script(me: Script) -> Main:
            yield until(lambda: me.of(TIPCEpisodeReady), "an episode", DEADLINE)
            yield until(lambda: answers[304] > 2, "more looks")
            yield from ended(me)

        me = subscribe(folder, Web, script, episodes)
    assert answers[200] == 1 and not me.of(TIPCTorrentError)


def test_what_a_feed_repeats_comes_once_whatever_clock_it_has(folder: Path) -> None:
    looks = 0

    with Tracker().serve() as announce:
        episodes = Episodes(folder, announce, 3)

        class Web(Quiet):
            def do_GET(self) -> None:
                nonlocal looks
                if self.path.endswith(".torrent"):
                    self.answer(200, episodes.torrents[int(self.path.strip("/").removesuffix(".torrent"))])
                    return
                looks += 1
                # a date of the far future, one of long ago, none that can be read; an item that changes its guid, and
                # one that changes its place
                items = [
                    item(1, "/1.torrent", "Fri, 31 Dec 2999 23:59:59 GMT"),
                    item(1, "/1.torrent", guid="another"),
                    item(2, "/2.torrent", "Thu, 01 Jan 1970 00:00:00 GMT"),
                    item(2, "/gone.torrent", "not a date"),
                ]
                if looks > 3:
                    # what is new may be anywhere, and be older than all else
                    items.append(item(3, "/3.torrent", "Wed, 02 Jan 1850 00:00:00 GMT", guid=""))
                self.answer(200, rss(*items))

        def script(me: Script) -> Main:
            yield until(lambda: len(me.of(TIPCEpisodeReady)) == 3, "three episodes", DEADLINE)
            seen = looks
            yield until(lambda: looks > seen + 3, "more looks")
            yield from ended(me)

        me = subscribe(folder, Web, script, episodes)
    assert sorted(episode.title for episode in me.of(TIPCEpisodeReady)) == ["1", "2", "3"]
    assert not me.of(TIPCTorrentError)


def test_a_torrent_file_that_is_not_there_yet_is_asked_for_again(folder: Path) -> None:
    asked: Counter[str] = Counter()

    with Tracker().serve() as announce:
        episodes = Episodes(folder, announce, 1)

        class Web(Quiet):
            def do_GET(self) -> None:
                asked[self.path] += 1
                if self.path == "/1.torrent":
                    late = asked[self.path] > 2
                    self.answer(200 if late else 404, episodes.torrents[1] if late else b"")
                elif asked[self.path] == 1:
                    self.answer(500, b"")
                else:
                    self.answer(200, rss(item(1, "/1.torrent")))

        def script(me: Script) -> Main:
            yield until(lambda: me.of(TIPCEpisodeReady), "an episode", DEADLINE)
            yield from ended(me)

        me = subscribe(folder, Web, script, episodes)
    texts = [message.message for message in me.of(TIPCTorrentError)]
    assert ["500" in texts[0], "404" in texts[1], "404" in texts[2], len(texts)] == [True, True, True, 3]


@pytest.mark.parametrize(
    ("base", "feed", "torrent"),
    [
        ("http://x/a/b", rss(item(1, "c.torrent")), "http://x/a/c.torrent"),
        ("http://x/a/b", rss(item(1, "//y/c.torrent")), "http://y/c.torrent"),
        ("http://x/a/b", rss(item(1, "http://[/c.torrent")), "http://[/c.torrent"),
        (
            "http://x/",
            f'<feed xmlns="http://www.w3.org/2005/Atom" xml:base="http://z/q/"><entry xml:base="sub/">'
            f'<id>1</id><link rel="enclosure" {TYPE} href="c"/></entry></feed>',
            "http://z/q/sub/c",
        ),
    ],
    ids=["relative", "other host", "unreadable", "xml:base"],
)
def test_relative_links_lead_from_where_they_are(base: str, feed: Any, torrent: str) -> None:
    (found,) = parse(feed, base)
    assert found.torrent == torrent


BOMBS = {
    "laughs": '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><rss><channel>&b;</channel></rss>',
    "quadratic": f'<!DOCTYPE r [<!ENTITY a "{"x" * 100_000}">]><rss>{"&a;" * 1000}</rss>',
    "file": '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss><item><title>&a;</title></item></rss>',
    "parameter": '<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x"> %a;]><rss/>',
    "deep": "<rss>" + "<a>" * 100_000,
    "unclosed": "<rss><channel>" + "<item>" * 60_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_no_feed(name: str) -> None:
    with pytest.raises(ValueError):
        parse(BOMBS[name])


def test_a_giant_feed_is_read_as_far_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(parse(rss(*(item(number, f"http://x/{number}.torrent") for number in range(3000))))) == ITEMS_MAX
    (wide,) = parse(rss(f"<item><title>{'x' * 1_000_000}</title><guid>1</guid></item>"))
    assert len(wide.title) == TEXT_MAX
    (attributes,) = parse(rss(f'<item><enclosure url="{"x" * 100_000}.torrent"/></item>'))
    assert attributes.torrent == ""
    monkeypatch.setattr(_syndication, "FEED_BYTES_MAX", 1000)
    with pytest.raises(ValueError):
        parse(rss(" " * 2000))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_feeds_of_other_encodings_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><rss><item><title>Föhn</title></item></rss>'
    assert parse(text.encode(encoding))[0].title == "Föhn"


def test_an_encoding_that_nobody_knows_is_no_feed() -> None:
    with pytest.raises(ValueError):
        parse(b'<?xml version="1.0" encoding="klingon"?><rss/>')
