"""TorrentService: one TorrentClient for all TorrentPatrons. In place of Kamaelia's, with its interface.

It owns whom an answer is for: answers to creates go to the askers in the order of asking, everything else to who owns
the torrent of its id. It is made by the first patron, ends after the last one left, and is found as the services
"torrentsrv" (its notify) and "torrentsrvshutdown" (its control) of the coordinating assistant tracker.

    notify           TIPCServiceAdd, TIPCServiceRemove, TIPCServicePassOn; anything else is told of at debug
    inbox            what the client tells
    control          shutdown or shutdownMicroprocess end it; nothing else does
    _torrentcontrol  producerFinished of the client
    outbox, signal   to the client's inbox and control
    debug            texts about what it can't use
    clientoutbox*    one for each patron

A create that can't be answered because the service ends is answered by TIPCTorrentStartFail. The torrents of a patron
that left go to who was told that they run already, or else are closed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._axon import AdaptiveComponent, Component, coordinating_tracker, producerFinished, shutdown
from ._engine import Engine
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import is_a, reason_of, told
from ._torrents import COMMANDS
from .ipc import (
    TIPCMetadata,
    TIPCOpenTorrent,
    TIPCQueryStatus,
    TIPCServiceAddExtended,
    TIPCTorrentComplete,
    TIPCTorrentError,
    TIPCTorrentOpened,
)
from .TorrentClient import TorrentClient
from .TorrentIPC import (
    IPC,
    TIPCCloseTorrent,
    TIPCNewTorrentCreated,
    TIPCServiceAdd,
    TIPCServicePassOn,
    TIPCServiceRemove,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)

if TYPE_CHECKING:
    from ._axon import Box, Main, Tracker

__all__ = ["TorrentService"]

log = logging.getLogger("millstream")

SERVICE = "torrentsrv"
SHUTDOWN_SERVICE = "torrentsrvshutdown"

_EXTENDED = (TIPCMetadata, TIPCTorrentComplete, TIPCTorrentError, TIPCTorrentOpened)
_TOLD = (
    *_EXTENDED,
    TIPCNewTorrentCreated,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)


@dataclass(slots=True, eq=False)
class _Patron:
    reply: Box
    box: str
    extended: bool
    gone: bool = False


@dataclass(slots=True)
class _Torrent:
    owner: _Patron
    # who asked for it too, who asked how it is, who is to be given it
    sharers: list[_Patron] = field(default_factory=list)
    asking: list[_Patron] = field(default_factory=list)
    opening: deque[_Patron] = field(default_factory=deque)


class TorrentService(AdaptiveComponent):
    """TorrentService() -> a component that shares one TorrentClient. Its keywords are those of the client."""

    Inboxes = {
        "control": "Shut me down",
        "inbox": "Feedback from the TorrentClient",
        "notify": "Messages from TorrentPatrons",
        "_torrentcontrol": "The TorrentClient has shut down",
    }
    Outboxes = {
        "outbox": "Commands for the TorrentClient",
        "signal": "Shut the TorrentClient down",
        "debug": "What I can't use",
    }

    def __init__(
        self,
        *,
        tickInterval: float = 5,
        session: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        savefolder: str | Path = "./",
    ) -> None:
        super().__init__()
        self._options: dict[str, Any] = {
            "tickInterval": tickInterval,
            "session": session,
            "settings": settings,
            "savefolder": savefolder,
        }
        self._out = Outgoing(self)
        self._client: Component | None = None
        self._ended = False
        self._client_stopping = False
        self._stopping = False
        self._patrons: list[_Patron] = []
        self._asked: deque[_Patron] = deque()
        self._torrents: dict[int, _Torrent] = {}

    @staticmethod
    def getTorrentServices(tracker: Tracker | None = None, **options: Any) -> tuple[Box, Box, TorrentService | None]:
        """The notify and control boxes of the service, and the service itself if it had to be made (with `options`):
        whoever gets it activates it."""
        tracker = tracker or coordinating_tracker()
        try:
            return tracker.retrieveService(SERVICE), tracker.retrieveService(SHUTDOWN_SERVICE), None
        except KeyError:
            service = TorrentService(**options)
            TorrentService.setTorrentServices(service, tracker)
            return (service, "notify"), (service, "control"), service

    @staticmethod
    def setTorrentServices(srv: Component, tracker: Tracker | None = None) -> None:
        """Lets patrons find this service."""
        tracker = tracker or coordinating_tracker()
        tracker.registerService(SERVICE, srv, "notify")
        tracker.registerService(SHUTDOWN_SERVICE, srv, "control")

    @staticmethod
    def endTorrentServices(tracker: Tracker | None = None) -> None:
        """Lets nobody find the service any more."""
        tracker = tracker or coordinating_tracker()
        tracker.deRegisterService(SERVICE)
        tracker.deRegisterService(SHUTDOWN_SERVICE)

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        while True:
            try:
                self._step()
            except Exception as error:
                log.warning("a TorrentService failed at a message", exc_info=error)
                self._complain(f"a message: {reason_of(error)}")
            self._out.flush()
            if self._is_over():
                break
            if not self.anyReady() or len(self._out) >= MESSAGES_MAX:
                self.pause()
            yield 1
        self._deregister()
        self._out.flush()

    # ---- a step

    def _step(self) -> None:
        while self.dataReady("_torrentcontrol"):
            message = self.recv("_torrentcontrol")
            if not is_a(message, producerFinished):
                self._complain(f"a {type(message).__name__} on _torrentcontrol")
            else:
                # what it said before it ended
                while self.dataReady("inbox"):
                    self._on_told(self.recv("inbox"))
                self._on_client_gone()
        if told(self, refuse=lambda message: self._complain(f"a {type(message).__name__} on control")) == "now":
            self._stopping = True
        while self.dataReady("inbox"):
            self._on_told(self.recv("inbox"))
        while len(self._out) < MESSAGES_MAX and self.dataReady("notify"):
            # a client that ends takes nothing more: a patron that comes meanwhile waits for the next one
            if self._client_stopping and not self._stopping:
                break
            self._on_notify(self.recv("notify"))
        if self._client is not None and not self._client_stopping and (self._stopping or self._is_alone()):
            self._client_stopping = True
            self.send(shutdown(), "signal")

    def _is_alone(self) -> bool:
        return self._ended and not self._patrons and not self.dataReady("notify")

    def _is_over(self) -> bool:
        if self._client is not None or self.dataReady("notify"):
            return False
        return self._stopping or (self._ended and not self._patrons)

    # ---- from patrons

    def _on_notify(self, message: object) -> None:
        reply: Any = getattr(message, "replyService", None) if is_a(message, IPC) else None
        if not (is_a(reply, tuple) and len(reply) == 2 and is_a(reply[0], Component) and is_a(reply[1], str)):
            self._complain(f"a {type(message).__name__} on notify that names no box to reply to")
            return
        patron = next((patron for patron in self._patrons if patron.reply == reply), None)
        match message:
            case TIPCServicePassOn() if patron is not None:
                self._pass_on(patron, message.message)
            case TIPCServicePassOn():
                self._complain("a message of one who is no client")
            case TIPCServiceAdd() if patron is not None:
                patron.extended = isinstance(message, TIPCServiceAddExtended)
            case TIPCServiceAdd():
                self._add(reply, isinstance(message, TIPCServiceAddExtended))
            case TIPCServiceRemove() if patron is not None:
                self._remove(patron)
            case _:
                self._complain(f"a {type(message).__name__} on notify")

    def _add(self, reply: Box, extended: bool) -> None:
        if reply[1] not in reply[0].inboxes:
            self._complain(f"a client without an inbox of the name {reply[1]}")
            return
        patron = _Patron(reply, self.addOutbox("clientoutbox"), extended)
        self.link((self, patron.box), reply)
        self._patrons.append(patron)
        if self._client is None and not self._stopping:
            self._start_client()

    def _remove(self, patron: _Patron) -> None:
        patron.gone = True
        self._patrons.remove(patron)
        self._out.drop(patron.box)
        self.unlink(thecomponent=patron.reply[0])
        # other boxes of the same component may still be clients
        for other in self._patrons:
            if other.reply[0] is patron.reply[0]:
                self.link((self, other.box), other.reply)
        self.deleteOutbox(patron.box)
        for torrentid, torrent in list(self._torrents.items()):
            torrent.asking = [asker for asker in torrent.asking if asker is not patron]
            torrent.sharers = [sharer for sharer in torrent.sharers if sharer is not patron]
            if torrent.owner is not patron:
                continue
            if torrent.sharers:
                torrent.owner = torrent.sharers.pop(0)
            else:
                del self._torrents[torrentid]
                self._out.put(TIPCCloseTorrent(torrentid=torrentid))
        self._ended = not self._patrons

    def _pass_on(self, patron: _Patron, message: Any) -> None:
        if self._client is None or self._stopping:
            if not is_a(message, *COMMANDS):
                self._tell(patron, TIPCTorrentStartFail())
            return
        if is_a(message, *COMMANDS):
            torrentid = getattr(message, "torrentid", -1)
            torrent = self._torrents.get(torrentid) if type(torrentid) is int else None
            if torrent is None and torrentid is not None:
                self._tell(patron, TIPCTorrentError(torrentid=torrentid, message="no such torrent"))
                return
            if torrent is not None and isinstance(message, TIPCCloseTorrent):
                self._torrents.pop(message.torrentid)
            if torrent is not None and isinstance(message, TIPCQueryStatus):
                torrent.asking.append(patron)
            if torrent is not None and isinstance(message, TIPCOpenTorrent):
                torrent.opening.append(patron)
        else:
            self._asked.append(patron)
        self._out.put(message)

    # ---- from the client

    def _on_told(self, message: Any) -> None:
        if not is_a(message, *_TOLD):
            self._complain(f"a {type(message).__name__} of the client's")
            return
        match message:
            case TIPCNewTorrentCreated():
                patron = self._next_asker()
                if patron is not None and not patron.gone:
                    self._torrents[message.torrentid] = _Torrent(patron)
                    self._tell(patron, message)
                else:
                    self._out.put(TIPCCloseTorrent(torrentid=message.torrentid))
            case TIPCTorrentAlreadyDownloading():
                patron = self._next_asker()
                torrent = self._torrents.get(message.torrentid)
                if patron is not None and not patron.gone:
                    if torrent is not None and patron is not torrent.owner and patron not in torrent.sharers:
                        torrent.sharers.append(patron)
                    self._tell(patron, message)
            case TIPCTorrentStartFail():
                patron = self._next_asker()
                if patron is not None:
                    self._tell(patron, message)
            case TIPCTorrentError() if message.torrentid is None:
                # says why the oldest create fails, whose answer comes next
                if self._asked:
                    self._tell(self._asked[0], message)
            case _:
                self._route(message)

    def _route(self, message: Any) -> None:
        torrentid = getattr(message, "torrentid", None)
        torrent = self._torrents.get(torrentid) if type(torrentid) is int else None
        if torrent is None:
            # one that was closed meanwhile
            return
        if isinstance(message, TIPCTorrentOpened):
            if torrent.opening:
                self._tell(torrent.opening.popleft(), message)
            return
        self._tell(torrent.owner, message)
        if isinstance(message, TIPCTorrentStatusUpdate) and torrent.asking:
            for asker in dict.fromkeys(torrent.asking):
                if asker is not torrent.owner:
                    self._tell(asker, message)
            torrent.asking = []

    def _next_asker(self) -> _Patron | None:
        if not self._asked:
            self._complain("an answer that nobody asked for")
            return None
        return self._asked.popleft()

    def _tell(self, patron: _Patron, message: object) -> None:
        if patron.gone:
            return
        if patron.extended or not is_a(message, *_EXTENDED):
            self._out.put(message, patron.box)
        elif isinstance(message, TIPCTorrentError):
            # for who doesn't expect such messages
            log.warning("a TorrentPatron's command failed: %s", message.message)

    # ---- the client's life

    def _start_client(self) -> None:
        client = TorrentClient(extended=True, **self._options)
        self.link((self, "outbox"), (client, "inbox"))
        self.link((self, "signal"), (client, "control"))
        self.link((client, "outbox"), (self, "inbox"))
        self.link((client, "signal"), (self, "_torrentcontrol"))
        self.addChildren(client)
        client.activate()
        self._client, self._client_stopping, self._ended = client, False, False

    def _on_client_gone(self) -> None:
        if self._client is not None:
            self.removeChild(self._client)
        self._client, self._client_stopping = None, False
        self._out.drop("outbox")
        self._torrents.clear()
        while self._asked:
            self._tell(self._asked.popleft(), TIPCTorrentStartFail())
        if self._patrons and not self._stopping:
            self._start_client()

    def _deregister(self) -> None:
        try:
            if self.tracker.retrieveService(SERVICE)[0] is self:
                TorrentService.endTorrentServices(self.tracker)
        except KeyError:
            log.debug("the TorrentService was deregistered by somebody else")

    def _complain(self, text: str) -> None:
        log.warning("a TorrentService can't use %s", text)
        self.send(text, "debug")


__kamaelia_components__ = (TorrentService,)
