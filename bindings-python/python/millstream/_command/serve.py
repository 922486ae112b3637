"""`tracker`: a tracker until interrupted, and its lists read again at SIGHUP."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

from .._millstream import TrackerServer
from .arguments import Arguments
from .lines import Output, Trouble, complain
from .numbers import show_address

DEFAULT_PORT = 6969


def tracker(args: Arguments) -> int:
    """Serves."""
    output = Output(args.json)
    none = not (args.http or args.udp or args.ws)
    default = [("0.0.0.0", DEFAULT_PORT)] if none else []
    settings = {} if args.workers is None else {"workers": args.workers}
    woken, signals = threading.Event(), list[int]()

    def heed(number: int, _: FrameType | None) -> None:
        signals.append(number)
        woken.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, heed)
    allow, deny = lists(args)
    server = TrackerServer(
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
    if warning := server.warning():
        warn(output, warning)
    listens(output, server)
    while not {signal.SIGINT, signal.SIGTERM} & set(signals):
        woken.wait()
        woken.clear()
        if signal.SIGHUP in signals:
            signals[:] = [number for number in signals if number != signal.SIGHUP]
            reload(args, output, server)
    torrents, peers, announces = server.counts()
    server.close()
    words = f"stopped with {torrents} torrents and {peers} peers after {announces} announces"
    output.say(words, "stopped", torrents=torrents, peers=peers, announces=announces)
    return 130


def lists(args: Arguments) -> tuple[str | None, str | None]:
    """The torrents that are allowed, and that are denied."""

    def text(path: Path | None) -> str | None:
        try:
            return None if path is None else path.read_text()
        except (OSError, ValueError) as error:
            raise Trouble(1, f"{path}: {error}") from error

    return text(args.allow), text(args.deny)


def reload(args: Arguments, output: Output, server: TrackerServer) -> None:
    """Reads the lists again. If that fails, what was served goes on being served."""
    try:
        server.set_rules(*lists(args))
    except Trouble as trouble:
        warn(output, trouble.words)
    except ValueError as error:
        warn(output, str(error))
    else:
        output.say("the lists are read again", "reloaded")


def listens(output: Output, server: TrackerServer) -> None:
    """Says where it is reached."""
    shown = {kind: [show_address(at) for at in where] for kind, where in server.addresses().items()}
    if output.as_json:
        output.say(None, "listening", udp=shown["udp"], http=shown["http"], ws=shown["ws"], stats=shown["stats"])
        return
    forms = {
        "udp": "udp://{}/announce",
        "http": "http://{}/announce",
        "ws": "ws://{}/",
        "stats": "http://{}/stats.json",
    }
    for kind, form in forms.items():
        for address in shown[kind]:
            output.say(form.format(address), "listening")


def warn(output: Output, words: str) -> None:
    """Something is amiss that doesn't stop it."""
    if output.as_json:
        output.say(None, "warning", message=words)
    complain(words)
