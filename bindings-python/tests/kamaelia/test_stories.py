"""Components that tell a whole story: seeding with an end, a live stream, a subscription."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import Metainfo, create, sync
from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia.ipc import (
    TIPCChunkPublished,
    TIPCEpisodeReady,
    TIPCSeeding,
    TIPCSeedingEnded,
    TIPCTorrentError,
)
from millstream.kamaelia.SeedingController import SeedingController
from millstream.kamaelia.StreamPublisher import StreamPublisher
from millstream.kamaelia.StreamSubscriber import StreamSubscriber
from millstream.kamaelia.TorrentFeedSubscriber import Item, TorrentFeedSubscriber, parse

from .stage import Script, ended, play, run, until
from .test_reader import HERMETIC
from .world import DEADLINE, Leech, Quiet, Tracker, serving

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

SUBSCRIBER = """
import sys
from Kamaelia.Chassis.Pipeline import Pipeline
from Kamaelia.File.Writing import SimpleFileWriter
from millstream.kamaelia.StreamSubscriber import StreamSubscriber
settings = {{"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}}
Pipeline(StreamSubscriber({url!r}, interval=0.1, settings=settings), SimpleFileWriter("stream")).run()
"""


def test_a_file_anywhere_is_seeded_until_its_limits(folder: Path) -> None:
    data = random.Random(8).randbytes(300_000)
    elsewhere = folder / "else" / "where"
    elsewhere.mkdir(parents=True)
    (elsewhere / "song").write_bytes(data)
    (folder / "short").write_bytes(b"x" * 1000)
    tracker = Tracker()

    def script(me: Script) -> Main:
        for garbage in (None, 42, b"bytes", "missing", str(elsewhere)):
            me.send(garbage)
        me.send(str(elsewhere / "song"))
        me.send("short")
        yield until(lambda: len(me.of(TIPCSeeding, TIPCTorrentError)) == 7, "an answer to each")
        song, _ = me.of(TIPCSeeding)
        assert Metainfo.parse(song.rawmetainfo).version == "v1"
        assert song.magnet.startswith("magnet:?xt=urn:btih:") and "dn=song" in song.magnet
        leech = Leech(song.rawmetainfo, folder / "leech")
        yield until(leech.done, "somebody else has it", DEADLINE)
        yield until(lambda: me.of(TIPCSeedingEnded), "its end", DEADLINE)
        yield from ended(me)

    with tracker.serve() as announce:
        options: dict[str, Any] = {"tickInterval": 0.05, "settings": HERMETIC}
        controller = SeedingController(announce, ratio_max=1.0, version="v1", **options)
        (me,) = play((controller, script), deadline=2 * DEADLINE)
    (end,) = me.of(TIPCSeedingEnded)
    assert (end.path, end.reason) == (str(elsewhere / "song"), "ratio") and end.ratio >= 1
    assert (folder / "leech" / "song").read_bytes() == data


def test_seeding_that_has_a_limit_of_time_ends_by_itself(folder: Path) -> None:
    (folder / "song").write_bytes(b"x" * 1000)

    def script(me: Script) -> Main:
        me.send("song")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    (me,) = play((SeedingController(seconds_max=0.1, tickInterval=0.05, settings=HERMETIC), script))
    assert [type(message) for message in me.got] == [TIPCSeeding, TIPCSeedingEnded]
    assert me.got[1].reason == "time"


def test_a_stream_is_published_in_chunks_and_put_together_elsewhere(folder: Path) -> None:
    stream = random.Random(9).randbytes(1_000_000)
    feeds: list[bytes] = [json.dumps({"millstream": 1, "name": "x", "ended": False, "chunks": []}).encode()]
    sink = folder / "sink"
    sink.mkdir()

    class Web(Quiet):
        def do_GET(self) -> None:
            self.answer(200, feeds[-1])

    def script(me: Script) -> Main:
        me.send("garbage")
        for at in range(0, len(stream), 70_000):
            me.send(stream[at : at + 70_000])
            yield 1
        yield until(lambda: len(me.of(TIPCChunkPublished)) == 3, "three chunks")
        me.send(producerFinished(), "signal")
        yield until(lambda: len(me.of(TIPCChunkPublished)) == 4, "what was left")
        yield until(lambda: feeds and json.loads(feeds[-1])["ended"], "the feed's end")
        yield until(lambda: program.poll() is not None, "the other side has it all", DEADLINE)
        yield from ended(me)

    def keep(me: Script) -> Main:
        while not done.signals:
            feeds.extend(me.of(bytes)[len(feeds) - 1 :])
            yield 1

    tracker = Tracker()
    with tracker.serve() as announce, serving(Web) as web:
        publisher = StreamPublisher(300_000, tracker=announce, tickInterval=0.1, settings=HERMETIC)
        listener = Script(keep)
        listener.link((publisher, "feed"), (listener, "inbox"))
        listener.activate()
        done = Script(script)
        done.link((done, "outbox"), (publisher, "inbox"))
        done.link((done, "signal"), (publisher, "control"))
        done.link((publisher, "outbox"), (done, "inbox"))
        done.link((publisher, "signal"), (done, "control"))
        text = SUBSCRIBER.format(url=web)
        program = subprocess.Popen([sys.executable, "-c", text], cwd=sink)
        try:
            run(publisher, done, deadline=2 * DEADLINE)
        finally:
            program.kill()
            program.wait(DEADLINE)
    if done.failure:
        raise done.failure
    assert (sink / "stream").read_bytes() == stream
    assert [len(Path(message.path).read_bytes()) for message in done.of(TIPCChunkPublished)] == [300_000] * 3 + [
        100_000
    ]
    assert len(done.of(TIPCTorrentError)) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        42,
        b"\xff",
        "[" * 100_000,
        "{}",
        '{"millstream": 1, "ended": false, "chunks": [{"number": 0, "length": 1, "torrent": ""}]}',
        '{"millstream": 1, "ended": false, "chunks": [{"number": 1, "length": 1, "torrent": "%"}]}',
        '{"millstream": 1, "ended": false, "chunks": [{"number": 1, "length": 1, "torrent": "AAAA"}]}',
    ],
    ids=["none", "number", "bytes", "deep", "empty", "zero", "base64", "torrent"],
)
def test_a_feed_that_is_none_is_told_of(garbage: Any) -> None:
    subscriber = StreamSubscriber(settings=HERMETIC)

    def script(me: Script) -> Main:
        me.send(garbage)
        yield until(lambda: me.of(TIPCTorrentError), "an error")
        yield from ended(me)

    wired(subscriber, script)


def wired(component: Any, script: Any) -> Script:
    """Plays a script that also gets what the component says at its status box."""
    me = Script(script)
    me.link((me, "outbox"), (component, "inbox"))
    me.link((me, "signal"), (component, "control"))
    me.link((component, "outbox"), (me, "inbox"))
    me.link((component, "status"), (me, "inbox"))
    me.link((component, "signal"), (me, "control"))
    run(component, me, deadline=2 * DEADLINE)
    if me.failure:
        raise me.failure
    return me


RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Radio</title><link>http://x/</link>
<item><title>One</title><guid>1</guid><link>http://x/one</link><pubDate>today</pubDate>
 <enclosure url="{url}" type="application/x-bittorrent" length="1"/></item>
<item><title>No torrent</title><guid>2</guid><link>http://x/two</link>
 <enclosure url="http://x/a.mp3" type="audio/mpeg"/></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Radio</title>
<entry><id>urn:1</id><title>One</title><updated>today</updated><link href="http://x/one"/>
 <link rel="enclosure" type="application/x-bittorrent" href="http://x/one.torrent"/></entry>
<entry><title>Two</title><link href="magnet:?xt=urn:btih:00"/></entry></feed>"""

LAUGHS = (
    """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><rss><item>&b;</item></rss>"""
)


def test_feeds_of_both_kinds_are_read() -> None:
    one, two = parse(RSS.format(url="http://x/one.torrent"))
    assert one == Item("One", "http://x/one", "today", "1", "http://x/one.torrent")
    assert (two.title, two.torrent) == ("No torrent", "")
    first, second = parse(ATOM.encode())
    assert first == Item("One", "http://x/one", "today", "urn:1", "http://x/one.torrent")
    assert (second.torrent, second.key) == ("magnet:?xt=urn:btih:00",) * 2


@pytest.mark.parametrize(
    "garbage",
    [None, 42, b"", "<html></html>", "<rss>", LAUGHS, "<rss>" + "<a>" * 200, b"\xff\xfe\x00"],
    ids=["none", "number", "empty", "html", "open", "laughs", "deep", "utf16"],
)
def test_what_is_no_feed_is_refused(garbage: Any) -> None:
    with pytest.raises(ValueError):
        parse(garbage)


def test_an_episode_is_ready_once_it_is_downloaded_and_only_once(folder: Path) -> None:
    data = random.Random(10).randbytes(200_000)
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "episode.ogg").write_bytes(data)
    looks: list[int] = []
    tracker = Tracker()

    class Web(Quiet):
        def do_GET(self) -> None:
            if self.path.endswith(".torrent"):
                self.answer(200, raw)
            else:
                looks.append(1)
                self.answer(200, RSS.format(url="/one.torrent").encode())

    with tracker.serve() as announce, serving(Web) as web:
        raw = create("episode.ogg", data, version="v1", piece_length=1 << 15, trackers=[[announce]])
        with sync.Session(**HERMETIC) as session:
            session.add(raw, folder=seeds).wait_complete(timeout=20)

            def script(me: Script) -> Main:
                me.send("garbage")
                yield until(lambda: me.of(TIPCEpisodeReady), "an episode", DEADLINE)
                seen = len(looks)
                yield until(lambda: len(looks) > seen + 2, "more looks")
                yield from ended(me, producerFinished())

            shows = folder / "shows"
            component = TorrentFeedSubscriber(f"{web}feed", interval=0.05, folder=shows, settings=HERMETIC)
            me = wired(component, script)
    (episode,) = me.of(TIPCEpisodeReady)
    assert (episode.title, episode.link, episode.published) == ("One", "http://x/one", "today")
    assert Path(episode.path) == shows / "episode.ogg" and Path(episode.path).read_bytes() == data
    assert str(episode) == f"Episode ready: One in {episode.path}"
    assert len(me.of(TIPCTorrentError)) == 1
