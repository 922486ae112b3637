"""The command, with the flags, the words and the exit codes of the binary. Owns no transfer; sessions do."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence

from ..errors import MillstreamError
from . import arguments, files, serve, transfer
from .lines import Trouble, complain

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)

RUN: dict[str, Callable[[arguments.Arguments], int]] = {
    "download": transfer.download,
    "seed": transfer.seed,
    "create": files.create,
    "inspect": files.inspect,
    "verify": files.verify,
    "tracker": serve.tracker,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = arguments.parse(argv)
    if args.verbose:
        logging.basicConfig(stream=sys.stderr, level=LEVELS[min(args.verbose, 2)])
    try:
        return RUN[args.command](args)
    except Trouble as trouble:
        if trouble.words:
            complain(trouble.words)
        return trouble.code
    except (MillstreamError, OSError) as error:
        complain(str(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
