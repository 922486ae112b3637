"""Engines exchange torrents in memory. Payload crosses the border both ways; Python stores and digests it."""

from __future__ import annotations

import random

import pytest
from memory import Host, World

from millstream import Metainfo, create
from millstream.sansio import Banned, Completed, Metadata, PieceVerified, Version

PIECE = 32 * 1024
SIZE = 10 * PIECE + 12_345


def payload(size: int = SIZE, seed: int = 7) -> bytes:
    """Bytes that compress to nothing and repeat nowhere."""
    return random.Random(seed).randbytes(size)


def complete(host: Host, torrent: int) -> bool:
    """Whether the host told of it."""
    return Completed(torrent) in host.events


def files_of(version: Version) -> tuple[bytes, dict[str, bytes]]:
    """A torrent of three files, one of them empty, none as long as whole pieces."""
    files = {"first.bin": payload(), "sub/second.bin": payload(3 * PIECE + 1, 8), "third": b""}
    return create("things", files, version=version, piece_length=PIECE), {f"things/{k}": v for k, v in files.items()}


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_two_engines_exchange_a_torrent_of_many_pieces(version: Version) -> None:
    torrent, files = files_of(version)
    assert Metainfo.parse(torrent).version == version
    world = World()
    seed, leech = world.host(files), world.host()
    theirs = seed.engine.add_torrent(0, torrent, "anywhere")
    ours = leech.engine.add_torrent(0, torrent, "anywhere", peers=[seed.address])
    world.run(lambda: complete(leech, ours))

    got = {path: bytes(data) for path, data in leech.disk.files.items() if data}
    assert got == {path: data for path, data in files.items() if data}
    length = sum(map(len, files.values()))
    assert world.carried > length, "the payload went over the link"
    assert leech.disk.hashed >= length, "Python digested every byte"
    status = leech.engine.status(ours)
    assert (status.state, status.length, status.downloaded) == ("seeding", length, length)
    assert seed.engine.status(theirs).uploaded == length
    pieces = sorted(event.piece for event in leech.events if isinstance(event, PieceVerified))
    assert pieces == list(range(status.pieces))


@pytest.mark.parametrize("version", ["v1", "hybrid"])
def test_a_magnet_gets_its_metadata_and_then_its_payload(version: Version) -> None:
    data = payload()
    torrent = create("thing", data, version=version, piece_length=PIECE)
    metainfo = Metainfo.parse(torrent)
    assert metainfo.info_hash_v1 is not None
    world = World()
    seed, leech = world.host({"thing": data}), world.host()
    seed.engine.add_torrent(0, metainfo, "anywhere")
    link = f"magnet:?xt=urn:btih:{metainfo.info_hash_v1.hex()}&dn=a+thing"
    ours = leech.engine.add_torrent(0, link, "anywhere", peers=[seed.address])
    assert leech.engine.status(ours).state == "metadata"
    assert leech.engine.info(ours) is None
    world.run(lambda: complete(leech, ours))
    assert Metadata(ours) in leech.events
    assert leech.engine.info(ours) == metainfo.info_bytes
    assert leech.disk.files["thing"] == data


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_a_corrupted_block_is_refused_and_an_honest_engine_completes(version: Version) -> None:
    data = payload()
    torrent = create("thing", data, version=version, piece_length=PIECE)
    world = World()
    liar, honest, leech = world.host({"thing": data}), world.host({"thing": data}), world.host()
    lies = 0

    def spoil(sender: Host, sent: bytes) -> bytes:
        """The liar turns a bit near the end of all that is long: of payload."""
        nonlocal lies
        if sender is not liar or len(sent) < 16 * 1024:
            return sent
        lies += 1
        return sent[:-100] + bytes([sent[-100] ^ 1]) + sent[-99:]

    world.spoil = spoil
    for host in (liar, honest):
        host.engine.add_torrent(0, torrent, "anywhere")
    ours = leech.engine.add_torrent(0, torrent, "anywhere", peers=[liar.address], only_peers=True)
    world.run(lambda: any(isinstance(event, Banned) for event in leech.events))
    assert lies > 0
    assert [event.address for event in leech.events if isinstance(event, Banned)] == [liar.address]
    assert not complete(leech, ours), "never with what the liar sent"
    assert leech.engine.status(ours).wasted > 0

    leech.engine.add_peers(world.now, ours, [honest.address])
    world.run(lambda: complete(leech, ours))
    assert leech.disk.files["thing"] == data


def test_the_same_seed_and_inputs_give_the_same_run() -> None:
    def run() -> tuple[float, int, list[object]]:
        torrent, files = files_of("hybrid")
        world = World()
        seed, leech = world.host(files), world.host()
        seed.engine.add_torrent(0, torrent, "anywhere")
        ours = leech.engine.add_torrent(0, torrent, "anywhere", peers=[seed.address])
        world.run(lambda: complete(leech, ours))
        return world.now, world.carried, [*leech.events, *seed.events]

    assert run() == run()
