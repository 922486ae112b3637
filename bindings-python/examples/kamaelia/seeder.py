"""Seeds files: `python seeder.py TRACKER FILE...` until its input ends (Ctrl-D). Each gets a torrent of its own.

DataSource -- paths --> SeedingController -- TIPCSeeding --> Screen
Input -- shutdown --> SeedingController
"""

from __future__ import annotations

from Axon.Ipc import shutdown
from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.Util.DataSource import DataSource
from stage import Input, Screen, arguments

from millstream.kamaelia.ipc import TIPCSeeding
from millstream.kamaelia.SeedingController import SeedingController


def line(message: object) -> str:
    """The magnet link, for who wants the file."""
    return f"{message}: {message.magnet}" if isinstance(message, TIPCSeeding) else str(message)


tracker, *files = arguments(__doc__, 2)
Graphline(
    FILES=DataSource(files),
    SEEDS=SeedingController(tracker),
    SCREEN=Screen(line),
    INPUT=Input(shutdown()),
    linkages={
        ("FILES", "outbox"): ("SEEDS", "inbox"),
        ("SEEDS", "outbox"): ("SCREEN", "inbox"),
        ("INPUT", "signal"): ("SEEDS", "control"),
        ("SEEDS", "signal"): ("SCREEN", "control"),
    },
).run()
