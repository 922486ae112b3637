"""Bencode there and back: what BEP 3 says, what strangers send, and what Python has that it has not."""

from __future__ import annotations

import doctest
import pickle
import random
from typing import Any

import pytest

import millstream
from millstream.sansio import bencode


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (b"spam", b"4:spam"),
        (3, b"i3e"),
        (-3, b"i-3e"),
        (0, b"i0e"),
        ([b"spam", b"eggs"], b"l4:spam4:eggse"),
        ({b"cow": b"moo", b"spam": b"eggs"}, b"d3:cow3:moo4:spam4:eggse"),
        ({b"spam": [b"a", b"b"]}, b"d4:spaml1:a1:bee"),
        (b"", b"0:"),
        ([], b"le"),
        ({}, b"de"),
        (1 << 200, b"i%de" % (1 << 200)),
        (-(1 << 64), b"i%de" % -(1 << 64)),
    ],
)
def test_bep_0003_the_examples_go_there_and_back(value: Any, wire: bytes) -> None:
    assert bencode.encode(value) == wire
    assert bencode.decode(wire) == value
    assert bencode.decode(memoryview(wire)) == value


@pytest.mark.parametrize(
    ("wire", "offset"),
    [
        (b"", 0),
        (b"i-0e", 0),
        (b"i03e", 0),
        (b"ie", 0),
        (b"i1", 2),
        (b"x", 0),
        (b"5:spam", 0),
        (b"05:spams", 0),
        (b"l", 1),
        (b"d1:ae", 4),
        (b"di1e1:ae", 1),
        (b"d1:ai1e1:ai2ee", 7),
        (b"1:ab", 3),
        (b"l" * 100 + b"e" * 100, 64),
    ],
)
def test_what_is_no_bencode_says_where_it_went_wrong(wire: bytes, offset: int) -> None:
    with pytest.raises(bencode.BencodeError) as caught:
        bencode.decode(wire)
    assert caught.value.offset == offset
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, millstream.MillstreamError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.offset) == (str(caught.value), offset)


def test_pitfall_01_unsorted_keys_are_taken_only_where_that_is_asked_for() -> None:
    unsorted = b"d1:bi1e1:ai2ee"
    assert list(bencode.decode(unsorted, strict=False)) == [b"b", b"a"]
    with pytest.raises(bencode.BencodeError, match="sorted") as caught:
        bencode.decode(unsorted)
    assert caught.value.offset == 7
    with pytest.raises(bencode.BencodeError, match="twice"):
        bencode.decode(b"d1:bi1e1:ai2e1:bi3ee", strict=False)


def test_depth_and_count_are_bounded() -> None:
    deep = b"l" * 10 + b"e" * 10
    assert bencode.decode(deep, depth_max=10)
    with pytest.raises(bencode.BencodeError, match="deep"):
        bencode.decode(deep, depth_max=9)
    with pytest.raises(bencode.BencodeError, match="deep"):
        bencode.decode(b"l" * 1_000_000, depth_max=4_000_000_000)
    with pytest.raises(bencode.BencodeError, match="many"):
        bencode.decode(b"l" + b"i1e" * 10 + b"e", items_max=10)
    with pytest.raises(bencode.BencodeError, match="digits"):
        bencode.decode(b"i" + b"9" * 5000 + b"e")
    with pytest.raises(bencode.BencodeError, match="digits"):
        bencode.encode(10**5000)


def test_what_holds_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(bencode.BencodeError, match="deep"):
        bencode.encode(loop)


def test_text_goes_in_as_utf_8_and_keys_are_written_in_order() -> None:
    value = {"b": "µ", "a": (True, bytearray(b"x"), memoryview(b"y"))}
    assert bencode.encode(value) == b"d1:ali1e1:x1:ye1:b2:\xc2\xb5e"
    with pytest.raises(bencode.BencodeError, match="twice"):
        bencode.encode({"a": 1, b"a": 2})
    with pytest.raises(bencode.BencodeError, match="Unicode"):
        bencode.encode("\ud800")


@pytest.mark.parametrize("value", [None, 1.5, object(), {1: 2}, [None], {"a": {1, 2}}])
def test_what_has_no_bencoding_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        bencode.encode(value)


@pytest.mark.parametrize("value", [None, 5, "text", [b"x"]])
def test_what_has_no_bytes_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        bencode.decode(value)


def test_what_the_page_shows_is_so() -> None:
    assert doctest.testmod(bencode).failed == 0


def random_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(2 if depth > 4 else 4)
    if kind == 0:
        return rng.randint(-1, 1) * rng.getrandbits(rng.choice([3, 31, 64, 300]))
    if kind == 1:
        return rng.randbytes(rng.randrange(12))
    if kind == 2:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {rng.randbytes(rng.randrange(4)): random_value(rng, depth + 1) for _ in range(rng.randrange(5))}


@pytest.mark.parametrize("seed", range(200))
def test_any_value_comes_back_as_it_was(seed: int) -> None:
    value = random_value(random.Random(seed))
    wire = bencode.encode(value)
    assert bencode.decode(wire) == value
    assert bencode.encode(bencode.decode(wire)) == wire


def test_damaged_bencode_is_refused_or_canonical() -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(3000):
        wire = bytearray(bencode.encode(random_value(rng)))
        for _ in range(rng.randrange(1, 4)):
            wire[rng.randrange(len(wire))] = rng.choice(b"0123456789ilde:-x")
        try:
            value = bencode.decode(wire)
        except bencode.BencodeError:
            refused += 1
        else:
            assert bencode.encode(value) == bytes(wire)
    assert refused > 300
