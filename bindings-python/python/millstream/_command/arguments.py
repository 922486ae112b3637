"""The command's arguments, and what its help says of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .._millstream import __version__
from . import numbers

EXIT_CODES = """\
Exit codes:
  0    done: all is verified
  1    failed; one sentence on stderr says what and where
  2    wrong usage
  130  interrupted (SIGINT or SIGTERM): trackers are told and progress is kept, within 5 seconds

Sizes and rates are bytes, or a number with a unit: K, M and G (or KiB, MiB, GiB) count in 1024s, KB, MB and GB in
1000s. Rates may end in /s.
"""


@dataclass
class Arguments(argparse.Namespace):
    """What was given. Each subcommand reads its own part."""

    command: str = ""
    verbose: int = 0
    json: bool = False
    torrent: str = ""
    torrents: list[str] = field(default_factory=list)
    data: Path = Path()
    output: Path | None = None
    listen: list[tuple[str, int]] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    only_peers: bool = False
    max_upload: int | None = None
    max_download: int | None = None
    no_dht: bool = False
    dht_bootstrap: list[tuple[str, int]] = field(default_factory=list)
    no_lsd: bool = False
    no_pex: bool = False
    no_web_seeds: bool = False
    utp: Literal["on", "off", "only"] = "on"
    encryption: Literal["off", "prefer", "require"] = "prefer"
    proxy: str | None = None
    bind: str | None = None
    ip_filter: str | None = None
    port_mapping: Literal["on", "off"] = "on"
    driver: Literal["native", "asyncio"] = "native"
    select: list[int] | None = None
    sequential: bool = False
    seed: bool = False
    path: Path = Path()
    version: Literal["v1", "v2", "hybrid"] = "hybrid"
    piece_length: int | None = None
    trackers: list[str] = field(default_factory=list)
    web_seeds: list[str] = field(default_factory=list)
    private: bool = False
    similar: list[bytes] = field(default_factory=list)
    collections: list[str] = field(default_factory=list)
    update_url: str | None = None
    comment: str | None = None
    http: list[tuple[str, int]] = field(default_factory=list)
    udp: list[tuple[str, int]] = field(default_factory=list)
    ws: list[tuple[str, int]] = field(default_factory=list)
    stats: list[tuple[str, int]] = field(default_factory=list)
    workers: int | None = None
    allow: Path | None = None
    deny: Path | None = None
    state: Path | None = None
    interval: int = 1800
    max_torrents: int = 1_000_000
    max_peers: int = 20_000_000
    max_peers_per_source: int = 64


def parse(argv: Sequence[str] | None) -> Arguments:
    """Reads the arguments; a wrong one ends the process with 2."""
    return parser().parse_args(argv, namespace=Arguments())


def parser() -> argparse.ArgumentParser:
    """All that can be said."""
    form = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-v", "--verbose", action="count", default=argparse.SUPPRESS, help="log to stderr; twice for more"
    )
    top = argparse.ArgumentParser(
        "python -m millstream",
        description="Downloads, seeds and makes torrents.",
        epilog=EXIT_CODES,
        formatter_class=form,
        parents=[common],
    )
    top.add_argument("-V", "--version", action="version", version=f"millstream {__version__}", dest="shown")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="one JSON object a line")
        return made

    download = command("download", "Download a torrent; run again, it goes on from where it was")
    download.add_argument("torrent", metavar="TORRENT|MAGNET|URL")
    download.add_argument("-o", "--output", metavar="DIR", type=Path, default=Path(), help="download into this folder")
    network(download)
    download.add_argument("--select", metavar="INDEXES", type=numbers.indexes, help="only these files: 0,2,5-7")
    download.add_argument("--sequential", action="store_true", help="pieces in order rather than rarest first")
    download.add_argument("--seed", action="store_true", help="go on seeding when it is complete, until interrupted")
    download.add_argument(
        "--max-download", metavar="RATE", type=numbers.rate, help="receive no more than this a second"
    )
    seed = command("seed", "Seed torrents until interrupted")
    seed.add_argument("torrents", metavar="TORRENT", nargs="+")
    seed.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder that holds the files")
    network(seed)
    making(command("create", "Make a torrent of a file or a folder"))
    inspect = command("inspect", "Show what a torrent file or a magnet link says")
    inspect.add_argument("torrent", metavar="TORRENT|MAGNET")
    verify = command("verify", "Check stored files against a torrent; exits 1 if they are not whole")
    verify.add_argument("torrent")
    verify.add_argument("--data", metavar="DIR", type=Path, required=True, help="the folder that holds the files")
    serving(command("tracker", "Serve a tracker over UDP, HTTP and WebSockets until interrupted"))
    return top


def network(to: argparse.ArgumentParser) -> None:
    """Where we are reached, and whom we contact."""
    add = to.add_argument
    add("--listen", metavar="ADDR", action="append", type=numbers.address, default=[], help="listen here")
    add(
        "--peer",
        metavar="ADDR",
        action="append",
        type=numbers.host_and_port,
        default=[],
        dest="peers",
        help="contact this peer",
    )
    add("--only-peers", action="store_true", help="contact nobody but the given peers and who comes in")
    add("--max-upload", metavar="RATE", type=numbers.rate, help="send no more than this a second")
    add("--no-dht", action="store_true", help="take no part in the DHT (BEP 5)")
    add(
        "--dht-bootstrap",
        metavar="ADDR",
        action="append",
        type=numbers.host_and_port,
        default=[],
        help="enter the DHT by this node",
    )
    add("--no-lsd", action="store_true", help="seek no peers in the local network (BEP 14)")
    add("--no-pex", action="store_true", help="exchange no peers with peers (BEP 11)")
    add("--no-web-seeds", action="store_true", help="fetch nothing from web seeds (BEP 19)")
    add("--utp", choices=("on", "off", "only"), default="on", help="links over uTP (BEP 29)")
    add("--encryption", choices=("off", "prefer", "require"), default="prefer", help="encrypted links")
    add("--proxy", metavar="URL", help="everything goes through this proxy or not at all")
    add("--bind", metavar="IFACE|ADDR", help="use this interface or local address only")
    add("--ip-filter", metavar="FILE", help="have nothing to do with the addresses in this list")
    add("--port-mapping", choices=("on", "off"), default="on", help="ask the router to let peers in")
    add(
        "--driver",
        choices=("native", "asyncio"),
        default="native",
        help="threads of its own, or the sockets of asyncio",
    )


def making(to: argparse.ArgumentParser) -> None:
    """What a torrent is made like."""
    add = to.add_argument
    add("path", metavar="PATH", type=Path, help="a file or a folder")
    add("-o", "--output", metavar="FILE", type=Path, help="where to write the torrent file [default: NAME.torrent]")
    versions = to.add_mutually_exclusive_group()
    for version in ("v1", "v2", "hybrid"):
        versions.add_argument(f"--{version}", action="store_const", const=version, dest="version", default="hybrid")
    add("--piece-length", metavar="N", type=numbers.size, help="bytes of a piece")
    add("--tracker", metavar="URL", action="append", type=numbers.url, default=[], dest="trackers", help="a tracker")
    add("--web-seed", metavar="URL", action="append", type=numbers.url, default=[], dest="web_seeds", help="a web seed")
    add("--private", action="store_true", help="peers from trackers alone (BEP 27)")
    add(
        "--similar",
        metavar="HASH",
        action="append",
        type=numbers.info_hash,
        default=[],
        help="a torrent that may hold the same files (BEP 38)",
    )
    add(
        "--collection",
        metavar="NAME",
        action="append",
        default=[],
        dest="collections",
        help="a collection that it belongs to (BEP 38)",
    )
    add("--update-url", metavar="URL", type=numbers.url, help="where newer torrents will be found (BEP 39)")
    add("--comment", metavar="TEXT", help="free text to put into it")


def serving(to: argparse.ArgumentParser) -> None:
    """How a tracker is served."""
    add = to.add_argument
    for kind in ("http", "udp", "ws", "stats"):
        add(f"--{kind}", metavar="ADDR", action="append", type=numbers.address, default=[], help=f"serve {kind} here")
    add("--workers", metavar="N", type=int, choices=range(1, 257), help="threads that share the torrents")
    for kind in ("allow", "deny", "state"):
        add(f"--{kind}", metavar="FILE", type=Path)
    add("--interval", metavar="S", type=int, default=1800, help="seconds between a peer's announces")
    add("--max-torrents", metavar="N", type=int, default=1_000_000, help="torrents held at the most")
    add("--max-peers", metavar="N", type=int, default=20_000_000, help="peers held at the most")
    add("--max-peers-per-source", metavar="N", type=int, default=64, help="peers of one IPv4 address or IPv6 /64")
