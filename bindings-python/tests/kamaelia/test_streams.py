"""A live stream from a StreamPublisher to a StreamSubscriber, by each form of its feed and by a key of the DHT; and
what a feed may say."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import Metainfo
from millstream.dht import Node
from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia._feed_of_stream import FORMS, Chunk, FeedForm, StreamFeed, read, write
from millstream.kamaelia.ipc import TIPCChunkPublished, TIPCFeedNamed, TIPCTorrentError
from millstream.kamaelia.StreamPublisher import StreamPublisher
from millstream.kamaelia.StreamSubscriber import StreamSubscriber

from .stage import Script, ended, run, torrent_of, until
from .test_reader import HERMETIC
from .test_stories import wired
from .world import DEADLINE, Quiet, Tracker, serving

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

SUBSCRIBER = """
import sys
from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.File.Writing import SimpleFileWriter
from Kamaelia.Util.Console import ConsoleEchoer
from Kamaelia.Util.PureTransformer import PureTransformer
from millstream.kamaelia.StreamSubscriber import StreamSubscriber
settings = {{"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}}
Graphline(
    S=StreamSubscriber({url!r}, interval=0.1, settings=settings, **{options!r}),
    F=SimpleFileWriter("stream"),
    T=PureTransformer(lambda m: str(m) + "\\n"),
    E=ConsoleEchoer(),
    linkages={{
        ("S", "outbox"): ("F", "inbox"), ("S", "status"): ("T", "inbox"), ("T", "outbox"): ("E", "inbox"),
        ("S", "signal"): ("F", "control"), ("F", "signal"): ("T", "control"), ("T", "signal"): ("E", "control"),
    }}).run()
"""
STREAM = random.Random(9).randbytes(1_000_000)
SECRET = bytes(range(32))


class Show:
    """A program's feed and torrents on a web server, as a program would serve them."""

    def __init__(self) -> None:
        self.feed: bytes = b""
        self.torrents: dict[int, bytes] = {}

    @contextmanager
    def serve(self) -> Iterator[str]:
        show = self

        class Web(Quiet):
            def do_GET(self) -> None:
                number = self.path.strip("/").removesuffix(".torrent")
                if number.isdigit():
                    body = show.torrents.get(int(number), b"")
                    self.answer(200 if body else 404, body)
                else:
                    self.answer(200 if show.feed else 503, show.feed)

        with serving(Web) as web:
            yield web


def broadcast(show: Show, publisher: StreamPublisher, url: str, sink: Path, **options: Any) -> Script:
    """Publishes the stream, and has another process subscribe to it until it ends."""
    sink.mkdir()
    text = SUBSCRIBER.format(url=url, options=options)

    def script(me: Script) -> Main:
        for at in range(0, len(STREAM), 70_000):
            me.send(STREAM[at : at + 70_000])
            yield 1
        me.send(producerFinished(), "signal")
        yield until(lambda: program.poll() is not None, "the other side has it all", DEADLINE)
        yield from ended(me)

    class Listener(Script):
        def take(self) -> None:
            super().take()
            for chunk in self.of(TIPCChunkPublished):
                show.torrents[chunk.number] = chunk.rawmetainfo
            feeds = self.of(bytes)
            show.feed = feeds[-1] if feeds else show.feed

    me = Listener(script)
    me.link((me, "outbox"), (publisher, "inbox"))
    me.link((me, "signal"), (publisher, "control"))
    me.link((publisher, "outbox"), (me, "inbox"))
    me.link((publisher, "feed"), (me, "inbox"))
    me.link((publisher, "signal"), (me, "control"))
    program = subprocess.Popen([sys.executable, "-c", text], cwd=sink, stdout=subprocess.PIPE, text=True)
    try:
        run(publisher, me, deadline=2 * DEADLINE)
    finally:
        program.kill()
        said, _ = program.communicate(timeout=DEADLINE)
    if me.failure:
        raise AssertionError(said) from me.failure
    assert (sink / "stream").read_bytes() == STREAM, said
    assert not me.of(TIPCTorrentError)
    return me


@pytest.mark.parametrize(("form", "by_url"), [("json", False), ("rss", False), ("rss", True), ("atom", True)])
def test_a_stream_goes_by_every_form_of_feed(form: FeedForm, by_url: bool, folder: Path) -> None:
    show = Show()
    with Tracker().serve() as announce, show.serve() as web:
        publisher = StreamPublisher(
            300_000,
            tracker=announce,
            tickInterval=0.1,
            settings=HERMETIC,
            form=form,
            torrent_url="{number}.torrent" if by_url else None,
        )
        me = broadcast(show, publisher, f"{web}feed", folder / "sink", history=1)
    assert [chunk.number for chunk in me.of(TIPCChunkPublished)] == [1, 2, 3, 4]
    assert read(show.feed).ended


@contextmanager
def a_dht(count: int = 3) -> Iterator[str]:
    """A DHT of so many nodes; where it is entered."""
    ready, over = threading.Event(), asyncio.Event()
    entry: list[str] = []
    loop = asyncio.new_event_loop()

    async def live() -> None:
        nodes: list[Node] = []
        for _ in range(count):
            known = entry[:1] or ["127.0.0.1:9"]
            local: dict[str, Any] = {"private_addresses": True, "enforce_node_ids": False}
            node = Node(listen=[("127.0.0.1", 0)], bootstrap_nodes=known, **local)
            nodes.append(await node.start())
            entry.append(f"127.0.0.1:{node.listening[0][1]}")
        for node in nodes[1:]:
            await node.joined()
        ready.set()
        await over.wait()
        for node in nodes:
            await node.close()

    def run_it() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(live())

    thread = threading.Thread(target=run_it)
    thread.start()
    try:
        assert ready.wait(DEADLINE)
        yield entry[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(DEADLINE)


def test_bep_0046_a_stream_is_followed_by_its_key_and_no_server_tells_of_it(folder: Path) -> None:
    with Tracker().serve() as announce, a_dht() as entry:
        way: dict[str, Any] = {"dht_bootstrap": [entry], "dht_listen": [("127.0.0.1", 0)]}
        publisher = StreamPublisher(
            300_000, tracker=announce, tickInterval=0.1, settings=HERMETIC, key=SECRET, salt=b"radio", **way
        )
        magnet = publisher.magnet or ""
        assert magnet.startswith("magnet:?xs=urn:btpk:") and "&s=" in magnet and "&tr=" in magnet
        me = broadcast(Show(), publisher, magnet, folder / "sink", **way)
    named = me.of(TIPCFeedNamed)
    assert [message.seq for message in named] == list(range(1, len(named) + 1)) and named[0].link == magnet
    # of the feeds that were, few are kept
    assert len(list(folder.glob("chunk.feed*"))) <= 4


@pytest.mark.parametrize("form", FORMS)
def test_a_feed_says_the_same_in_every_form(form: FeedForm) -> None:
    raw = torrent_of("chunk1")
    torrent: bytes | str = raw if form == "json" else "magnet:?xt=urn:btih:" + "0" * 40 + "&dn=<a>&tr=\"'"
    feed = StreamFeed('ra"dio <1> & more', True, tuple(Chunk(number, torrent, 10, 5.0) for number in (3, 4, 7)))
    document = write(feed, form)
    told = read(document, "http://x/")
    assert (told.name, told.ended) == (feed.name, True)
    assert [(chunk.number, chunk.torrent) for chunk in told.chunks] == [(number, torrent) for number in (3, 4, 7)]
    assert not read(write(StreamFeed("x", False, ()), form)).ended
    assert Metainfo.parse(raw).name == "chunk1"


@pytest.mark.parametrize(
    "document",
    [
        "<rss><channel><item><guid>x/1</guid></item></channel></rss>",
        "<rss><channel><item><guid>one</guid><link>magnet:?x</link></item></channel></rss>",
        f"<rss><channel><item><guid>x/{'9' * 40}</guid><link>magnet:?x</link></item></channel></rss>",
        "<rss><channel><item><guid>x/0</guid><link>magnet:?x</link></item></channel></rss>",
        "<html/>",
        "<" * 1000,
    ],
)
def test_what_is_no_feed_of_a_stream_is_told_of(document: str) -> None:
    with pytest.raises(ValueError):
        read(document)


def test_a_feed_with_gaps_without_end_loses_what_is_gone_and_no_time() -> None:
    def feed(*numbers: int) -> bytes:
        return write(StreamFeed("x", False, tuple(Chunk(number, b"x", 1) for number in numbers)), "json")

    with pytest.raises(ValueError):
        read(feed(1, 1 << 50))
    component = StreamSubscriber(settings=HERMETIC)

    def script(me: Script) -> Main:
        # a torrent that is none, then one far away, then one that is near
        for numbers in ((1,), (1 << 50,), (9_000,)):
            me.send(feed(*numbers))
        yield until(lambda: len(me.of(TIPCTorrentError)) >= 4, "what is lost")
        yield from ended(me)

    me = wired(component, script)
    texts = [message.message for message in me.of(TIPCTorrentError)]
    assert "a feed that goes on so far behind chunk 1 is another stream's" in texts
    assert "chunks 2 to 8999 are lost: they are no longer in the feed" in texts


def test_a_feed_that_is_not_there_yet_is_looked_for_again_and_a_lost_chunk_is_told_of(folder: Path) -> None:
    looks = 0
    lost = StreamFeed("x", True, (Chunk(1, "missing.torrent"),))

    class Web(Quiet):
        def do_GET(self) -> None:
            nonlocal looks
            looks += 1
            if looks == 1:
                self.answer(503, b"")
            elif self.path.endswith("feed"):
                self.answer(200, write(lost, "rss"))
            else:
                self.answer(404, b"")

    with serving(Web) as web:
        component = StreamSubscriber(f"{web}feed", interval=0.05, settings=HERMETIC)

        def script(me: Script) -> Main:
            yield until(lambda: me.signals, "it ends by itself", DEADLINE)

        me = Script(script)
        me.link((component, "status"), (me, "inbox"))
        me.link((component, "signal"), (me, "control"))
        run(component, me, deadline=DEADLINE)
    texts = [message.message for message in me.of(TIPCTorrentError)]
    assert "503" in texts[0] and texts[-1].startswith("chunk 1 is lost: ") and "404" in texts[-1]
