"""What can be said to `dht`, and what its help says of it: the same as to the binary."""

from __future__ import annotations

from .._millstream import Magnet
from .._sources import is_magnet
from ..errors import MagnetError
from . import numbers
from .grammar import BadValue, Option, Positional, Verb, path

SEQ_MAX = (1 << 63) - 1


def torrent(text: str) -> bytes:
    """An info-hash, or a magnet link's."""
    if is_magnet(text):
        try:
            digest = Magnet.parse(text).info_hash
        except MagnetError as error:
            raise BadValue(str(error)) from error
        if digest is None:
            raise BadValue("it names no torrent")
        return digest
    try:
        return numbers.info_hash(text)
    except BadValue as error:
        raise BadValue("an info-hash has 40 hex digits, or 64 of which the first 40 count") from error


target = numbers.hex_digits(40, "a target has 40 hex digits")

ENTRY = (
    Option(
        name="bootstrap",
        value="ADDR",
        many=True,
        read=numbers.host_and_port,
        help="Enter by this node, host:port; may be given again [default: the well-known ones]",
    ),
    Option(
        name="listen",
        value="ADDR",
        many=True,
        read=numbers.address,
        help="Listen here; may be given once for each of IPv4 and IPv6 [default: any port]",
    ),
    Option(name="json", help="One JSON object a line"),
)
"""How the DHT is entered."""

LOOKUP = (
    *ENTRY,
    Option(
        name="timeout",
        value="SECONDS",
        default="60",
        read=numbers.number(1, 3600, signed=False),
        help="Give up after so many seconds",
    ),
)
"""How it is entered, and how long that may take."""

TORRENT = Positional(
    value="HASH|MAGNET",
    field="info_hash",
    read=torrent,
    help="An info-hash of 40 hex digits, or 64 of v2's, of which the first 40 count; or a magnet link",
)

SALT = "What tells a key's items apart"


def version(name: str, words: str) -> Option:
    """A version of an item."""
    return Option(name=name, value="N", needs=("key",), read=numbers.number(0, SEQ_MAX), help=words)


GET = Verb(
    name="get",
    about="Fetch an item (BEP 44); exits 1 if there is none",
    positionals=(
        Positional(
            value="TARGET",
            field="target",
            read=target,
            required=False,
            unless="public-key",
            help="What `put` said: 40 hex digits",
        ),
    ),
    options=(
        Option(
            name="public-key",
            value="KEY",
            read=numbers.hex_digits(64, "a public key has 64 hex digits"),
            excludes=("target",),
            help="The item of this key: 64 hex digits",
        ),
        Option(name="salt", value="TEXT", default="", help=SALT),
        Option(
            name="bencoded",
            help="The bencoded value as it is stored, where otherwise the bytes of a string are unwrapped",
        ),
        *LOOKUP,
    ),
)

PUT = Verb(
    name="put",
    about="Store an item (BEP 44): under its own digest, or under a key that may change it later",
    positionals=(
        Positional(
            value="FILE",
            field="file",
            read=path,
            required=False,
            unless="text",
            holds="file",
            help="Store what is in this file",
        ),
    ),
    options=(
        Option(name="text", value="TEXT", excludes=("file",), help="Store this text"),
        Option(name="bencoded", help="It is bencode already, where otherwise it becomes a string"),
        Option(
            name="key", value="FILE", read=path, holds="file", help="Sign it with the key in this file (`dht keygen`)"
        ),
        Option(name="salt", value="TEXT", default="", needs=("key",), help=f"{SALT}: at most 64 bytes"),
        version("seq", "The version [default: one more than what is found]"),
        version("cas", "Only in the place of this version"),
        Option(
            name="keep",
            help="Stay, and store it again each hour until interrupted: nodes forget what isn't, after two hours "
            "(BEP 44)",
        ),
        Option(
            name="keep-interval",
            value="S",
            default="3600",
            read=numbers.number(0, (1 << 64) - 1, signed=False),
            hidden=True,
            needs=("keep",),
            help="Seconds instead of an hour",
        ),
        *LOOKUP,
    ),
)

DHT = Verb(
    name="dht",
    about="Ask the DHT, or store in it (BEP 5, 33, 44, 51)",
    verbs=(
        Verb(
            name="get-peers",
            about="Find peers of a torrent; exits 1 if there are none",
            positionals=(TORRENT,),
            options=LOOKUP,
        ),
        Verb(
            name="announce",
            about="Tell the nodes nearest to a torrent that there is a peer of it at this host",
            positionals=(TORRENT,),
            options=(
                Option(
                    name="port",
                    value="PORT",
                    required=True,
                    read=numbers.number(1, 65535),
                    help="Where peers reach the one that is announced",
                ),
                Option(name="seed", help="It has everything"),
                *LOOKUP,
            ),
        ),
        Verb(name="scrape", about="Count who is in a swarm (BEP 33)", positionals=(TORRENT,), options=LOOKUP),
        GET,
        PUT,
        Verb(
            name="sample",
            about="Collect torrents that nodes know of (BEP 51)",
            options=(
                Option(
                    name="target",
                    value="TARGET",
                    read=target,
                    help="Ask the nodes on the way to this point: 40 hex digits [default: one by chance]",
                ),
                *LOOKUP,
            ),
        ),
        Verb(
            name="keygen",
            about="Make a key for `put --key`; prints the public key",
            positionals=(
                Positional(
                    value="FILE",
                    field="file",
                    read=path,
                    holds="file",
                    help="Where the secret key goes: a new file that nobody else may read",
                ),
            ),
            options=(Option(name="json", help="One JSON object"),),
        ),
        Verb(
            name="node",
            about="Take part until interrupted: a node that others enter by",
            options=ENTRY,
        ),
    ),
)
