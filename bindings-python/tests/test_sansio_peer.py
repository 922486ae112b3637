"""`PeerConnection`: two of them talk, one is told garbage, and both say whose fault it was."""

from __future__ import annotations

import gc
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import millstream
from millstream import LocalProtocolError, RemoteProtocolError, sansio as s

HASH, OTHER = b"h" * 20, b"o" * 20
PIECES = 20


def pair(**options: Any) -> tuple[s.PeerConnection, s.PeerConnection]:
    """Two sides that greeted each other."""
    ours = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH, pieces=PIECES, **options)
    theirs = s.PeerConnection(client=False, peer_id=b"b" * 20, info_hash=[OTHER, HASH], pieces=PIECES, **options)
    assert len(theirs.receive_data(ours.handshake())) == 1
    assert len(ours.receive_data(theirs.handshake())) == 1
    return ours, theirs


RANGE = (b"r" * 32, 4, 512, 2, 3)
PLAIN: list[s.Outgoing] = [
    s.Bitfield.of(PIECES, [0, 7, 19]),
    s.KeepAlive(),
    s.Choke(),
    s.Unchoke(),
    s.Interested(),
    s.NotInterested(),
    s.Have(19),
    s.Request(1, 16384, 16384),
    s.Piece(1, 16384, b"block" * 100),
    s.CancelRequest(1, 16384, 16384),
    s.Port(6881),
    s.SuggestPiece(3),
    s.RejectRequest(1, 0, 16384),
    s.AllowedFast(4),
    s.HashRequest(*RANGE),
    s.Hashes(*RANGE, hashes=(b"1" * 32, b"2" * 32)),
    s.HashReject(*RANGE),
    s.Unknown(99, b"whatever"),
]
EXTENDED: list[s.Outgoing] = [
    s.MetadataRequest(2),
    s.MetadataData(2, 40000, b"d" * 7232),
    s.MetadataReject(2),
    s.Pex((s.PexPeer(("192.0.2.1", 6881), 2), s.PexPeer(("2001:db8::1", 1))), (("192.0.2.2", 5),)),
    s.Holepunch("rendezvous", ("192.0.2.1", 6881)),
    s.Holepunch("failed", ("192.0.2.1", 6881), 2),
    s.DontHave(19),
    s.UploadOnly(True),
]


def test_every_message_goes_there_and_back() -> None:
    ours, theirs = pair()
    assert theirs.receive_data(ours.send(*PLAIN)) == PLAIN
    for message in PLAIN[1:]:
        assert theirs.receive_data(ours.send(message)) == [message]


def test_bep_0010_extensions_go_by_the_numbers_of_the_receiver() -> None:
    ours, _ = pair()
    theirs = s.PeerConnection(client=False, peer_id=b"b" * 20, extensions={"ut_pex": 9, "ut_metadata": 8, "mine": 77})
    theirs.receive_data(s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH).handshake())
    with pytest.raises(LocalProtocolError, match="doesn't speak"):
        ours.send(s.Pex())
    theirs.handshake()
    (told,) = ours.receive_data(theirs.send(s.ExtensionHandshake(v="x", reqq=5, yourip="10.0.0.1")))
    names = {"mine": 77, "ut_metadata": 8, "ut_pex": 9}
    assert told == s.ExtensionHandshake(m=names, v="x", reqq=5, yourip="10.0.0.1")
    assert ours.peer_extensions == {"mine": 77, "ut_metadata": 8, "ut_pex": 9}
    wire = ours.send(s.Extended("mine", b"hello"))
    assert wire == b"\0\0\0\x07\x14\x4dhello"
    assert theirs.receive_data(wire) == [s.Extended("mine", b"hello")]
    assert ours.send(s.MetadataRequest(0))[4:6] == b"\x14\x08"


def test_pitfall_02_an_extension_handshake_amends_and_zero_turns_off() -> None:
    ours, theirs = pair()
    ours.receive_data(theirs.send(s.ExtensionHandshake()))
    assert "ut_pex" in ours.peer_extensions
    ours.receive_data(theirs.send(s.ExtensionHandshake(m={"ut_pex": 0})))
    assert "ut_pex" not in ours.peer_extensions and "ut_metadata" in ours.peer_extensions


def test_messages_of_extensions_go_there_and_back() -> None:
    ours, theirs = pair()
    full = s.ExtensionHandshake(
        m={"ut_pex": 3},
        v="v 1",
        p=1,
        reqq=2,
        yourip="::1",
        ipv4="1.2.3.4",
        ipv6="::2",
        metadata_size=5,
        upload_only=True,
        encrypts=False,
    )
    assert theirs.receive_data(ours.send(full)) == [full]
    ours.receive_data(theirs.send(s.ExtensionHandshake()))
    assert theirs.receive_data(ours.send(*EXTENDED)) == EXTENDED


MANY: list[s.Outgoing] = [
    message
    for n in range(PIECES)
    for message in (s.Have(n), s.Request(n, 0, 16384), s.CancelRequest(n, 0, 9), s.RejectRequest(n, 1, 2))
]
"""The messages that come by the thousand: they are read where they lie."""


def test_what_comes_by_the_thousand_is_the_same_however_it_is_cut() -> None:
    ours, theirs = pair()
    mixed = [*MANY, s.Piece(1, 0, b"block" * 9), *MANY, s.KeepAlive(), s.Unchoke(), *MANY[:3]]
    wire = ours.send(*mixed)
    assert theirs.receive_data(wire) == mixed
    for cut in range(1, 120):
        got = theirs.receive_data(wire[:cut])
        got += theirs.receive_data(wire[cut : cut * 3])
        got += theirs.receive_data(wire[cut * 3 :])
        assert got == mixed, cut
    assert [m for byte in wire for m in theirs.receive_data(bytes([byte]))] == mixed


@pytest.mark.parametrize(
    ("wrong", "options", "reason"),
    [
        (b"\0\0\0\5\4\0\0\0\24", {}, "misbehaved"),
        (b"\0\0\0\r\6" + bytes([0, 0, 0, 20]) + bytes(8), {}, "misbehaved"),
        (b"\0\0\0\r\6" + bytes(8) + b"\0\x02\0\x01", {}, "misbehaved"),
        (b"\0\0\0\r\x10" + bytes(12), {"fast": False}, "misbehaved"),
        (b"\0\0\0\r\6" + bytes(12), {"message_bytes_max": 11}, "malformed"),
    ],
)
def test_what_comes_by_the_thousand_is_judged_like_the_rest(wrong: bytes, options: Any, reason: str) -> None:
    ours, theirs = pair(**options)
    before: list[s.Outgoing] = [s.Have(1), s.Have(2)]
    with pytest.raises(RemoteProtocolError) as raised:
        theirs.receive_data(ours.send(*before) + wrong + ours.send(s.Have(3)))
    assert (raised.value.reason, list(raised.value.messages)) == (reason, before)


def test_values_that_are_let_go_leave_nothing_to_those_that_come() -> None:
    """Their memory is used again: by other values of the class, on this thread or another."""
    ours, theirs = pair()
    kept = theirs.receive_data(ours.send(*MANY))
    for _ in range(30):
        theirs.receive_data(ours.send(*reversed(MANY)))
    assert kept == MANY
    banned = [millstream.Banned(n, ("127.0.0.1", n), "x" * n) for n in range(3000)]
    again = [pickle.loads(pickle.dumps(one)) for one in banned]
    del banned
    assert [millstream.Banned(n, ("127.0.0.1", n), "x" * n) for n in range(3000)] == again

    def churn(number: int) -> bool:
        values = [s.Have(number * 1000 + n) for n in range(1500)]
        return [value.index for value in values] == [number * 1000 + n for n in range(1500)]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(churn, range(60)))
    assert not gc.is_tracked(kept[0])


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_of_the_bytes_gives_the_same_messages(seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = pair()
    receiver = s.PeerConnection(client=False, peer_id=b"c" * 20, pieces=PIECES)
    greeting = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH).handshake()
    ours.receive_data(theirs.send(s.ExtensionHandshake()))
    wire = greeting + ours.send(*PLAIN, *EXTENDED)
    got: list[s.Message] = []
    while wire:
        n = rng.choice([1, 2, 5, 13, 40, 300])
        if rng.random() < 0.5:
            got += receiver.receive_data(wire[:n])
        else:
            n = min(n, len(wire))
            receiver.get_buffer()[:n] = wire[:n]
            got += receiver.buffer_updated(n)
        wire = wire[n:]
    receiver.receive_eof()
    assert isinstance(got[0], s.Handshake) and got[0].info_hash == HASH
    assert got[1:] == PLAIN + EXTENDED


def test_values_match_compare_hash_and_pickle() -> None:
    for message in PLAIN + EXTENDED:
        again = pickle.loads(pickle.dumps(message))
        assert again == message and hash(again) == hash(message) and repr(again) == repr(message)
    match s.Request(1, 2, 3):
        case s.Request(index, begin, length):
            assert (index, begin, length) == (1, 2, 3)
    match s.Piece(1, 2, b"abc"):
        case s.Piece(1, begin, block):
            assert (begin, bytes(block)) == (2, b"abc")
        case _:
            raise AssertionError
    assert s.Have(1) != s.Have(2)
    assert s.Have(1) not in [s.AllowedFast(1), 1, None]
    with pytest.raises(AttributeError):
        s.Have(1).index = 2  # type: ignore[misc]


def test_a_block_is_lent_and_outlives_its_connection() -> None:
    ours, theirs = pair()
    (piece,) = theirs.receive_data(ours.send(s.Piece(0, 0, b"x" * 16384)))
    assert isinstance(piece, s.Piece)
    block = piece.block
    assert block.readonly and block.nbytes == 16384
    del ours, theirs, piece
    gc.collect()
    assert bytes(block) == b"x" * 16384


def test_a_block_that_drips_in_is_whole() -> None:
    ours, theirs = pair()
    block = random.Random(1).randbytes(16384)
    wire = ours.send(s.Piece(1, 0, block))
    got = [message for at in range(len(wire)) for message in theirs.receive_data(wire[at : at + 1])]
    assert got == [s.Piece(1, 0, block)]


def test_nothing_to_send_is_no_bytes() -> None:
    ours, _ = pair()
    assert ours.send() == b""


def test_who_serves_whom_is_told() -> None:
    ours, theirs = pair()
    theirs.receive_data(ours.send(s.Interested(), s.Unchoke()))
    assert (ours.am_choking, ours.am_interested) == (theirs.peer_choking, theirs.peer_interested) == (False, True)
    assert (theirs.am_choking, theirs.am_interested) == (ours.peer_choking, ours.peer_interested) == (True, False)


def test_the_handshake_names_the_torrent_that_was_asked_for() -> None:
    client = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=b"v" * 32, v2=True, dht=True)
    server = s.PeerConnection(client=False, peer_id=b"b" * 20)
    with pytest.raises(LocalProtocolError, match="none has come"):
        server.handshake()
    (greeting,) = server.receive_data(client.handshake())
    match greeting:
        case s.Handshake(_, info_hash, peer_id):
            assert (info_hash, peer_id) == (b"v" * 20, b"a" * 20)
    assert isinstance(greeting, s.Handshake)
    assert (greeting.extensions, greeting.fast, greeting.dht, greeting.v2) == (True, True, True, True)
    (answer,) = client.receive_data(server.handshake())
    assert isinstance(answer, s.Handshake) and answer.info_hash == b"v" * 20 and not answer.dht
    with pytest.raises(LocalProtocolError, match="already"):
        server.handshake()


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"GET / HTTP/1.1", "byte 0"),
        (b"\x13BitTorrent protocoL", "byte 19"),
        (b"\x13BitTorrent protocol" + bytes(8) + b"x" * 20, "another torrent"),
        (b"\x13BitTorrent protocol" + bytes(8) + HASH + b"b" * 20, "ourselves"),
    ],
)
def test_a_wrong_handshake_is_the_peer_s_fault(greeting: bytes, why: str) -> None:
    server = s.PeerConnection(client=False, peer_id=b"b" * 20, info_hash=HASH)
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        server.receive_data(greeting)
    assert caught.value.reason == "handshake"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\0\0\0\x05\x04\0\0\0\x14", "misbehaved"),  # HAVE 20 of 20
        (b"\0\0\0\x02\0x", "malformed"),  # CHOKE with a body
        (b"\0\0\0\x03\x05\0\0", "malformed"),  # a short bitfield
        (b"\0\0\0\x04\x05\0\0\x01", "malformed"),  # a spare bit
        (b"\0\0\0\x0d\x06" + bytes(8) + b"\0\x10\0\0", "misbehaved"),  # a request for 1 MiB
        (b"\0\x20\0\0\x07" + bytes(8), "malformed"),  # a block of 2 MiB
        (b"\xff\xff\xff\xff\x63", "malformed"),  # a message of 4 GiB
        (b"\0\0\0\x03\x14\0x", "malformed"),  # an extension handshake that is none
        (b"\0\0\0\x03\x14\x07x", "malformed"),  # DONT_HAVE of one byte
        (b"\0\0\0\x03\x14\x02x", "malformed"),  # ut_metadata that is none
    ],
)
def test_garbage_is_a_typed_error_for_ever_and_what_came_before_is_there(wire: bytes, reason: str) -> None:
    ours, theirs = pair()
    with pytest.raises(RemoteProtocolError) as caught:
        theirs.receive_data(ours.send(s.Unchoke(), s.Have(3)) + wire)
    assert (caught.value.reason, caught.value.messages) == (reason, [s.Unchoke(), s.Have(3)])
    assert not isinstance(caught.value, RuntimeError) and isinstance(caught.value, millstream.MillstreamError)
    with pytest.raises(RemoteProtocolError) as again:
        theirs.receive_data(ours.send(s.Have(4)))
    assert (again.value.reason, again.value.messages) == (reason, [])
    with pytest.raises(LocalProtocolError, match="failed"):
        theirs.send(s.Have(1))
    assert pickle.loads(pickle.dumps(caught.value)).reason == reason


def test_pitfall_06_fast_messages_must_be_agreed_upon() -> None:
    ours, theirs = pair(fast=False)
    assert not ours.fast
    for message in (s.HaveAll(), s.HaveNone(), s.SuggestPiece(1), s.RejectRequest(1, 0, 1), s.AllowedFast(1)):
        with pytest.raises(LocalProtocolError, match="BEP 6"):
            ours.send(message)
    with pytest.raises(RemoteProtocolError, match="not agreed"):
        theirs.receive_data(b"\0\0\0\x01\x0e")


def test_pitfall_17_what_we_have_is_told_first_and_once_but_extensions_may_precede() -> None:
    ours, _ = pair()
    ours.send(s.KeepAlive(), s.ExtensionHandshake())
    ours.send(s.Bitfield(bytes(3)))
    for late in (s.Bitfield(bytes(3)), s.HaveAll(), s.HaveNone()):
        with pytest.raises(LocalProtocolError, match="first"):
            ours.send(late)


@pytest.mark.parametrize(
    "message",
    [
        s.Have(PIECES),
        s.Request(PIECES, 0, 1),
        s.Request(0, 0, 0),
        s.Request(0, 0, 1 << 20),
        s.Piece(0, 0, b""),
        s.Piece(PIECES, 0, b"x"),
        s.Bitfield(b"x"),
        s.Bitfield(b"\0\0\x01"),
        s.Unknown(4, b""),
        s.Extended("nobody's", b""),
    ],
)
def test_what_may_not_be_sent_is_our_own_fault_and_nothing_is_sent(message: s.Outgoing) -> None:
    ours, _ = pair()
    with pytest.raises(LocalProtocolError):
        ours.send(s.Unchoke(), message)
    assert ours.am_choking
    with pytest.raises(LocalProtocolError):
        ours.send(message)


def test_the_handshake_goes_first() -> None:
    client = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH)
    with pytest.raises(LocalProtocolError, match="first"):
        client.send(s.Interested())


def test_the_end_within_a_message_is_the_peer_s_fault() -> None:
    for cut in (0, 30, 68 + 3, 68 + 7):
        server = s.PeerConnection(client=False, peer_id=b"b" * 20)
        client = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH)
        server.receive_data((client.handshake() + client.send(s.Have(1)))[:cut])
        with pytest.raises(RemoteProtocolError) as caught:
            server.receive_eof()
        assert caught.value.reason == "ended"
    ours, theirs = pair()
    assert (ours.client, theirs.client, ours.our_state, ours.their_state) == (True, False, "open", "open")
    theirs.receive_data(ours.send(s.Have(1)))
    theirs.receive_eof()
    theirs.receive_eof()
    assert (theirs.our_state, theirs.their_state) == ("open", "ended")
    assert theirs.send(s.Have(1))
    with pytest.raises(LocalProtocolError, match="after the end"):
        theirs.receive_data(b"x")


def test_pieces_may_be_known_late() -> None:
    theirs = s.PeerConnection(client=False, peer_id=b"b" * 20)
    client = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH)
    theirs.receive_data(client.handshake() + client.send(s.Bitfield(b"\xff"), s.Have(1_000_000)))
    theirs.set_pieces(8)
    with pytest.raises(RemoteProtocolError, match="does not exist"):
        theirs.receive_data(client.send(s.Have(8)))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"client": True}, ValueError),
        ({"client": False, "info_hash": b"x"}, ValueError),
        ({"client": False, "info_hash": 5}, TypeError),
        ({"client": False, "peer_id": b"x"}, ValueError),
        ({"client": False, "extensions": {"a": 0}}, ValueError),
        ({"client": False, "extensions": {"a": 1, "b": 1}}, ValueError),
        ({"client": False, "extensions": 5}, TypeError),
        ({"client": False, "extensions": {"a": 300}}, (OverflowError, ValueError)),
    ],
)
def test_what_a_connection_can_t_be_made_of_is_refused(options: Any, error: Any) -> None:
    with pytest.raises(error):
        s.PeerConnection(**{"peer_id": b"p" * 20, **options})


@pytest.mark.parametrize("junk", [None, 5, b"bytes", object(), s.Handshake(bytes(8), HASH, HASH)])
def test_what_is_no_message_is_a_type_error(junk: Any) -> None:
    ours, _ = pair()
    with pytest.raises(TypeError):
        ours.send(junk)
    with pytest.raises((TypeError, ValueError)):
        ours.buffer_updated(10)


def test_a_connection_shows_what_it_is() -> None:
    ours, theirs = pair()
    assert "no handshake" in repr(s.PeerConnection(client=False, peer_id=b"b" * 20))
    assert HASH.hex() in repr(ours) and "client" in repr(ours) and "server" in repr(theirs)
    with pytest.raises(RemoteProtocolError):
        theirs.receive_data(b"\0\0\0\x02\0x")
    assert "failed" in repr(theirs)
    ours.receive_eof()
    assert "ended" in repr(ours)


def test_threads_that_share_a_connection_lose_nothing() -> None:
    ours, theirs = pair()
    batch = ours.send(*(s.Have(n % PIECES) for n in range(100)))
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(theirs.receive_data, [batch] * 200))
    assert sum(len(messages) for messages in got) == 20_000


def test_random_bytes_raise_nothing_but_the_peer_s_fault() -> None:
    rng = random.Random(5)
    faults = 0
    for _ in range(500):
        _, theirs = pair()
        wire = bytearray()
        for _ in range(rng.randrange(1, 8)):
            kind = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 20, 20, 20, 21, 22, 23, 99])
            body = rng.randbytes(rng.choice([0, 1, 2, 4, 12, 30, 48, 80]))
            wire += (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body
        try:
            while wire:
                n = rng.randrange(1, 60)
                for message in theirs.receive_data(bytes(wire[:n])):
                    pickle.loads(pickle.dumps(message))
                    repr(message)
                del wire[:n]
        except RemoteProtocolError:
            faults += 1
    assert 100 < faults < 500
