"""Components that change what comes into what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from millstream import Magnet, Metainfo
from millstream.errors import BencodeError, MagnetError, MetainfoError
from millstream.kamaelia._axon import Component, producerFinished, shutdownMicroprocess
from millstream.kamaelia.Transformers import BDecoder, BEncoder, MagnetParser, MetainfoParser, Unusable
from millstream.sansio import KeyLink

from .stage import Script, play, torrent_of, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

HASH = "c9e15763f722f23e98a29decdfae341b98d53056"
KEY = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"


def changed(component: Component, messages: list[Any], count: int | None = None) -> list[Any]:
    """What becomes of these messages."""

    def script(me: Script) -> Main:
        for message in messages:
            me.send(message)
        me.send("no signal", "signal")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    (me,) = play((component, script))
    assert len(me.got) == len(messages) and len(me.signals) == 1
    return me.got


def test_bencode_goes_both_ways() -> None:
    values = [0, -3, b"spam", [1, [b"x"]], {b"a": 1, b"b": {b"c": []}}]
    wire = changed(BEncoder(), [*values, "text", {"b": 1, "a": (2,)}])
    assert wire[5:] == [b"4:text", b"d1:ali2ee1:bi1ee"]
    assert changed(BDecoder(), wire[:5]) == values


def test_keys_out_of_order_are_refused_unless_told() -> None:
    data = b"d1:bi1e1:ai2ee"
    (refused,) = changed(BDecoder(), [data])
    assert isinstance(refused, Unusable) and isinstance(refused.error, BencodeError)
    assert changed(BDecoder(strict=False), [data]) == [{b"a": 2, b"b": 1}]


def test_torrent_files_become_what_they_say() -> None:
    torrent = torrent_of("song.ogg")
    forms = [torrent, bytearray(torrent), memoryview(torrent), torrent.decode("latin-1")]
    for metainfo in changed(MetainfoParser(), forms):
        assert isinstance(metainfo, Metainfo) and metainfo.name == "song.ogg"


def test_magnet_links_become_what_they_say() -> None:
    link = f"magnet:?xt=urn:btih:{HASH}&dn=name"
    text, raw, key = changed(MagnetParser(), [link, link.encode(), f"magnet:?xs=urn:btpk:{KEY}"])
    assert isinstance(text, Magnet) and isinstance(raw, Magnet) and isinstance(key, KeyLink)
    assert (text.name, text.info_hash_v1) == ("name", bytes.fromhex(HASH))


GARBAGE: list[Any] = [None, 1.5, object(), float, {1: 2}, [None], b"\xff" * 100, "\u1234", b"", "", b"d" * 100_000]


@pytest.mark.parametrize(
    ("make", "error"),
    [(BEncoder, BencodeError), (BDecoder, BencodeError), (MetainfoParser, MetainfoError), (MagnetParser, MagnetError)],
)
def test_garbage_becomes_unusable_in_its_turn(make: type[Component], error: type[ValueError]) -> None:
    good: dict[Any, Any] = {
        BEncoder: 5,
        BDecoder: b"i5e",
        MetainfoParser: torrent_of("x"),
        MagnetParser: f"magnet:?xt=urn:btih:{HASH}",
    }
    garbage = GARBAGE if make is not BEncoder else GARBAGE[:6]
    got = changed(make(), [*garbage, good[make]])
    assert not isinstance(got[-1], Unusable)
    for message, answer in zip(garbage, got[:-1], strict=True):
        assert isinstance(answer, Unusable) and answer.message is message
        assert isinstance(answer.error, error | TypeError | UnicodeError)


def test_a_long_list_goes_through_whole() -> None:
    assert changed(BDecoder(), [b"i%de" % n for n in range(3000)]) == list(range(3000))


def test_one_that_is_told_to_end_at_once_does() -> None:
    def script(me: Script) -> Main:
        me.send(shutdownMicroprocess(), "signal")
        yield until(lambda: me.signals, "its end")

    play((BDecoder(), script))
