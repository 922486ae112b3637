"""What `dht` says: results on stdout, one line or one JSON object each."""

from __future__ import annotations

from typing import Any

from .._dht import (
    DhtAnnounced,
    DhtCost,
    DhtEvent,
    DhtFoundPeers,
    DhtItem,
    DhtOutcome,
    DhtPeers,
    DhtSampled,
    DhtSamples,
    DhtScraped,
    DhtStored,
)
from .._values import Address
from ..bencode import decode
from ..errors import BencodeError
from .arguments import Arguments
from .lines import Trouble, say, say_bytes, say_json
from .numbers import show_address, show_count


def tell(as_json: bool, words: str, event: str, **values: Any) -> None:
    """Says it."""
    if as_json:
        say_json({"event": event, **values})
        return
    for line in words.split("\n"):
        say(line)


def listening(as_json: bool, address: Address) -> None:
    """A node is reached here."""
    shown = show_address(address)
    tell(as_json, f"listening at {shown}", "listening", address=shown)


def key(as_json: bool, public: bytes) -> None:
    """A key was made."""
    tell(as_json, f"public key: {public.hex()}", "key", public_key=public.hex())


def found(as_json: bool, event: DhtEvent) -> None:
    """What a look-up found on its way."""
    match event:
        case DhtPeers(_, peers):
            for address in peers:
                shown = show_address(address)
                tell(as_json, shown, "peer", address=shown)
        case DhtSamples(_, address, samples):
            for digest in samples:
                tell(as_json, digest.hex(), "sample", info_hash=digest.hex(), **{"from": show_address(address)})
        case _:
            pass


def outcome(as_json: bool, came: DhtOutcome, cost: DhtCost) -> None:
    """How a look-up ended. Raises `Trouble` if that is a failure."""
    failure: str | None = None
    event, values = "", dict[str, Any]()
    match came:
        case DhtFoundPeers(count):
            event, values = "peers", {"found": count}
            words = show_count(count, "peer")
            failure = None if count else "no peers are known"
        case DhtAnnounced(stored, failed, _):
            event, values = "announced", {"stored": stored, "failed": failed}
            words = f"announced to {show_count(stored, 'node')}"
            failure = None if stored else "no node took the announce"
        case DhtScraped(seeds, peers, answers):
            event, values = "scraped", {"seeds": seeds, "peers": peers, "answers_with_counts": answers}
            words = f"about {show_count(seeds, 'seed')} and {show_count(peers, 'other')}"
            words += f", by the word of {show_count(answers, 'node')}"
        case DhtSampled(nodes, samples):
            event, values = "sampled", {"nodes": nodes, "samples": samples}
            words = f"{show_count(samples, 'sample')} of {show_count(nodes, 'node')}"
            failure = None if samples else "no node told a sample"
        case _:
            return
    if as_json or failure is None:
        tell(as_json, f"{words} ({shown(cost)})", event, **values, **took(cost))
    if failure is not None:
        raise Trouble(1, f"{failure}; {show_count(cost.answers, 'node')} answered")


def item(args: Arguments, it: DhtItem, cost: DhtCost) -> None:
    """An item that was found. On its own, a string's bytes go out as they are."""
    try:
        value = decode(it.value)
    except BencodeError:
        value = None
    string = value if isinstance(value, bytes) else None
    if not args.json:
        say_bytes(it.value if string is None or args.bencoded else string)
        return
    text: str | None = None
    if string is not None:
        try:
            text = string.decode()
        except UnicodeDecodeError:
            text = None
    values: dict[str, Any] = {
        "target": it.target.hex(),
        "bencoded": it.value.hex(),
        "text": text,
        "public_key": None if it.key is None else it.key.hex(),
        "salt": None if it.key is None else it.salt.decode("utf-8", "replace"),
        "seq": it.seq,
    }
    say_json({"event": "item", **values, **took(cost)})


def put(as_json: bool, it: DhtItem, came: DhtStored, cost: DhtCost) -> Trouble | None:
    """What became of an item that was to be stored; the trouble if nobody took it."""
    target, public = it.target.hex(), None if it.key is None else it.key.hex()
    if came.stored > 0:
        owner = "" if public is None else f"\npublic key: {public}\nsequence number: {it.seq or 0}"
        words = f"target: {target}{owner}\nstored at {show_count(came.stored, 'node')} ({shown(cost)})"
        values = {"target": target, "public_key": public, "seq": it.seq, "stored": came.stored}
        tell(as_json, words, "put", **values, **took(cost))
        return None
    before = "" if came.seq_before is None else f"; sequence number {came.seq_before} is stored"
    codes = ", ".join(f"{count} with code {code}" for code, count in came.refused) or "nobody was asked"
    return Trouble(1, f"no node took it: refused by {codes}{before}")


def took(cost: DhtCost) -> dict[str, Any]:
    """What a look-up took, for programs."""
    counts = {"hops": cost.hops, "queries": cost.queries, "answers": cost.answers, "timeouts": cost.timeouts}
    return {**counts, "elapsed_ms": int(cost.elapsed * 1000)}


def shown(cost: DhtCost) -> str:
    """What a look-up took, for people."""
    elapsed = int(cost.elapsed * 1000)
    queries = f"{cost.queries} {'query' if cost.queries == 1 else 'queries'}"
    return f"{cost.answers} of {queries} answered, {show_count(cost.hops, 'hop')}, {elapsed} ms"
