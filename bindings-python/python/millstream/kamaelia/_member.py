"""Being a client of the TorrentService: finding it, making it if there is none, talking to it, leaving it. For
components that want torrents and are no TorrentPatron."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._axon import Component
from .ipc import TIPCServiceAddExtended
from .TorrentIPC import TIPCServicePassOn, TIPCServiceRemove
from .TorrentService import TorrentService

if TYPE_CHECKING:
    from ._axon import Box


class Member:
    """A component's membership. The component has an inbox `_torrents` for what it is told, and an outbox `_service`.
    `options` count if the service has to be made."""

    INBOX = "_torrents"
    OUTBOX = "_service"

    def __init__(self, component: Component, options: dict[str, Any]) -> None:
        self._component = component
        self._options = options
        self._me: Box = (component, self.INBOX)
        self._service: Component | None = None

    def join(self) -> None:
        """Becomes a client. In the scheduler's thread, as all of this."""
        component = self._component
        if self._service is not None:
            component.unlink(thecomponent=self._service)
        notify, _, made = TorrentService.getTorrentServices(component.tracker, **self._options)
        self._service = notify[0]
        component.link((component, self.OUTBOX), notify)
        component.send(TIPCServiceAddExtended(replyService=self._me), self.OUTBOX)
        if made is not None:
            component.addChildren(made)
            made.activate()

    def ask(self, message: object) -> None:
        """Passes a message on to the client."""
        if self._service is None or self._service._isStopped():
            self.join()
        self._component.send(TIPCServicePassOn(replyService=self._me, message=message), self.OUTBOX)

    def leave(self) -> None:
        """Is no client any more; its torrents end."""
        if self._service is not None:
            self._component.send(TIPCServiceRemove(replyService=self._me), self.OUTBOX)
