"""Bad peers of every kind: a session stays up, lets them go, stays small, and completes from an honest seed."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import Banned, PeerJoined, PeerLeft, create, sync
from millstream.kamaelia._axon import producerFinished, shutdownMicroprocess
from millstream.kamaelia.BadPeer import KINDS, BadPeer, BadPeerRefused, BadPeerReport

from .stage import Script, ended, play, until
from .test_connections import dead_address

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

PIECE = 32 * 1024
DATA = random.Random(5).randbytes(12 * PIECE + 777)
TORRENT = create("thing.bin", DATA, version="v1", piece_length=PIECE)
BAD = "127.0.0.2"
MEMORY = 96 << 20
"""Bytes that a process with two sessions may grow by, whatever a peer does to one of them."""

WORST: dict[str, Any] = {
    "listen": [("127.0.0.1", 0)],
    "dht": False,
    "lsd": False,
    "port_mapping": False,
    "keep_resume": False,
    "handshake_timeout": 1.0,
}

DROPPED = {
    "lying_bitfield",
    "corrupt_blocks",
    "huge_length",
    "second_handshake",
    "other_info_hash",
    "unknown_info_hash",
    "slow_loris",
}
"""Kinds that no session may put up with."""

STRANGERS = {"unknown_info_hash", "slow_loris"}
"""Kinds that never become a torrent's peer."""

COUNTED: dict[str, set[str]] = {
    "dht_spoof": {
        "dht.queries_in",
        "dht.dropped_malformed",
        "dht.dropped_unasked",
        "dht.dropped_flood",
    },
    "dht_amplify": {"dht.queries_in", "dht.dropped_flood"},
}
"""What the node of the DHT counts of them."""

OF_SEEDS = {"request_flood", "cancel_flood"}
"""Kinds that mean harm to who has something."""


def memory() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.fixture
def two(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[sync.Session, sync.Session]]:
    """A session that has all, and one that has nothing."""
    with_dht = {"dht": True, "dht_bootstrap": []} if str(getattr(request, "param", "")).startswith("dht_") else {}
    (folder / "seed").mkdir()
    (folder / "seed" / "thing.bin").write_bytes(DATA)
    settings = {**WORST, **with_dht}
    with (
        sync.Session(folder=folder / "seed", **settings) as seed,
        sync.Session(folder=folder / "leech", **settings) as leech,
    ):
        seed.add(TORRENT).wait_complete(timeout=30)
        yield seed, leech


@pytest.mark.parametrize(("kind", "two"), [(kind, kind) for kind in KINDS], indirect=["two"])
def test_a_session_survives(kind: str, two: tuple[sync.Session, sync.Session], folder: Path) -> None:
    seed, leech = two
    ours = leech.add(TORRENT)
    victim = seed if kind in OF_SEEDS else leech
    events, counts = victim.events(timeout=0.01), victim.statistics().counts
    bad = BadPeer(kind, victim.listening[0], TORRENT, source=(BAD, 0), seconds=4)
    before = memory()
    most = before

    def script(me: Script) -> Main:
        nonlocal most
        bad_first = time.monotonic() + 0.5
        yield until(lambda: bad.sent and time.monotonic() > bad_first, "the bad peer has begun")
        ours.add_peers([seed.listening[0]])
        end = time.monotonic() + 30
        while not (me.of(BadPeerReport) and ours.stats.progress == 1.0):
            assert time.monotonic() < end, (me.got, ours.stats)
            most = max(most, memory())
            yield 1
        yield from ended(me)

    (me,) = play((bad, script), deadline=60)
    (report,) = me.got
    assert report.kind == kind and report.sent > 0
    assert report.ended == "dropped" if kind in DROPPED else report.ended in ("dropped", "over"), report
    assert (folder / "leech" / "thing.bin").read_bytes() == DATA
    assert most - before < MEMORY, f"{(most - before) >> 20} MiB more"
    if kind == "dht_amplify":
        assert report.received < 10 * report.sent
    assert leech.is_open and seed.is_open
    assert_was_met(kind, report, events, {name: was - counts[name] for name, was in victim.statistics().counts.items()})


def assert_was_met(kind: str, report: BadPeerReport, events: sync.Events, counted: dict[str, int]) -> None:
    """The engine saw it, and did what it does to such."""
    seen: list[Any] = []
    joined: list[Any] = []
    left: list[Any] = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        seen += [event for event in events.next_events(0.1) if getattr(event, "address", ("",))[0] == BAD]
        joined = [event for event in seen if isinstance(event, PeerJoined)]
        left = [event for event in seen if isinstance(event, PeerLeft)]
        if len(joined) == len(left):
            break
    if kind in COUNTED:
        assert not seen and all(counted[name] > 0 for name in COUNTED[kind]), counted
        # no more goes out than comes in
        assert counted["dht.bytes_out"] < counted["dht.bytes_in"]
        return
    assert len(joined) == len(left) == (0 if kind in STRANGERS else 1)
    assert bool([event for event in seen if isinstance(event, Banned)]) == (kind == "corrupt_blocks")


def test_who_corrupts_is_banned_and_not_let_in_again(two: tuple[sync.Session, sync.Session], folder: Path) -> None:
    seed, leech = two
    ours = leech.add(TORRENT)
    events = leech.events(timeout=0.01)

    # of the loopback an address is banned with its port, since all on this host share it
    with socket.create_server((BAD, 0)) as free:
        port = free.getsockname()[1]

    def attack() -> list[Any]:
        def script(me: Script) -> Main:
            yield until(lambda: me.got, "its end")
            yield from ended(me)

        (me,) = play((BadPeer("corrupt_blocks", leech.listening[0], TORRENT, source=(BAD, port), seconds=8), script))
        return me.got

    (first,) = attack()
    banned: list[Any] = []
    end = time.monotonic() + 30
    while not banned and time.monotonic() < end:
        banned += [event for event in events.next_events(0.2) if isinstance(event, Banned)]
    assert first.ended == "dropped" and banned[0].address == (BAD, port)
    (second,) = attack()
    assert second.ended in ("dropped", "refused") and second.received == 0
    ours.add_peers([seed.listening[0]])
    ours.wait_complete(timeout=30)
    assert (folder / "leech" / "thing.bin").read_bytes() == DATA


def test_a_bad_peer_that_meets_nobody_says_so() -> None:
    def script(me: Script) -> Main:
        yield until(lambda: me.got, "its report")
        yield from ended(me)

    (me,) = play((BadPeer("huge_length", dead_address(), TORRENT), script))
    assert me.got == [BadPeerReport("huge_length", "refused", 0, 0)]


@pytest.mark.parametrize("how", [producerFinished(), shutdownMicroprocess()])
def test_a_bad_peer_stops_when_it_is_told_to_and_listens_to_nobody(
    two: tuple[sync.Session, sync.Session], how: object
) -> None:
    two[1].add(TORRENT)
    bad = BadPeer("never_answers", two[1].listening[0], TORRENT, seconds=60)

    def script(me: Script) -> Main:
        yield until(lambda: bad.received, "it is at it")
        me.send("stop, please")
        me.send(None)
        yield until(lambda: len(me.got) == 2, "its answers")
        yield from ended(me, how)

    (me,) = play((bad, script))
    assert [type(message) for message in me.got] == [BadPeerRefused, BadPeerRefused, BadPeerReport]
    assert me.got[-1].ended == "stopped"


def test_a_kind_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="huge_length"):
        BadPeer("nice", ("127.0.0.1", 1), TORRENT)
