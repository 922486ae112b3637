"""What sessions, engines and torrents are told by name: each setting with its unit, its default and its consequence."""

from __future__ import annotations

import ast
import itertools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

Address: TypeAlias = tuple[str, int]
"""An IP address in text, and a port."""

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""Anything that lends its bytes."""

Allocation: TypeAlias = Literal["sparse", "full", "none"]
"""How space is set aside: length at once and blocks when written, all at once, or as files grow."""

FilePriority: TypeAlias = Literal["low", "normal", "high"]
"""How much a file is wanted that is wanted at all: what is higher comes before all that is lower."""


class Settings(TypedDict, total=False):
    """Settings of an engine; durations in seconds, sizes in bytes, rates in bytes a second. Defaults end each."""

    peer_id: bytes
    """Our peer id, 20 bytes. Drawn by chance unless told, with `-MS` and the version before it (BEP 20)."""
    client: str
    """The client's name, as peers see it (BEP 10)."""
    torrents_max: int
    """Torrents at once; one more is refused. 1,000,000."""
    links_max: int
    """Links to peers at once, in and out; one more is refused, or waits. 20,000."""
    tracker_sockets_max: int
    """WebSockets to trackers at once, of all torrents; a tracker beyond them fails, and says so. 32."""
    torrent_links_max: int
    """Links of one torrent at once. 200."""
    half_open_max: int
    """Calls to peers that aren't answered yet, at once. More is hard on weak routers, fewer make starting slow. 50."""
    handshakes_max: int
    """Links whose handshake isn't done, at once; one more that comes in is refused. 200."""
    handshake_timeout: float
    """How long a link may take from its opening to the end of its handshake. 10 s."""
    connect_timeout: float
    """How long calling a peer may take. 10 s."""
    store_bytes_max: int
    """Bytes of a torrent in memory, on their way to the disk; beyond it no more are asked for. 16 MiB."""
    upload_ahead_bytes_max: int
    """Bytes read for one peer ahead of sending. More is faster to one peer, and costs as much for each. 128 KiB."""
    requests_outstanding_max: int
    """Blocks of 16 KiB asked of one peer at once. Fewer limit the rate over long paths. 512."""
    credit_bytes: int
    """Bytes that one link may deliver beyond what was taken in. More means larger reads. 512 KiB."""
    upload_slots: int | None
    """Peers that are served at once, over all torrents. Chosen by rate unless told."""
    seed_policy: Literal["round_robin", "fastest_upload", "anti_leech", "spreading"]
    """Whom a seed serves first. "spreading": who passes on what it was given."""
    download_rate: int | None
    """Limit of payload from peers, of all torrents together. None unless told."""
    upload_rate: int | None
    """Limit of payload to peers, of all torrents together. None unless told."""
    check_jobs_max: int
    """Jobs of one torrent that check stored data, at once. As many as there are cores keep them busy. 8."""
    save_interval: float
    """A change is in the resume data after so long at most. Shorter loses less in a crash, and syncs more. 60 s."""
    events_max: int
    """Events that wait for one reader of a stream; beyond it those that may be dropped are (`Lagged`). 1024."""
    numwant: int
    """Peers wanted from a tracker (BEP 3). 80."""
    announce_port: int | None
    """The port that trackers are told, where it isn't the one that is bound: a forwarded one. None unless told."""
    metadata_bytes_max: int
    """Metadata of a magnet link that is longer isn't fetched (BEP 9). 16 MiB."""
    encryption: Literal["off", "prefer", "require"]
    """Whether links are encrypted: "require" refuses peers that can't. "prefer"."""
    key_exchanges_max: int
    """Exchanges of keys at once, for encrypted links; the others wait their turn. 8."""
    dht: bool
    """Whether it takes part in the DHT (BEP 5). Without it a magnet link needs a tracker or a known peer. On."""
    lsd: bool
    """Whether peers in the local network are sought (BEP 14). On."""
    pex: bool
    """Whether peers tell each other of peers (BEP 11). On."""
    holepunch: bool
    """Whether peers behind routers are reached with the help of others (BEP 55). On."""
    web_seeds: bool
    """Whether web seeds are asked (BEP 19). On."""
    utp: Literal["on", "off", "only"] | bool
    """Whether links go over uTP (BEP 29), or over nothing else. On."""
    updates: bool
    """Whether newer torrents are looked for where torrents name a place for them (BEP 39). On, unless told."""


class SessionSettings(Settings, total=False):
    """Settings of a session, beside the engine's."""

    listen: Iterable[Address | str]
    """Where to listen, as pairs or as text: for links and datagrams alike. Port 0 lets the system choose one,
    the same for all; a port that is named and taken is a `StartError`, unless `listen_tries_max` is told too; nobody
    can reach a session that has none. Port 6881 on all addresses, or one of the 20 after it."""
    listen_tries_max: int
    """How many ports after it are tried where one is taken. 20; none where `listen` names a port."""
    allocation: Allocation
    """How space is set aside for torrents that don't say. "sparse"."""
    state_folder: str | None
    """Where resume data and the DHT's table are kept. `$XDG_STATE_HOME/millstream`, or `~/.local/state/millstream`."""
    keep_resume: bool
    """Whether resume data is kept and used at all. Without it all that is stored is checked at each `add`. On."""
    open_files_max: int
    """Files of torrents that are open at once. Fewer cost time in torrents of many files. 128."""
    pool_threads: int
    """Threads for disk and digests; 0 is one for each core. 0."""
    receive_bytes_max: int
    """The largest buffer that is read into. Larger ones save calls on fast links, and cost memory. 256 KiB."""
    sendfile_locally: bool
    """Whether `sendfile` serves peers on this host too: for tests and measuring. Off."""
    torrent_file_bytes_max: int
    """Torrent files that are longer aren't fetched. 64 MiB."""
    fetch_timeout: float
    """How long fetching a torrent file may take. 60 s."""
    dht_bootstrap: Iterable[Address | str]
    """Nodes by which the DHT is entered: pairs or text. The well-known ones unless told."""
    port_mapping: bool
    """Whether the router is asked to let peers in. On."""
    proxy: str | None
    """Everything goes through it or not at all: `socks5://[user:password@]host:port` or `http://...`. Nothing listens
    then, and no name is looked up here. None unless told."""
    router: str | None
    """The router that is asked for a port, over IPv4. The one of the system's default route unless told."""
    bind: str | None
    """The interface, or the local address, of all that goes out and comes in. The system's choice unless told."""
    ip_filter: str | None
    """The path of a list of addresses to have nothing to do with. None unless told."""
    seed: BytesLike | None
    """The engine's chance, 32 bytes, as secret as a key. The system's unless told: only tests set it."""
    tracker_bytes_max: int
    """Answers of trackers that are longer fail. 2 MiB."""
    newcomer_credit_bytes: int
    """What a peer may take before it must have given. Little starves slow starters, much feeds free riders. 4 MiB."""


class AddOptions(TypedDict, total=False):
    """How a torrent is taken on.

    With `files=[]` nothing is wanted but what is read: `Status.wanted` grows by the pieces that reading asks for,
    `verified` and `progress` count of those, so that it is "seeding" at 1.0, with a `Completed`, each time they are all
    there. How much of a file is there say `TorrentFile.verified` and `TorrentFile.progress`."""

    peers: Iterable[Address | str]
    """Peers to begin with: pairs or text, `127.0.0.1:6881`, `[::1]:6881`. `Session.look_up` gives those of a name."""
    trackers: Sequence[Sequence[str] | str] | None
    """Its trackers in tiers (BEP 12), each a list or a URL alone, in place of those that it names and of those that
    were kept. None unless told."""
    only_peers: bool
    """Nobody is contacted but `peers`, and who comes in: no tracker, no DHT, no neighbours, no web seed."""
    paused: bool
    """It doesn't start yet."""
    sequential: bool
    """Pieces in order, rather than the rarest first."""
    resume: BytesLike | None
    """Resume data, as a `Save` job gave it; what the session kept itself, unless told. What is damaged is set aside."""
    files: Iterable[int | str] | None
    """The files that are wanted, by their numbers, as `Torrent.files` counts them, or as `Torrent.select` takes them,
    by path or unique name: `NoSuchFile` if there is none, `CommandError` for names of a magnet link, whose files aren't
    known yet. An engine without a session takes numbers. What resume data or a magnet link says, else all."""
    priorities: Mapping[int | str, FilePriority] | None
    """Which files come before others or after them, as `files` takes them; those that aren't named are normal. What
    resume data says, unless told."""
    super_seed: bool
    """While it seeds, pieces are shown one by one, each to somebody else (BEP 16)."""
    allocation: Allocation
    """How space is set aside. What the session does, unless told."""
    download_rate: int | None
    """Limit of payload from peers. Bytes a second; none unless told."""
    upload_rate: int | None
    """Limit of payload to peers. Bytes a second; none unless told."""


def meanings(*kinds: type) -> dict[str, str]:
    """What each name of these means, as it is said behind it; nothing where the source isn't at hand."""
    try:
        tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return {}
    bodies = {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
    found: dict[str, str] = {}
    for kind in kinds:
        for field, said in itertools.pairwise(bodies[kind.__name__]):
            match field, said:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
                case _:
                    pass
    return found


def explain(takes: Callable[..., None]) -> None:
    """Appends to its docstring what each setting of a session means."""
    said = meanings(SessionSettings, Settings)
    if takes.__doc__ is None or not said:
        return
    lines = [takes.__doc__, "", "Settings, by name. Durations in seconds, sizes in bytes, rates in bytes a second."]
    lines.append("Defaults end each.")
    for name, text in said.items():
        lines += ["", f"{name}:", *textwrap.wrap(text, 96, initial_indent="    ", subsequent_indent="    ")]
    takes.__doc__ = "\n".join(lines)
