"""The engine on the sockets of an asyncio loop, whichever loop that is. Owns no rule of the protocol, and no
payload."""

from .backend import AsyncioBackend

__all__ = ["AsyncioBackend"]
