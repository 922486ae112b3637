"""`dht`: look-ups by a node that lives as long as the command. What is found goes to stdout as it comes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha1
from typing import TypeVar

from .._dht import DhtCost, DhtDone, DhtEvent, DhtGot, DhtItem, DhtOutcome, DhtSettings, DhtStored
from .._millstream import is_public
from ..dht import EVERYWHERE, Lookup, Node
from ..errors import CommandError, MillstreamError, StartError
from . import dht_keys, dht_report
from .arguments import Arguments
from .lines import INTERRUPTED, Trouble, complain
from .news import Output
from .numbers import show_address, show_count, show_error, show_path
from .signals import Signals, end_now

R = TypeVar("R")

VALUE_BYTES_MAX = 1000
"""Longer values are stored by no node (BEP 44)."""

READ_MAX = 1 << 20
"""What is to be stored is read up to here, to tell how long it is. Bytes."""

SEQ_MAX = (1 << 63) - 1


def dht(args: Arguments) -> int:
    """Looks up, stores, or takes part."""
    output = Output(args.json)
    output.bars = None
    try:
        return asyncio.run(until_interrupted(COMMANDS[args.verbs[1]](args)))
    except Trouble as trouble:
        if trouble.words:
            output.tell(trouble.words)
        return trouble.code
    except MillstreamError as error:
        output.tell(str(error))
        return 1


async def until_interrupted(work: Awaitable[int]) -> int:
    """Does it, unless a signal comes."""
    signals = Signals()
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(signals.came.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        # a node has nobody to take leave of
        end_now()
    stopping.cancel()
    return await working


# ---- the verbs


async def get_peers(args: Arguments) -> int:
    """Peers of a torrent."""
    return await find(args, lambda node: node.get_peers(args.info_hash))


async def announce(args: Arguments) -> int:
    """Tells of a peer."""
    return await find(args, lambda node: node.announce(args.info_hash, port=args.port, seed=args.seed))


async def scrape(args: Arguments) -> int:
    """Counts a swarm."""
    return await find(args, lambda node: node.scrape(args.info_hash))


async def sample(args: Arguments) -> int:
    """Torrents that nodes know of."""
    target = secrets.token_bytes(20) if args.target is None else args.target
    return await find(args, lambda node: node.sample(target))


async def get(args: Arguments) -> int:
    """Fetches an item."""
    salt = args.salt.encode()
    target = args.target if args.public_key is None else sha1(args.public_key + salt).digest()
    if target is None:
        raise Trouble(2, "a target or --public-key is needed")

    async def fetch(node: Node) -> int:
        outcome, cost = await follow(node.get(target, salt=salt))
        item = outcome.item if isinstance(outcome, DhtGot) else None
        if item is None:
            raise Trouble(1, f"nothing is stored under {target.hex()}; {show_count(cost.answers, 'node')} answered")
        dht_report.item(args, item, cost)
        return 0

    return await with_node(args, fetch)


async def put(args: Arguments) -> int:
    """Stores an item, and keeps it stored if that is wanted."""
    value = value_of(args)
    secret = None if args.key is None else dht_keys.read(args.key)

    joined = list[bool]()

    async def first(node: Node) -> DhtItem:
        joined.append(await node.joined())
        item = DhtItem(value)
        if secret is not None:
            salt = args.salt.encode()
            public = dht_keys.public(secret)
            seq = args.seq
            if seq is None:
                seq = await newest(node, sha1(public + salt).digest(), salt)
            item = DhtItem.signed(secret, value, seq=seq, salt=salt)
        await store(args, node, item, args.cas)
        return item

    async with await enter(args, read_only=True) as node:
        item = await within(args, first(node), joined)
        while args.keep:
            await asyncio.sleep(args.keep_interval)
            try:
                await within(args, store(args, node, item, None), joined)
            except (Trouble, CommandError) as error:
                words = error.words if isinstance(error, Trouble) else str(error)
                if isinstance(error, Trouble) and not words:
                    raise
                # the network may be back by the next time
                complain(words)
    return 0


async def keygen(args: Arguments) -> int:
    """Makes a key."""
    dht_report.key(args.json, dht_keys.make(args.file or ""))
    return 0


async def node(args: Arguments) -> int:
    """Takes part."""
    async with await enter(args, read_only=False) as one:
        for address in one.listening:
            dht_report.listening(args.json, address)
        await asyncio.Event().wait()
    return INTERRUPTED


COMMANDS: dict[str, Callable[[Arguments], Awaitable[int]]] = {
    "get-peers": get_peers,
    "announce": announce,
    "scrape": scrape,
    "get": get,
    "put": put,
    "sample": sample,
    "keygen": keygen,
    "node": node,
}


# ---- nodes and look-ups


async def enter(args: Arguments, *, read_only: bool) -> Node:
    """A node; `read_only`: for one look-up, in nobody's table (BEP 43)."""
    settings = DhtSettings(read_only=read_only)
    if args.bootstrap:
        settings["bootstrap_nodes"] = args.bootstrap
    if any(host not in ("0.0.0.0", "::") and not is_public(host.partition("%")[0]) for host, _ in args.listen):
        # at a private address there are private nodes
        settings["private_addresses"] = True
    one = Node(listen=args.listen or EVERYWHERE, **settings)
    try:
        return await one.start()
    except StartError as error:
        asked = ", ".join(map(show_address, args.listen)) or "any port"
        words = f"{asked} can't be listened at: {error.reason}; choose another address with --listen"
        raise Trouble(1, words) from error


async def with_node(args: Arguments, work: Callable[[Node], Awaitable[R]]) -> R:
    """Work with a node that has joined if anyone answers, within the time that there is."""

    async def all() -> R:
        async with await enter(args, read_only=True) as one:
            joined.append(await one.joined())
            return await work(one)

    joined = list[bool]()
    return await within(args, all(), joined)


async def within(args: Arguments, work: Awaitable[R], joined: list[bool]) -> R:
    """Ends what takes too long; `joined` has something true in it once a node has answered."""
    try:
        async with asyncio.timeout(args.timeout):
            return await work
    except TimeoutError as error:
        limit = show_count(args.timeout, "second")
        words = f"it isn't done after {limit}; --timeout gives it more"
        if not any(joined):
            words = f"no node answered within {limit}; --timeout gives it more, --bootstrap names others"
        raise Trouble(1, words) from error


async def find(args: Arguments, begin: Callable[[Node], Lookup]) -> int:
    """One look-up; what it finds is told as it comes."""

    async def look_up(one: Node) -> int:
        outcome, cost = await follow(begin(one), lambda event: dht_report.found(args.json, event))
        dht_report.outcome(args.json, outcome, cost)
        return 0

    return await with_node(args, look_up)


async def follow(lookup: Lookup, found: Callable[[DhtEvent], None] = lambda event: None) -> tuple[DhtOutcome, DhtCost]:
    """Waits for the end of a look-up."""
    async for event in lookup:
        if isinstance(event, DhtDone):
            if event.cost.answers == 0:
                raise Trouble(1, "no node of the DHT answers; name one with --bootstrap")
            return event.outcome, event.cost
        found(event)
    raise Trouble(1, "the DHT node ended too soon")


async def store(args: Arguments, node: Node, item: DhtItem, cas: int | None) -> None:
    """Stores an item, and says so; a newer version in its place is an end to it."""
    outcome, cost = await follow(node.put(item, cas=cas))
    if not isinstance(outcome, DhtStored):
        return
    refusal = dht_report.put(args.json, item, outcome, cost)
    before = outcome.seq_before
    if args.keep and before is not None and item.seq is not None and before > item.seq:
        output = Output(args.json)
        output.bars = None
        output.tell(f"a newer version is stored, {before}: this one isn't kept any longer")
        raise Trouble(1)
    if refusal is not None:
        raise refusal


async def newest(node: Node, target: bytes, salt: bytes) -> int:
    """The sequence number after the newest that is found."""
    outcome, _ = await follow(node.get(target, salt=salt))
    item = outcome.item if isinstance(outcome, DhtGot) else None
    if item is None or item.seq is None:
        return 1
    if item.seq >= SEQ_MAX:
        raise Trouble(1, "the item has the last of all sequence numbers already")
    return item.seq + 1


def value_of(args: Arguments) -> bytes:
    """What is to be stored, bencoded."""
    if args.text is not None:
        raw = args.text.encode()
    elif args.file is not None:
        try:
            with open(args.file, "rb") as file:
                raw = file.read(READ_MAX)
        except OSError as error:
            raise Trouble(1, f"{show_path(args.file)} can't be read: {show_error(error)}") from error
    else:
        raise Trouble(2, "a file or --text is needed")
    value = raw if args.bencoded else b"%d:%s" % (len(raw), raw)
    if len(value) > VALUE_BYTES_MAX:
        too_many = f"{show_count(len(raw), 'byte')} are too many"
        too_many += "" if args.bencoded else f", {len(value)} with their bencoding"
        raise Trouble(1, f"{too_many}: a node stores {VALUE_BYTES_MAX} at most (BEP 44)")
    return value
