"""A tracker that says how busy it is: `python tracker_statistics.py PORT [SECONDS]` until its input ends (Ctrl-D).

TorrentTracker -- TIPCTrackerStarted, TIPCTrackerStats --> Screen
"""

from __future__ import annotations

from Axon.Ipc import shutdown
from Kamaelia.Chassis.Graphline import Graphline
from stage import Input, Screen, arguments, is_local

from millstream.kamaelia.TorrentTracker import TorrentTracker

port, *seconds = arguments(__doc__, 1)
Graphline(
    TRACKER=TorrentTracker(
        "127.0.0.1" if is_local() else "0.0.0.0", int(port), interval=float(seconds[0] if seconds else 10)
    ),
    SCREEN=Screen(),
    INPUT=Input(shutdown()),
    linkages={
        ("TRACKER", "outbox"): ("SCREEN", "inbox"),
        ("INPUT", "signal"): ("TRACKER", "control"),
        ("TRACKER", "signal"): ("SCREEN", "control"),
    },
).run()
