"""`tracker`: a tracker until interrupted, and its lists read again at SIGHUP."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from .._millstream import TrackerServer
from .arguments import Arguments
from .lines import INTERRUPTED, Trouble, complain, say, say_json
from .numbers import show_address, show_error, show_path
from .signals import ENDING, end_now

DEFAULT_PORT = 6969

SHARE = 1.0
"""How long Python's own thread sleeps at most before it looks for signals. Seconds."""


def tracker(args: Arguments) -> int:
    """Serves."""
    # a queue that may be put into at any moment, also while this very thread takes from it; nothing with a lock may
    came, ending = SimpleQueue[int](), list[int]()

    def heed(number: int, _: FrameType | None) -> None:
        if number in ENDING:
            if ending:
                end_now()
            ending.append(number)
        came.put(number)

    for number in (*ENDING, signal.SIGHUP):
        signal.signal(number, heed)
    server = start(args)
    if warning := server.warning():
        warn(args, warning)
    listens(args, server)
    while take(came) not in ENDING:
        reload(args, server)
    torrents, peers, announces = server.counts()
    close(server)
    if args.json:
        say_json({"event": "stopped", "torrents": torrents, "peers": peers, "announces": announces})
    else:
        say(f"stopped with {torrents} torrents and {peers} peers after {announces} announces")
    return INTERRUPTED


def take(came: SimpleQueue[int]) -> int:
    """The next signal; one that comes just before a wait begins is heeded after it."""
    while True:
        with suppress(Empty):
            return came.get(timeout=SHARE)


def start(args: Arguments) -> TrackerServer:
    """A server as it is asked for."""
    none = not (args.http or args.udp or args.ws)
    default = [("0.0.0.0", DEFAULT_PORT)] if none else []
    settings = {} if args.workers is None else {"workers": args.workers}
    allow, deny = lists(args)
    return TrackerServer(
        udp=args.udp or default,
        http=args.http or default,
        ws=args.ws,
        stats=args.stats,
        allow=allow,
        deny=deny,
        state=args.state,
        interval=args.interval,
        max_torrents=args.max_torrents,
        max_peers=args.max_peers,
        max_peers_per_source=args.max_peers_per_source,
        **settings,
    )


def close(server: TrackerServer) -> None:
    """Stops in good order, on another thread: this one hears a second signal."""
    failed = list[BaseException]()

    def run() -> None:
        try:
            server.close()
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="millstream close")
    thread.start()
    while thread.is_alive():
        thread.join(SHARE)
    if failed:
        raise failed[0]


def lists(args: Arguments) -> tuple[str | None, str | None]:
    """The torrents that are allowed, and that are denied."""

    def text(path: str | None) -> str | None:
        if path is None:
            return None
        try:
            # as bytes: no end of line is anything else
            read = Path(path).read_bytes().decode()
            TrackerServer.check_list(read)
            return read
        except UnicodeDecodeError as error:
            raise Trouble(1, f"{show_path(path)}: stream did not contain valid UTF-8") from error
        except OSError as error:
            raise Trouble(1, f"{show_path(path)}: {show_error(error)}") from error
        except ValueError as error:
            raise Trouble(1, f"{show_path(path)}: {error}") from error

    return text(args.allow), text(args.deny)


def reload(args: Arguments, server: TrackerServer) -> None:
    """Reads the lists again. If that fails, what was served goes on being served."""
    try:
        server.set_rules(*lists(args))
    except Trouble as trouble:
        warn(args, trouble.words)
        return
    if args.json:
        say_json({"event": "reloaded"})
    else:
        say("the lists are read again")


def listens(args: Arguments, server: TrackerServer) -> None:
    """Says where it is reached."""
    shown = {kind: [show_address(at) for at in where] for kind, where in server.addresses().items()}
    if args.json:
        kinds = {kind: shown[kind] for kind in ("udp", "http", "ws", "stats")}
        say_json({"event": "listening", **kinds})
        return
    forms = {
        "udp": "udp://{}/announce",
        "http": "http://{}/announce",
        "ws": "ws://{}/",
        "stats": "http://{}/stats.json",
    }
    for kind, form in forms.items():
        for address in shown[kind]:
            say(form.format(address))


def warn(args: Arguments, words: str) -> None:
    """Something is amiss that doesn't stop it."""
    if args.json:
        say_json({"event": "warning", "message": words})
    complain(words)
