"""Episodes, played when they are there: `python subscription_player.py FEED_URL [PLAYER...]` until its input ends
(Ctrl-D). The feed is RSS or Atom, whose items name torrents; the player is any command that takes a path.

    TorrentFeedSubscriber -- TIPCEpisodeReady --> Player
"""

from __future__ import annotations

import subprocess

from Axon.Ipc import shutdown
from Axon.ThreadedComponent import threadedcomponent
from Kamaelia.Chassis.Graphline import Graphline
from stage import Input, Screen, arguments

from millstream.kamaelia.TorrentFeedSubscriber import TorrentFeedSubscriber


class Player(threadedcomponent):
    """Says that an episode is ready, and plays it; one after the other."""

    def __init__(self, command: list[str]) -> None:
        super().__init__()
        self.command = command

    def main(self):
        while not self.dataReady("control"):
            while self.dataReady("inbox"):
                episode = self.recv("inbox")
                print(episode, flush=True)
                if self.command:
                    subprocess.run([*self.command, episode.path], check=False)
            self.pause()
        self.send(shutdown(), "signal")


url, *player = arguments(__doc__, 1)
Graphline(
    FEED=TorrentFeedSubscriber(url, folder="."),
    PLAYER=Player(player),
    SCREEN=Screen(),
    INPUT=Input(shutdown()),
    linkages={
        ("FEED", "outbox"): ("PLAYER", "inbox"),
        ("FEED", "status"): ("SCREEN", "inbox"),
        ("INPUT", "signal"): ("FEED", "control"),
        ("FEED", "signal"): ("PLAYER", "control"),
        ("PLAYER", "signal"): ("SCREEN", "control"),
    },
).run()
