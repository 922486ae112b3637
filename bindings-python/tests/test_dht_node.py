"""`millstream.dht.Node`: a node of the DHT on an asyncio loop, over loopback."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import uvloop

from millstream import ItemError, SessionClosed, StartError
from millstream.dht import Node
from millstream.sansio import (
    DhtAnnounced,
    DhtDone,
    DhtFoundNodes,
    DhtFoundPeers,
    DhtGot,
    DhtItem,
    DhtPeers,
    DhtSampled,
    DhtSamples,
    DhtScraped,
    DhtStored,
)

R = TypeVar("R")

HASH = bytes(range(20))

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def told(story: Callable[[], Coroutine[Any, Any, R]], loop: Callable[[], asyncio.AbstractEventLoop] = LOOPS[0]) -> R:
    """Runs a story within bounds."""

    async def bounded() -> R:
        async with asyncio.timeout(60):
            return await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(bounded())


def node(entry: str | None, host: str = "127.0.0.1", **more: Any) -> Node:
    """A node of a DHT of its own."""
    nodes = [] if entry is None else [entry]
    settings: dict[str, Any] = {"private_addresses": True, "enforce_node_ids": False, "bootstrap_nodes": nodes}
    return Node(listen=[(host, 0)], **{**settings, **more})


@asynccontextmanager
async def network(host: str = "127.0.0.1") -> AsyncIterator[tuple[list[Node], str]]:
    """Three nodes, and where the first is entered."""
    nodes = list[Node]()
    entry: str | None = None
    for _ in range(3):
        nodes.append(await node(entry, host).start())
        where, port = nodes[0].listening[0]
        entry = f"[{where}]:{port}" if ":" in where else f"{where}:{port}"
        await nodes[-1].joined()
    yield nodes, entry or ""
    for one in nodes:
        await one.close()


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_announced_is_found_counted_and_sampled(
    host: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        async with network(host) as (_, entry), node(entry, host, read_only=True) as one:
            assert await one.joined()
            announced = (await one.announce(HASH, port=4321, seed=True)).outcome
            assert isinstance(announced, DhtAnnounced) and announced.stored >= 2
            news = [event async for event in one.get_peers(HASH)]
            assert isinstance(news[0], DhtPeers) and news[0].peers == ((host, 4321),)
            assert isinstance(news[-1], DhtDone) and news[-1].outcome == DhtFoundPeers(1) and news[-1].cost.answers >= 2
            scraped = (await one.scrape(HASH)).outcome
            assert isinstance(scraped, DhtScraped) and scraped.seeds == 1
            samples = [event async for event in one.sample(bytes(20))]
            assert any(isinstance(event, DhtSamples) and HASH in event.samples for event in samples)
            assert isinstance(samples[-1], DhtDone) and isinstance(samples[-1].outcome, DhtSampled)
            found = (await one.find_node(bytes(20))).outcome
            assert isinstance(found, DhtFoundNodes) and len(found.nodes) == 3
            assert one.status().lookups == 0

    told(story, loop)


def test_items_are_put_got_and_changed() -> None:
    async def story() -> None:
        async with network() as (nodes, _):
            plain = DhtItem(b"5:hello")
            stored = (await nodes[1].put(plain)).outcome
            assert isinstance(stored, DhtStored) and stored.stored >= 1
            assert (await nodes[2].get(plain.target)).outcome == DhtGot(plain)
            secret = bytes(32)
            for seq in (1, 2):
                item = DhtItem.signed(secret, b"i%de" % seq, seq=seq, salt=b"s")
                await nodes[1].put(item)
            assert (await nodes[2].get(item.target, salt=b"s")).outcome == DhtGot(item)
            with pytest.raises(ItemError):
                nodes[1].put(DhtItem(b"2000:" + bytes(2000)))

    told(story)


def test_a_look_up_that_is_dropped_or_cancelled_is_ended_and_closing_ends_the_others() -> None:
    async def story() -> None:
        async with node("127.0.0.1:9") as one:
            dropped = one.get_peers(HASH)
            assert one.status().lookups >= 1
            before = one.status().lookups
            del dropped
            gc.collect()
            assert one.status().lookups == before - 1
            cancelled = one.get_peers(HASH)
            cancelled.cancel()
            with pytest.raises(SessionClosed):
                await cancelled
            waiting, joining = asyncio.ensure_future(_wait(one)), asyncio.ensure_future(one.joined())
            await asyncio.sleep(0)
            await one.close()
            await one.close()
            with pytest.raises(SessionClosed):
                await waiting
            assert await joining is False
            with pytest.raises(SessionClosed):
                one.get_peers(HASH)
        with pytest.raises(SessionClosed):
            node(None).status()

    told(story)


async def _wait(one: Node) -> DhtDone:
    return await one.get_peers(HASH)


def test_a_node_that_was_saved_joins_again_without_being_told_where() -> None:
    async def story() -> None:
        async with network() as (_, entry):
            async with node(entry) as one:
                assert await one.joined()
                saved = one.save()
            async with node(None, saved=saved) as again:
                assert await again.joined()
        async with node("no-such-name.invalid:7") as alone:
            assert not await alone.joined()

    told(story)


@pytest.mark.parametrize("damaged", [b"", b"somebody else's", "cut"])
def test_a_saved_table_that_is_damaged_is_passed_over_with_a_warning(
    damaged: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with network() as (nodes, entry):
            saved = nodes[1].save()[:-1] if isinstance(damaged, str) else damaged
            async with node(entry, saved=saved) as again:
                assert await again.joined()

    with caplog.at_level(logging.WARNING, "millstream"):
        told(story)
    (record,) = caplog.records
    assert "passed over" in record.message


def test_a_node_that_cannot_begin_leaves_no_socket_open() -> None:
    async def story() -> None:
        with pytest.raises(TypeError):
            await node(None, nonsense=1).start()
        await asyncio.sleep(0)
        gc.collect()

    # a socket that is left is a warning, and that an error
    told(story)


def test_what_cannot_be_listened_at_is_said_so_and_one_family_is_enough() -> None:
    async def story() -> None:
        with pytest.raises(StartError) as refused:
            await Node(listen=[("203.0.113.1", 1)]).start()
        assert refused.value.setting == "listen" and "os error 99" in refused.value.reason
        with pytest.raises(StartError):
            await Node(listen=[]).start()
        async with Node(listen=[("203.0.113.1", 1), ("::1", 0)], bootstrap_nodes=[]) as one:
            assert [host for host, _ in one.listening] == ["::1"]

    told(story)
