"""`PeerConnection` under encryption (MSE): each role at each level, however the bytes come, and what others may not
do."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
from mse_by_hand import PLAINTEXT, RC4, Keys, P, public, terms

from millstream import LocalProtocolError, RemoteProtocolError, sansio as s

HASH, OTHER = b"h" * 20, b"o" * 20
Level = Literal["plaintext", "rc4"]
PRIVATE = 0x1234_5678_9ABC_DEF0_1122_3344_5566_7788_99AA_BBCC


def caller(**options: Any) -> s.PeerConnection:
    given: dict[str, Any] = {"client": True, "peer_id": b"a" * 20, "info_hash": HASH, "seed": 1, "encryption": "prefer"}
    return s.PeerConnection(**given | options)


def called(**options: Any) -> s.PeerConnection:
    given: dict[str, Any] = {"info_hash": [OTHER, HASH], "seed": 2, "encryption": "prefer"}
    return s.PeerConnection(client=False, peer_id=b"b" * 20, **given | options)


class Wire:
    """Two connections and what is under way between them."""

    def __init__(self, ours: s.PeerConnection, theirs: s.PeerConnection, part: int = 1 << 20) -> None:
        self.ours, self.theirs, self.part = ours, theirs, part
        self.to_ours, self.to_theirs = b"", ours.handshake()
        self.seen = self.to_theirs
        self.told: dict[s.PeerConnection, list[s.Message]] = {ours: [], theirs: []}

    def run(self) -> Wire:
        """Until nothing is under way. Who is called answers the handshake."""
        while self.to_ours or self.to_theirs:
            data, self.to_theirs = self.to_theirs[: self.part], self.to_theirs[self.part :]
            if data:
                self.to_ours += self._hand(self.theirs, data)
            data, self.to_ours = self.to_ours[: self.part], self.to_ours[self.part :]
            if data:
                said = self._hand(self.ours, data)
                self.seen += said
                self.to_theirs += said
        return self

    def _hand(self, to: s.PeerConnection, data: bytes) -> bytes:
        said = b""
        for message in to.receive_data(data):
            self.told[to].append(message)
            if isinstance(message, s.Handshake) and to is self.theirs:
                said += to.handshake()
        return said + to.data_to_send()


@pytest.mark.parametrize(
    ("offered", "accepted", "level"),
    [
        (["plaintext", "rc4"], ["plaintext", "rc4"], "plaintext"),
        (["plaintext", "rc4"], ["rc4"], "rc4"),
        (["rc4"], ["plaintext", "rc4"], "rc4"),
        (["plaintext"], ["plaintext", "rc4"], "plaintext"),
    ],
)
@pytest.mark.parametrize("part", [1, 37, 1 << 20])
def test_each_level_carries_both_ways_however_the_bytes_come(
    offered: list[Level], accepted: list[Level], level: Level, part: int
) -> None:
    wire = Wire(caller(encryption_levels=offered), called(encryption_levels=accepted), part).run()
    ours, theirs = wire.ours, wire.theirs
    assert (ours.encryption_level, theirs.encryption_level) == (level, level)
    (hello,), (answer,) = wire.told[theirs], wire.told[ours]
    assert isinstance(hello, s.Handshake) and (hello.info_hash, hello.peer_id) == (HASH, b"a" * 20)
    assert isinstance(answer, s.Handshake) and answer.peer_id == b"b" * 20
    assert b"BitTorrent protocol" not in wire.seen and HASH not in wire.seen
    block = s.Piece(0, 0, random.Random(1).randbytes(16384))
    for _ in range(3):
        for sender, receiver in ((ours, theirs), (theirs, ours)):
            batch: list[s.Outgoing] = [s.Unchoke(), s.Request(1, 0, 16384), block]
            sent = sender.send(*batch[:2]) + sender.send(block)
            assert (bytes(block.block) in sent) == (level == "plaintext")
            got = [m for at in range(0, len(sent), 1000) for m in receiver.receive_data(sent[at : at + 1000])]
            assert got == batch
    ours.receive_eof()
    theirs.receive_eof()
    assert ours.encryption_level == level


@pytest.mark.parametrize("ends", ["prefer", "require"])
def test_what_waits_is_written_before_a_message_whoever_asks(ends: Literal["prefer", "require"]) -> None:
    ours, theirs = caller(encryption=ends), called(encryption=ends)
    assert theirs.receive_data(ours.handshake()) == []
    assert ours.receive_data(theirs.data_to_send()) == []
    # the terms, and the handshake hidden with them
    (_,) = theirs.receive_data(ours.data_to_send())
    # what agrees to them goes along with the handshake, and with the first message too
    (hello, have) = ours.receive_data(theirs.handshake() + theirs.send(s.Have(1)))
    assert isinstance(hello, s.Handshake) and have == s.Have(1)
    assert ours.data_to_send() == theirs.data_to_send() == b""
    assert theirs.receive_data(ours.send(s.Interested())) == [s.Interested()]
    assert ours.encryption_level == ("plaintext" if ends == "prefer" else "rc4")


def test_plain_calls_are_taken_where_encryption_is_preferred_and_not_where_it_is_required() -> None:
    plain = caller(encryption="off")
    wire = Wire(plain, called()).run()
    assert len(wire.told[plain]) == 1 and plain.encryption_level is None and wire.theirs.encryption_level is None
    with pytest.raises(RemoteProtocolError, match="plain") as caught:
        called(encryption="require").receive_data(caller(encryption="off").handshake())
    assert caught.value.reason == "encryption"


def test_an_encrypted_call_is_no_bittorrent_where_encryption_is_off() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        called(encryption="off").receive_data(caller().handshake())
    assert caught.value.reason == "handshake"


def test_who_leaves_before_it_agrees_may_be_called_plain() -> None:
    ours = caller()
    ours.handshake()
    with pytest.raises(RemoteProtocolError, match="agreed") as caught:
        ours.receive_eof()
    assert caught.value.reason == "encryption"
    with pytest.raises(LocalProtocolError, match="failed"):
        ours.send(s.Interested())


def test_nothing_is_said_before_encryption_is_agreed_upon() -> None:
    ours, theirs = caller(), called()
    early = caller()
    with pytest.raises(RemoteProtocolError, match="before it was called"):
        early.receive_data(b"x")
    assert (early.our_state, ours.our_state) == ("error", "greeting")
    assert ours.receive_data(b"") == [] and ours.data_to_send() == b""
    theirs.receive_data(ours.handshake())
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="wait"):
            ours.send(s.Interested())
        assert (ours.our_state, ours.their_state) == ("encrypting", "greeting")
        ours.receive_data(theirs.data_to_send())
    with pytest.raises(LocalProtocolError, match="already"):
        ours.handshake()
    with pytest.raises(LocalProtocolError, match="none has come"):
        theirs.handshake()


def test_levels_that_have_nothing_in_common_are_the_other_sides_fault() -> None:
    ours, theirs = caller(encryption_levels=["plaintext"]), called(encryption="require")
    theirs.receive_data(ours.handshake())
    ours.receive_data(theirs.data_to_send())
    with pytest.raises(RemoteProtocolError, match="no level") as caught:
        theirs.receive_data(ours.data_to_send())
    assert caught.value.reason == "encryption"


def test_a_call_for_a_torrent_that_isnt_there_is_refused_without_its_name_being_told() -> None:
    ours, theirs = caller(), called(info_hash=[OTHER])
    theirs.receive_data(ours.handshake())
    ours.receive_data(theirs.data_to_send())
    with pytest.raises(RemoteProtocolError, match="isn't ours") as caught:
        theirs.receive_data(ours.data_to_send())
    assert caught.value.reason == "handshake" and theirs.data_to_send() == b""


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"encryption": "on"}, ValueError, "off, prefer or require"),
        ({"encryption": "prefer", "seed": None}, ValueError, "seed"),
        ({"encryption": "prefer", "seed": b"short"}, ValueError, "32"),
        ({"encryption": "prefer", "encryption_levels": []}, ValueError, "one at least"),
        ({"encryption": "prefer", "encryption_levels": ["aes"]}, ValueError, "aes"),
        ({"encryption": "prefer", "encryption_levels": 5}, TypeError, "iter"),
        ({"encryption": "require", "info_hash": None, "client": False}, ValueError, "info_hash"),
    ],
)
def test_encryption_that_cant_be_is_refused(options: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        caller(**options)


# ---- by hand: who calls may take any step wrongly


def hello(info_hash: bytes = HASH) -> bytes:
    return b"\x13BitTorrent protocol" + bytes(8) + info_hash + b"c" * 20


def call_by_hand(theirs: s.PeerConnection, *, pad: int = 0, skey: bytes = HASH) -> Keys:
    """Both keys are there."""
    assert theirs.receive_data(public(PRIVATE) + bytes(pad)) == []
    answer = theirs.data_to_send()
    assert 96 <= len(answer) <= 96 + 512
    return Keys(PRIVATE, answer, skey)


@pytest.mark.parametrize("pads", [(0, 0), (1, 511), (512, 512)])
@pytest.mark.parametrize(("level", "name"), [(PLAINTEXT, "plaintext"), (RC4, "rc4")])
def test_who_calls_by_the_definition_is_understood_with_any_padding(
    pads: tuple[int, int], level: int, name: Level
) -> None:
    theirs = called()
    keys = call_by_hand(theirs, pad=pads[0])
    first = hello() + b"\0\0\0\1\2"
    hidden = terms(level, pad=pads[1]) + len(first).to_bytes(2, "big") + first
    got = theirs.receive_data(keys.mark + keys.veiled + keys.from_a(hidden))
    assert got[1:] == [s.Interested()] and theirs.encryption_level == name
    said = theirs.handshake()
    head = keys.from_b(said[:14])
    assert head[:12] == bytes(8) + level.to_bytes(4, "big")
    pad = int.from_bytes(head[12:], "big")
    assert pad <= 512
    rest = keys.from_b(said[14 : 14 + pad])
    rest = said[14 + pad :] if level == PLAINTEXT else keys.from_b(said[14 + pad :])
    assert len(rest) == 68 and rest[:20] == b"\x13BitTorrent protocol" and rest[48:] == b"b" * 20


def test_pitfall_07_no_more_than_the_longest_padding_is_taken_at_any_place() -> None:
    # behind the key: the mark must come within 512 bytes
    theirs = called()
    keys = call_by_hand(theirs, pad=300)
    theirs.receive_data(bytes(212))
    with pytest.raises(RemoteProtocolError, match="no end of the padding") as caught:
        theirs.receive_data(b"\0" + keys.mark + keys.veiled)
    assert caught.value.reason == "encryption"
    # behind the terms
    theirs = called()
    keys = call_by_hand(theirs)
    with pytest.raises(RemoteProtocolError, match="padding of 513"):
        theirs.receive_data(keys.mark + keys.veiled + keys.from_a(terms(RC4, said_pad=513)))


@pytest.mark.parametrize(
    ("hidden", "reason"),
    [
        (terms(RC4, constant=b"\0\0\0\0\0\0\0\1"), "encryption"),
        (terms(0), "encryption"),
        (terms(4), "encryption"),
        (terms(RC4) + b"\0\x10" + b"GET / HTTP/1.1\r\n", "handshake"),
        (terms(RC4) + b"\0\x44" + hello(OTHER), "handshake"),
        (terms(RC4) + b"\0\x44" + hello()[:-20] + b"b" * 20, "handshake"),
        (terms(RC4) + b"\0\x49" + hello() + b"\xff\xff\xff\xff\x63", "malformed"),
    ],
)
@pytest.mark.parametrize("part", [1, 1000])
def test_lies_under_encryption_are_a_typed_error_for_ever(hidden: bytes, reason: str, part: int) -> None:
    theirs = called()
    keys = call_by_hand(theirs)
    wire = keys.mark + keys.veiled + keys.from_a(hidden)
    with pytest.raises(RemoteProtocolError) as caught:
        for at in range(0, len(wire), part):
            theirs.receive_data(wire[at : at + part])
    assert caught.value.reason == reason
    with pytest.raises(RemoteProtocolError) as again:
        theirs.receive_data(b"more")
    assert again.value.reason == reason and again.value.messages == []
    assert theirs.data_to_send() == b""


@pytest.mark.parametrize("key", [0, 1, P - 1, P, 2**768 - 1])
def test_a_key_that_leaves_the_secret_open_is_refused_by_both(key: int) -> None:
    weak = key.to_bytes(96, "big")
    ours = caller()
    ours.handshake()
    for side in (called(), ours):
        with pytest.raises(RemoteProtocolError, match="public key") as caught:
            side.receive_data(weak)
        assert caught.value.reason == "encryption"


@pytest.mark.parametrize(
    "answer",
    [terms(0), terms(3), terms(4), terms(PLAINTEXT), terms(RC4, said_pad=513), bytes(600)],
    ids=["none", "both", "unknown", "not offered", "padding", "no mark"],
)
def test_who_answers_with_what_was_not_offered_is_refused(answer: bytes) -> None:
    ours = caller(encryption="require")
    ours.handshake()
    keys_of = public(PRIVATE)
    # the caller's key is the first thing it said; made again from the same seed
    first = caller(encryption="require").handshake()
    keys = Keys(PRIVATE, first, HASH)
    ours.receive_data(keys_of)
    assert ours.data_to_send()[:20] == keys.mark
    with pytest.raises(RemoteProtocolError) as caught:
        ours.receive_data(answer if len(answer) == 600 else keys.from_b(answer))
    assert caught.value.reason == "encryption"


def test_a_call_cut_at_any_byte_waits_and_its_end_there_is_the_peers_fault() -> None:
    ours, theirs = caller(), called()
    first = ours.handshake()
    theirs.receive_data(first)
    ours.receive_data(theirs.data_to_send())
    second = ours.data_to_send()
    whole = first + second
    # each cut with a responder of its own, from the same seed, so that the same keys fit
    for cut in {*range(0, len(first), 7), *range(len(first), len(whole), 3), len(whole) - 1}:
        side = called()
        assert side.receive_data(whole[:cut]) == []
        with pytest.raises(RemoteProtocolError) as caught:
            side.receive_eof()
        assert caught.value.reason == "ended"
    side = called()
    assert len(side.receive_data(whole)) == 1


def test_random_bytes_under_any_setting_raise_nothing_but_the_peers_fault() -> None:
    rng, faults = random.Random(9), 0
    for n in range(150):
        side = (called, caller)[n % 2](encryption=("prefer", "require")[n // 2 % 2], seed=n)
        if n % 2:
            side.handshake()
        held = 0
        try:
            for _ in range(rng.randrange(1, 12)):
                side.receive_data(rng.randbytes(rng.choice([1, 19, 20, 68, 96, 300, 5000])))
                held = len(side.data_to_send())
                assert held <= 2048
        except RemoteProtocolError as error:
            assert error.reason in ("encryption", "handshake")
            faults += 1
    assert faults > 80


def test_a_bit_turned_anywhere_in_the_handshakes_never_raises_anything_else() -> None:
    rng = random.Random(3)
    for _ in range(120):
        ours, theirs = caller(seed=rng.getrandbits(64)), called(seed=rng.getrandbits(64))
        at, place = rng.randrange(4), rng.random()
        wires = [ours.handshake()]
        try:
            for step in range(4):
                data = bytearray(wires[-1])
                if step == at and data:
                    data[int(place * len(data))] ^= 1 << rng.randrange(8)
                receiver = theirs if step % 2 == 0 else ours
                came = receiver.receive_data(data)
                said = receiver.handshake() if came and receiver is theirs else receiver.data_to_send()
                wires.append(said)
        except RemoteProtocolError as error:
            assert error.reason in ("encryption", "handshake", "malformed", "misbehaved")
