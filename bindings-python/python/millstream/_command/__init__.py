"""The command, with the flags, the words and the exit codes of the binary. Owns no transfer; sessions do."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence

from .._millstream import __version__
from ..errors import MillstreamError
from . import arguments, demo, dht, files, grammar, helped, manual, serve, transfer
from .lines import INTERRUPTED, Trouble, clean, complain, say_bytes, to_stderr
from .numbers import show_error

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

RUN: dict[str, Callable[[arguments.Arguments], int]] = {
    "demo": demo.demo,
    "download": transfer.download,
    "seed": transfer.seed,
    "create": files.create,
    "inspect": files.inspect,
    "verify": files.verify,
    "tracker": serve.tracker,
    "dht": dht.dht,
    "completions": manual.completions,
    "man": manual.man,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        args = arguments.read(sys.argv[1:] if argv is None else argv)
    except grammar.Usage as wrong:
        return refuse(wrong)
    except grammar.VersionAsked:
        say_bytes(f"millstream {__version__}\n".encode())
        return 0
    except grammar.HelpAsked as wanted:
        text = helped.help_of(wanted.asked)
        if wanted.by_mistake:
            to_stderr(text)
            return 2
        say_bytes(text.encode())
        return 0
    if args.verbose:
        logging.basicConfig(stream=sys.stderr, level=LEVELS[min(args.verbose, 2)])
    try:
        return RUN[args.verbs[0]](args)
    except Trouble as trouble:
        if trouble.words:
            complain(trouble.words)
        return trouble.code
    except MillstreamError as error:
        complain(str(error))
        return 1
    except OSError as error:
        complain(show_error(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


def refuse(wrong: grammar.Usage) -> int:
    """It was asked for wrongly."""
    first, *rest = wrong.words.split("\n")
    complain(first)
    for line in rest:
        to_stderr(f"{clean(line)}\n")
    if wrong.asked is not None:
        to_stderr(f"\nUsage: {helped.usage(wrong.asked)}\n")
    to_stderr("\nFor more information, try '--help'.\n")
    return 2
