"""A live stream from many: `python live_sink.py FEED_URL FILE [SECONDS]` writes the stream of a live_source to a
file, or to a pipe that a player reads, and ends with it. It looks for new chunks every so many seconds.

    StreamSubscriber -- bytes --> SimpleFileWriter
    StreamSubscriber -- TIPCTorrentError --> Screen
"""

from __future__ import annotations

from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.File.Writing import SimpleFileWriter
from stage import Screen, arguments

from millstream.kamaelia.StreamSubscriber import StreamSubscriber

feed, path, *seconds = arguments(__doc__, 2)
Graphline(
    STREAM=StreamSubscriber(feed, interval=float(seconds[0] if seconds else 5)),
    FILE=SimpleFileWriter(path),
    SCREEN=Screen(),
    linkages={
        ("STREAM", "outbox"): ("FILE", "inbox"),
        ("STREAM", "status"): ("SCREEN", "inbox"),
        ("STREAM", "signal"): ("FILE", "control"),
        ("FILE", "signal"): ("SCREEN", "control"),
    },
).run()
