"""What can be said to the command, and what its help says of it: the same as to the binary, but for `--driver`. Verbs
of the DHT are elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from . import numbers
from .dht_arguments import DHT
from .grammar import BadValue, Option, Positional, Verb, parse, path
from .numbers import PROGRAM

AFTER = f"""\
Exit codes:
  0    done: all is verified
  1    failed; one sentence on stderr says what and where
  2    wrong usage
  130  interrupted (SIGINT or SIGTERM): trackers are told and progress is kept, within 5 seconds;
       a second signal ends it at once

Sizes and rates are bytes, or a number with a unit: K, M and G (or KiB, MiB, GiB) count in 1024s, KB, MB and GB in
1000s. Rates may end in /s.

NO_COLOR=1 turns colours off. Without a terminal there are plain lines instead of bars.
`{PROGRAM} completions SHELL` prints a completion script, `{PROGRAM} man` the manual page."""

SHELLS = ("bash", "elvish", "fish", "powershell", "zsh")

AGAIN = "may be given again"


@dataclass(kw_only=True)
class Arguments:
    """What was given. Each verb reads its own part."""

    verbs: tuple[str, ...]
    verbose: int = 0
    json: bool = False
    torrent: str = ""
    torrents: list[str] = field(default_factory=list)
    data: str = ""
    output: str | None = None
    listen: list[tuple[str, int]] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    only_peers: bool = False
    updates: str | None = None
    max_upload: int | None = None
    max_download: int | None = None
    no_dht: bool = False
    dht_bootstrap: list[str] = field(default_factory=list)
    no_lsd: bool = False
    no_pex: bool = False
    no_web_seeds: bool = False
    utp: Literal["on", "off", "only"] = "on"
    encryption: Literal["off", "prefer", "require"] = "prefer"
    proxy: str | None = None
    bind: str | None = None
    ip_filter: str | None = None
    port_mapping: bool = True
    driver: Literal["native", "asyncio"] = "native"
    select: list[int] | None = None
    high: list[int] | None = None
    low: list[int] | None = None
    sequential: bool = False
    seed: bool = False
    path: str = ""
    v1: bool = False
    v2: bool = False
    hybrid: bool = False
    piece_length: int | None = None
    trackers: list[str] = field(default_factory=list)
    web_seeds: list[str] = field(default_factory=list)
    private: bool = False
    similar: list[bytes] = field(default_factory=list)
    collections: list[str] = field(default_factory=list)
    update_url: str | None = None
    originator: str | None = None
    sign_key: str | None = None
    sign_certificate: str | None = None
    comment: str | None = None
    http: list[tuple[str, int]] = field(default_factory=list)
    udp: list[tuple[str, int]] = field(default_factory=list)
    ws: list[tuple[str, int]] = field(default_factory=list)
    stats: list[tuple[str, int]] = field(default_factory=list)
    workers: int | None = None
    allow: str | None = None
    deny: str | None = None
    state: str | None = None
    interval: int = 1800
    max_torrents: int = 1_000_000
    max_peers: int = 20_000_000
    max_peers_per_source: int = 64
    size: int = 64 << 20
    leeches: int = 4
    shell: str = ""
    bootstrap: list[str] = field(default_factory=list)
    timeout: int = 60
    info_hash: bytes = b""
    port: int = 0
    target: bytes | None = None
    public_key: bytes | None = None
    salt: str = ""
    bencoded: bool = False
    file: str | None = None
    text: str | None = None
    key: str | None = None
    seq: int | None = None
    cas: int | None = None
    keep: bool = False
    keep_interval: int = 3600


def read(argv: Sequence[str]) -> Arguments:
    """Reads the arguments. Raises what `grammar.parse` does."""
    asked, verbose, given = parse(COMMAND, argv)
    return Arguments(verbs=asked.names, verbose=verbose, **given)


def updates(text: str) -> str:
    """A folder, or `off`."""
    if not text:
        raise BadValue("it is a folder, or off")
    return text


def json(words: str = "One JSON object a line") -> Option:
    """`--json`."""
    return Option(name="json", help=words)


NETWORK = (
    Option(
        name="listen",
        value="ADDR",
        many=True,
        read=numbers.address,
        help=f"Listen here; {AGAIN} [default: 0.0.0.0:6881 and [::]:6881, or the next free port]",
    ),
    Option(
        name="peer",
        value="ADDR",
        many=True,
        field="peers",
        read=numbers.host_and_port,
        help=f"Contact this peer, host:port; {AGAIN}",
    ),
    Option(
        name="only-peers",
        help="Contact nobody but the given peers and who comes in: no tracker, no discovery of any kind",
    ),
    Option(
        name="updates",
        value="DIR|off",
        read=updates,
        help="Where newer torrents are saved that a torrent's originator signed (BEP 39), or `off` not to look for any "
        "[default: beside what is remembered between runs]; the transfer goes on as it is",
    ),
    Option(name="max-upload", value="RATE", read=numbers.rate, help="Send no more than this a second"),
    Option(name="no-dht", help="Take no part in the DHT (BEP 5)"),
    Option(
        name="dht-bootstrap",
        value="ADDR",
        many=True,
        read=numbers.host_and_port,
        help=f"Enter the DHT by this node, host:port; {AGAIN} [default: the well-known ones]",
    ),
    Option(name="no-lsd", help="Seek no peers in the local network (BEP 14)"),
    Option(name="no-pex", help="Exchange no peers with peers (BEP 11)"),
    Option(name="no-web-seeds", help="Fetch nothing from web seeds (BEP 19)"),
    Option(
        name="utp",
        value="WHEN",
        default="on",
        choices=("on", "off", "only"),
        help="Links over uTP (BEP 29): beside TCP, not at all, or nothing else",
    ),
    Option(
        name="encryption",
        value="WHEN",
        default="prefer",
        choices=("off", "prefer", "require"),
        help="Encrypted links: never, where the other side can, or always",
    ),
    Option(
        name="proxy",
        value="URL",
        help="Everything goes through this proxy or not at all: socks5://[USER:PASSWORD@]HOST:PORT or http://…",
    ),
    Option(
        name="bind",
        value="IFACE|ADDR",
        help="Use this interface or local address only, for all that goes out and comes in; but names are looked up by "
        "the system's resolver, by whatever way that takes (only with --proxy none are looked up here)",
    ),
    Option(
        name="ip-filter",
        value="FILE",
        read=path,
        holds="file",
        help="Have nothing to do with the addresses in this list: eMule's, PeerGuardian's or CIDR lines",
    ),
    Option(
        name="port-mapping",
        value="on|off",
        default="on",
        read=numbers.on_or_off,
        help="Ask the router to let peers in (UPnP, NAT-PMP, PCP)",
    ),
    json(),
    Option(
        name="driver",
        value="DRIVER",
        default="native",
        choices=("native", "asyncio"),
        help="What moves the bytes: threads of its own, or the sockets of an asyncio loop",
    ),
)
"""Where we are reached, and whom we contact."""

DATA = Option(
    name="data",
    value="DIR",
    read=path,
    required=True,
    holds="folder",
    help="The folder that holds the files: what `download -o` would be given",
)

DOWNLOAD = Verb(
    name="download",
    about="Download a torrent; run again, it goes on from where it was",
    positionals=(
        Positional(
            value="TORRENT|MAGNET|URL",
            field="torrent",
            help="A torrent file, an http(s) URL of one, or a magnet link: of a torrent, or of a key that names one "
            "(BEP 46)",
        ),
    ),
    options=(
        Option(
            name="output",
            short="o",
            value="DIR",
            default=".",
            read=path,
            holds="folder",
            help="Download into this folder",
        ),
        *NETWORK,
        Option(
            name="select",
            value="INDEXES",
            read=numbers.indexes,
            help="Only these files, numbered as `inspect` lists them: 0,2,5-7",
        ),
        Option(name="high", value="INDEXES", read=numbers.indexes, help="Fetch these files before all others"),
        Option(name="low", value="INDEXES", read=numbers.indexes, help="Fetch these files after all others"),
        Option(name="sequential", help="Pieces in order rather than rarest first"),
        Option(name="seed", help="Go on seeding when it is complete, until interrupted"),
        Option(name="max-download", value="RATE", read=numbers.rate, help="Receive no more than this a second"),
    ),
)

SEED = Verb(
    name="seed",
    about="Seed torrents until interrupted",
    positionals=(
        Positional(value="TORRENT", field="torrents", read=path, many=True, holds="file", help="Torrent files"),
    ),
    options=(DATA, *NETWORK),
)

CREATE = Verb(
    name="create",
    about="Make a torrent of a file or a folder",
    positionals=(
        Positional(
            value="PATH",
            field="path",
            read=path,
            holds="file",
            help="A file or a folder; symbolic links in a folder are stored as links (BEP 47) if they stay inside it",
        ),
    ),
    options=(
        Option(
            name="output",
            short="o",
            value="FILE",
            read=path,
            holds="file",
            help="Where to write the torrent file, which replaces what is there [default: NAME.torrent in the current "
            "folder]",
        ),
        Option(name="v1", excludes=("v2", "hybrid"), help="For BitTorrent v1 alone"),
        Option(name="v2", excludes=("v1", "hybrid"), help="For BitTorrent v2 alone"),
        Option(name="hybrid", excludes=("v1", "v2"), help="For both: the default"),
        Option(
            name="piece-length",
            value="N",
            read=numbers.piece_length,
            help="Bytes of a piece: a power of two of at least 16K for v2 and hybrid [default: by size, about 1,500 "
            "pieces]",
        ),
        Option(
            name="tracker",
            value="URL",
            many=True,
            field="trackers",
            read=numbers.url,
            help=f"A tracker; {AGAIN}, each is tried after those before it",
        ),
        Option(
            name="web-seed",
            value="URL",
            many=True,
            field="web_seeds",
            read=numbers.url,
            help=f"A web seed (BEP 19); {AGAIN}",
        ),
        Option(name="private", help="Peers from trackers alone (BEP 27)"),
        Option(
            name="similar",
            value="HASH",
            many=True,
            read=numbers.info_hash,
            help=f"The info-hash, in hex, of a torrent that may hold the same files (BEP 38); {AGAIN}",
        ),
        Option(
            name="collection",
            value="NAME",
            many=True,
            field="collections",
            help=f"A collection that it belongs to, like org.example.series (BEP 38); {AGAIN}",
        ),
        Option(name="update-url", value="URL", read=numbers.url, help="Where newer torrents will be found (BEP 39)"),
        Option(
            name="originator",
            value="FILE",
            read=path,
            holds="file",
            help="The certificate of who signs newer torrents (BEP 39), X.509 in PEM or DER",
        ),
        Option(
            name="sign-key",
            value="FILE",
            read=path,
            holds="file",
            needs=("sign-certificate",),
            help="Sign it (BEP 35) with this RSA key, in PEM or DER",
        ),
        Option(
            name="sign-certificate",
            value="FILE",
            read=path,
            holds="file",
            needs=("sign-key",),
            help="The certificate of that key, X.509 in PEM or DER",
        ),
        Option(name="comment", value="TEXT", help="Free text to put into it"),
        json("One JSON object that says what was made"),
    ),
)

INSPECT = Verb(
    name="inspect",
    about="Show what a torrent file or a magnet link says",
    positionals=(Positional(value="TORRENT|MAGNET", field="torrent", help="A torrent file or a magnet link"),),
    options=(json("One JSON object"),),
)

VERIFY = Verb(
    name="verify",
    about="Check stored files against a torrent; exits 1 and names the files that are not whole",
    positionals=(Positional(value="TORRENT", field="file", read=path, holds="file", help="A torrent file"),),
    options=(
        DATA,
        json(
            "One JSON object: `complete`, `missing` as a list of `offset` and `length` (0: an empty file), and the "
            "`files` it is of"
        ),
    ),
)

NO_KIND = "default, if none of any kind is given: 0.0.0.0:6969"


def serve(name: str, words: str) -> Option:
    """Where something is served."""
    return Option(name=name, value="ADDR", many=True, read=numbers.address, help=words)


def listed(name: str, words: str) -> Option:
    """A file of the tracker's."""
    return Option(name=name, value="FILE", read=path, holds="file", help=words)


def most(name: str, default: str, words: str) -> Option:
    """A limit."""
    read = numbers.number(0, (1 << 64) - 1, signed=False)
    return Option(name=name, value="N", default=default, read=read, help=words)


TRACKER = Verb(
    name="tracker",
    about="Serve a tracker over UDP, HTTP and WebSockets until interrupted",
    options=(
        serve("http", f"Serve HTTP here; {AGAIN}, as all addresses [{NO_KIND}]"),
        serve("udp", f"Serve UDP here [{NO_KIND}]"),
        serve("ws", "Serve WebSockets here, for browsers (WebTorrent)"),
        serve(
            "stats",
            "Serve statistics here, over HTTP: /stats.json, /metrics for Prometheus, /events; not for the open "
            "Internet",
        ),
        Option(
            name="workers",
            value="N",
            read=numbers.number(1, 256),
            help="Threads that share the torrents [default: one a core]",
        ),
        listed(
            "allow",
            "Serve only the torrents in this file: an info-hash a line, v1 or v2, in hexadecimal digits; SIGHUP reads "
            "it again",
        ),
        listed("deny", "Don't serve the torrents in this file; likewise"),
        listed("state", "Keep torrents and peers here over a restart; saved every five minutes and at the end"),
        Option(
            name="interval",
            value="S",
            default="1800",
            read=numbers.number(1, 604_800),
            help="Seconds between a peer's announces; who is silent for twice as long is forgotten",
        ),
        most("max-torrents", "1000000", "Torrents held at the most; each worker has an equal share of the limit"),
        most("max-peers", "20000000", "Peers held at the most; about 40 bytes each over IPv4, 55 over IPv6"),
        most("max-peers-per-source", "64", "Peers of one IPv4 address or IPv6 /64 in a torrent"),
        json(),
    ),
)

DEMO = Verb(
    name="demo",
    about="Show it all at work on this machine alone: a tracker, a seed and several leeches over loopback",
    options=(
        Option(name="size", value="BYTES", default="64MiB", read=numbers.size, help="How much to share"),
        Option(name="leeches", value="N", default="4", read=numbers.number(1, 50), help="How many leeches"),
        json(),
    ),
)

COMPLETIONS = Verb(
    name="completions",
    about="Print a completion script for a shell",
    positionals=(Positional(value="SHELL", field="shell", choices=SHELLS, help="Which shell"),),
)

MAN = Verb(name="man", about=f"Print the manual page (for example: {PROGRAM} man > millstream.1)")

COMMAND = Verb(
    name=PROGRAM,
    about="Downloads, seeds and makes torrents",
    verbs=(DEMO, DOWNLOAD, SEED, CREATE, INSPECT, VERIFY, TRACKER, DHT, COMPLETIONS, MAN),
    after=AFTER,
)
"""All that can be said."""
