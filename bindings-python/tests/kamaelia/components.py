"""Every component there is, found by looking: how one is made, and what is no garbage for it. Who adds one and says
nothing here fails the tests that go over all of them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import millstream.kamaelia as package
from millstream.kamaelia import _crew, ipc
from millstream.kamaelia._axon import Component, producerFinished
from millstream.kamaelia.TorrentEngine import Tick
from millstream.kamaelia.TorrentIPC import IPC, TIPCTorrentStartFail

from .stage import StageEngine, torrent_of

BASES = {"Worker", "Turning", "Transformer", "_Parser", "Crewed"}
"""What others derive from, and nobody makes."""

DEAD_PORT = 9
TORRENT = torrent_of("thing")
LOCAL: dict[str, Any] = {
    "listen": [("127.0.0.1", 0)],
    "dht": False,
    "lsd": False,
    "port_mapping": False,
    "keep_resume": False,
}


@dataclass(frozen=True)
class Recipe:
    """How a component is made, and how it differs from the others."""

    make: Callable[[type[Any]], Any]
    # at these inboxes, what isn't garbage: a message of these classes is meant, and may be taken in silence
    meant: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    # outboxes that it links by itself
    linked: tuple[str, ...] = ()
    # whether producerFinished ends one that has nothing to do
    ends_when_finished: bool = True


def _plain(kind: type[Any]) -> Any:
    return kind()


def _of_a_stage(kind: type[Any]) -> Any:
    return kind(session=StageEngine())


NEWS = {"_torrents": _crew.NEWS}


def _bad_peer(kind: type[Any]) -> Any:
    """One that meets somebody, who says nothing."""
    silent = socket.socket(type=socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    bad = kind("dht_amplify", silent.getsockname(), TORRENT, seconds=60)
    # it closes these when it ends
    bad.sockets.append(silent)
    return bad


BYTES = (bytes, bytearray, memoryview)

RECIPES: dict[str, Recipe] = {
    "BEncoder": Recipe(_plain),
    "BDecoder": Recipe(_plain),
    "MetainfoParser": Recipe(_plain),
    "MagnetParser": Recipe(_plain),
    "BasicTorrentExplainer": Recipe(_plain),
    "BadPeer": Recipe(_bad_peer),
    "ConnectionManager": Recipe(_plain),
    "IcecastClient": Recipe(lambda kind: kind(f"http://127.0.0.1:{DEAD_PORT}/")),
    "IcecastDemux": Recipe(_plain),
    "JobThread": Recipe(_plain),
    "PeerWire": Recipe(lambda kind: kind(True, b"p" * 20, b"h" * 20), {"inbox": BYTES}),
    "RandomAccessFileManager": Recipe(_plain),
    "SeedingController": Recipe(_of_a_stage, NEWS),
    "SimpleHTTPClient": Recipe(_plain),
    "StreamPublisher": Recipe(_of_a_stage, {"inbox": BYTES, **NEWS}, ends_when_finished=False),
    "StreamSubscriber": Recipe(_of_a_stage, NEWS),
    "TorrentClient": Recipe(_of_a_stage, ends_when_finished=False),
    "TorrentEngine": Recipe(lambda kind: kind(1), {"inbox": (Tick,)}),
    "TorrentFeedSubscriber": Recipe(_of_a_stage, NEWS),
    "TorrentMaker": Recipe(_plain),
    "TorrentPatron": Recipe(_of_a_stage, linked=("torrent-outbox",), ends_when_finished=False),
    "TorrentReader": Recipe(_of_a_stage, {"_torrents": (IPC, TIPCTorrentStartFail)}),
    "TorrentService": Recipe(_of_a_stage, {"inbox": _crew.NEWS}, linked=("outbox", "signal"), ends_when_finished=False),
    "TorrentTracker": Recipe(lambda kind: kind("127.0.0.1", 0, interval=60)),
}


def kinds() -> dict[str, type[Component]]:
    """All classes of components in the package, whatever modules they are in."""
    found: dict[str, type[Component]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == "install":
            continue
        contents = importlib.import_module(f"{package.__name__}.{module.name}")
        for _, kind in inspect.getmembers(contents, inspect.isclass):
            if issubclass(kind, Component) and kind.__module__.startswith(package.__name__):
                found[kind.__name__] = kind
    return {name: kind for name, kind in sorted(found.items()) if name not in BASES}


def boxes() -> Iterator[tuple[str, str]]:
    """Every inbox of every component."""
    for name, kind in kinds().items():
        for box in kind.Inboxes:
            yield name, box


# ---- garbage


class Hostile:
    """Of which nothing can be asked: not its text, its class, its length, its attributes, nor whether it is equal."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("don't")

    def __repr__(self) -> str:
        raise RuntimeError("don't")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("don't")

    def __len__(self) -> int:
        raise RuntimeError("don't")

    def __iter__(self) -> Any:
        raise RuntimeError("don't")

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    """A str that can't be used as one."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("don't")

    def startswith(self, *_: Any) -> bool:
        raise RuntimeError("don't")


class Fields(dict[str, Any]):
    """A dict that can't be used as one."""

    def get(self, *_: Any) -> Any:
        raise RuntimeError("don't")

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("don't")


def hollow() -> list[object]:
    """A message of every class, without what belongs into it."""
    names = [*ipc.__all__]
    classes = [getattr(ipc, name) for name in names]
    torrent = importlib.import_module("millstream.kamaelia.TorrentIPC")
    classes += [getattr(torrent, name) for name in torrent.__all__]
    for name in ("TorrentEngine", "ConnectionManager", "RandomAccessFileManager", "PeerWire"):
        module = importlib.import_module(f"millstream.kamaelia.{name}")
        classes += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if hasattr(kind, "__dataclass_fields__") and kind.__module__ == module.__name__
        ]
    return [kind.__new__(kind) for kind in classes if not kind.__name__.startswith("_")]


def stuffed(value: object) -> list[object]:
    """A message of every class of Kamaelia's manner, whose fields all hold this."""
    made = []
    torrent = importlib.import_module("millstream.kamaelia.TorrentIPC")
    for module in (ipc, torrent):
        for name in module.__all__:
            kind = getattr(module, name)
            fields = [field.removeprefix("?") for field in getattr(kind, "Parameters", [])]
            if fields and issubclass(kind, torrent.IPC):
                made.append(kind(**dict.fromkeys(fields, value)))
    return made


def garbage() -> list[object]:
    """What nobody should send."""
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    return [
        None,
        0,
        -1,
        1 << 200,
        float("nan"),
        b"",
        bytes(8 << 20),
        bytearray(b"\xff" * 100),
        memoryview(b"i1e").toreadonly(),
        memoryview(bytes(16)).cast("I"),
        "",
        "\ud800\udfff",
        "no\0thing",
        "\U0001f600" * 1000,
        (),
        (1, 2, 3),
        (None, None, None),
        deep,
        {"url": 1},
        {},
        object(),
        object,
        Hostile,
        Hostile(),
        Text("text"),
        Fields(a=1),
        ValueError("garbage"),
        lambda: None,
        producerFinished,
        *hollow(),
        *stuffed(object()),
        *stuffed(Hostile()),
        *stuffed([]),
        *stuffed(-1),
        *stuffed("\ud800"),
    ]
