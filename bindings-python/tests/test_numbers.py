"""Numbers that don't fit: wherever Python gives one to the native half, a number out of its range is an `OptionError`
that names what it was given for. The stub says where numbers are given, so that none can be forgotten."""

from __future__ import annotations

import ast
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import millstream
from millstream import _millstream, _values, create, sansio
from millstream._create import CreateOptions
from millstream._dht import DhtSettings
from millstream._pool import PoolSettings
from millstream._tracker import TrackerServerSettings, TrackerSettings
from millstream.errors import OptionError

STUB = Path(millstream.__file__).with_name("_millstream.pyi")
HASH = bytes(range(20))
TORRENT = create("x", b"x", version="v1")
SAVED = sansio.Tracker(1).save(0, 1)
KEY_LINK = "magnet:?xs=urn:btpk:" + "ab" * 32
NOWHERE = ("127.0.0.1", 1)

WIDE: list[int] = [2**70, -(2**70), 10**5000]
"""Beyond what any number here may be."""

PRIVATE = {"Body", "Tunnel", "Ways"}
"""Doors that our own drivers alone go through."""

NO_NUMBERS = {("PeerConnection", "get_buffer", "sizehint")}
"""Numbers that aren't looked at."""


def native_session() -> Any:
    return _millstream.NativeSession()


MAKE: dict[str, Callable[[], Any]] = {
    "PeerConnection": lambda: sansio.PeerConnection(client=True, peer_id=bytes(20), info_hash=HASH),
    "DhtNode": lambda: sansio.DhtNode(1),
    "Tracker": lambda: sansio.Tracker(1),
    "ConnectionPool": lambda: sansio.ConnectionPool(),
    "Engine": lambda: sansio.Engine(1),
    "Plan": lambda: sansio.Plan("x", [(["x"], 1)]),
    "NativeSession": native_session,
}

TYPES: dict[str, type] = {
    "AddOptions": _values.AddOptions,
    "CreateOptions": CreateOptions,
    "DhtSettings": DhtSettings,
    "PlanOptions": _values.PlanOptions,
    "PoolSettings": PoolSettings,
    "SessionSettings": _values.SessionSettings,
    "Settings": _values.Settings,
    "TrackerServerSettings": TrackerServerSettings,
    "TrackerSettings": TrackerSettings,
}

GOOD: dict[str, Any] = {
    "BytesLike": HASH,
    "BytesLike | int": 1,
    "BytesLike | str": "magnet:?xt=urn:btih:" + HASH.hex(),
    "Address": NOWHERE,
    "Address | str": NOWHERE,
    "Iterable[Address]": [NOWHERE],
    "Iterable[Address | str]": [NOWHERE],
    "list[Address]": [NOWHERE],
    "bool": True,
    "int": 1,
    "int | None": 1,
    "float": 0.0,
    "list[str]": [],
    "Sequence[Sequence[str]]": [],
    "list[int] | None": [1],
    "dict[int, FilePriority]": {1: "high"},
    "tuple[int, int]": (0, 1),
    "Digests": _values.Digests(HASH, ()),
    "Outcome": _values.Written(),
    "DhtItem": sansio.DhtItem(b"1:x"),
    "str": "x",
    "str | None": None,
    "Metainfo": millstream.Metainfo.parse(TORRENT),
    "Callable[[int, int], object] | None": None,
    "Sequence[tuple[Sequence[str], int]]": [(["x"], 1)],
    "bytes | None": None,
    "State": "seeding",
}
"""An argument of each type that is as it should be."""


@dataclass(frozen=True)
class Place:
    """Where a number is given."""

    owner: str
    method: str
    argument: str
    annotation: str
    others: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.owner}.{self.method}({self.argument})" if self.owner else f"{self.method}({self.argument})"

    def give(self, number: Any) -> object:
        """Gives it there."""
        arguments = {name: GOOD[annotation] for name, annotation in self.others}
        match self.annotation:
            case "tuple[int, int]":
                number = (number, 1)
            case "list[int] | None":
                number = [number]
            case "dict[int, FilePriority]":
                number = {number: "high"}
            case "Address" | "Address | str":
                number = ("127.0.0.1", number)
            case "Iterable[Address]" | "Iterable[Address | str]":
                number = [("127.0.0.1", number)]
            case "Sequence[tuple[Sequence[str], int]]":
                number = [(["x"], number)]
            case "Mapping[str, int] | None":
                number = {"x": number}
            case _:
                pass
        owner: Any = _millstream
        if self.method == "__new__":
            return getattr(owner, self.owner)(**arguments, **{self.argument: number})
        target = MAKE[self.owner]() if self.owner else owner
        return getattr(target, self.method)(**arguments, **{self.argument: number})


NUMBERS = {
    "int",
    "int | None",
    "tuple[int, int]",
    "list[int] | None",
    "dict[int, FilePriority]",
    "Address",
    "Address | str",
    "Iterable[Address]",
    "Iterable[Address | str]",
    "Sequence[tuple[Sequence[str], int]]",
    "Mapping[str, int] | None",
}


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield "", node
        elif isinstance(node, ast.ClassDef) and node.name not in PRIVATE:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield node.name, inner


def places(wanted: set[str]) -> Iterator[Place]:
    """Every argument of such a type in the stub, and every setting."""
    for owner, function in functions(ast.parse(STUB.read_text())):
        arguments = [a for a in function.args.args if a.arg not in ("self", "cls")]
        optional = {a.arg for a in arguments[len(arguments) - len(function.args.defaults) :]} - {"self"}
        optional |= {
            a.arg for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d is not None
        }
        arguments += function.args.kwonlyargs
        typed = [(a.arg, ast.unparse(a.annotation)) for a in arguments if a.annotation is not None]
        needed = [(name, annotation) for name, annotation in typed if name not in optional]
        for name, annotation in typed:
            if annotation in wanted and (owner, function.name, name) not in NO_NUMBERS:
                others = tuple((n, a) for n, a in needed if n != name)
                yield Place(owner, function.name, name, annotation, others)
        if function.args.kwarg is not None and function.args.kwarg.annotation is not None:
            settings = ast.unparse(function.args.kwarg.annotation).removeprefix("Unpack[").removesuffix("]")
            for name, hint in get_type_hints(TYPES[settings]).items():
                annotation = hint.__name__ if isinstance(hint, type) else str(hint)
                if annotation in wanted:
                    yield Place(owner, function.name, name, annotation, tuple(needed))


def prepared(place: Place) -> Place:
    """Words that one place alone needs."""
    words = {
        ("create_torrent", "path"): str(STUB),
        ("verify", "folder"): str(STUB.parent),
        ("add", "source"): TORRENT,
        ("add_torrent", "source"): TORRENT,
        ("__new__", "client"): False,
        ("bound", "kind"): "tcp",
        ("follow", "link"): KEY_LINK,
        ("unfollow", "link"): KEY_LINK,
        ("failed", "why"): "timed_out",
        ("closed", "why"): "finished",
        ("restore", "data"): SAVED,
    }
    for name, annotation in place.others:
        word = words.get((place.method, name))
        if word is not None or annotation not in GOOD:
            GOOD[f"{place}:{name}"] = word
    others = tuple((n, f"{place}:{n}" if f"{place}:{n}" in GOOD else a) for n, a in place.others)
    return Place(place.owner, place.method, place.argument, place.annotation, others)


WHOLE = [prepared(place) for place in places(NUMBERS)]
DURATIONS = [place for place in map(prepared, places({"float"})) if place.argument not in ("now", "by")]
MOMENTS = [place for place in map(prepared, places({"float"})) if place.argument in ("now", "by")]


def test_the_stub_names_the_places() -> None:
    """As many as there are now, or more: none is lost by a change of the stub's form."""
    assert len(WHOLE) > 150
    assert len(DURATIONS) > 12
    assert len(MOMENTS) > 40


@pytest.mark.parametrize("place", WHOLE, ids=str)
def test_a_number_out_of_its_range_is_named(place: Place) -> None:
    for number in WIDE:
        with pytest.raises(OptionError) as raised:
            place.give(number)
        name = "port" if "Address" in place.annotation else place.argument
        assert raised.value.name in (name, place.argument), raised.value
        assert " to " in str(raised.value) and len(str(raised.value)) < 200


@pytest.mark.parametrize("place", DURATIONS, ids=str)
def test_a_duration_that_is_none_is_named(place: Place) -> None:
    for number in (math.nan, math.inf, -math.inf, -1, -1e-9, 1e300, 2**70, 10**5000):
        with pytest.raises(OptionError, match="seconds from 0 to") as raised:
            place.give(number)
        assert raised.value.name == place.argument


@pytest.mark.parametrize("place", MOMENTS, ids=str)
def test_a_moment_that_is_none_is_the_drivers_mistake(place: Place) -> None:
    for number in (math.nan, math.inf, -math.inf, -1, 1e300, 2**70):
        with pytest.raises(millstream.DriverError):
            place.give(number)


def test_what_is_no_number_is_a_type_error() -> None:
    for place in WHOLE:
        if place.annotation in ("int", "int | None"):
            with pytest.raises(TypeError):
                place.give("many")


def test_an_option_error_is_a_value_error_that_travels() -> None:
    with pytest.raises(ValueError) as raised:
        sansio.Have(2**32)
    error = raised.value
    assert str(error) == "index: 4294967296 is no number from 0 to 4294967295"
    assert isinstance(error, OptionError) and error.name == "index"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.name) == (str(error), "index")
    error.add_note("seen")
    assert error.__notes__ == ["seen"]
