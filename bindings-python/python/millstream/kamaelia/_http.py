"""Fetching by HTTP, for components: one question, one answer, in a thread of its own.

`SimpleHTTPClient` takes the place of Kamaelia's of that name.

    inbox    a URL (str, or bytes), or a dict of "url" and any of "postbody" (bytes or str), "extraheaders" (a dict) and
             "method"
    control  producerFinished ends it when all questions are answered, shutdown and shutdownMicroprocess after the one
             that is asked now; other messages are logged
    outbox   for each question, in order, the body of the answer as bytes; empty if there is none: the host is to blame,
             the server, or the question. The log says why.
    signal   producerFinished when it has ended
    debug    not used
"""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ._signals import reason_of
from ._worker import Worker

__all__ = ["FetchFailed", "Page", "SimpleHTTPClient", "fetch", "fetch_page"]

log = logging.getLogger("millstream")

TIMEOUT = 30.0
"""Seconds that a server may be silent."""

BODY_TIMEOUT = 300.0
"""Seconds that a body may take, however it comes."""

READ_BYTES = 64 << 10

BODY_BYTES_MAX = 64 << 20
"""A body that is longer isn't taken. Bytes."""

AGENT = "millstream (Kamaelia)"


class FetchFailed(OSError):
    """Nothing was got from there."""


class SimpleHTTPClient(Worker):
    """SimpleHTTPClient() -> a component that fetches pages."""

    Inboxes = {"inbox": "URLs to download: a dict, or the URL alone", "control": "Shut me down"}
    Outboxes = {"outbox": "Bodies of answers", "signal": "producerFinished when I've shutdown", "debug": "NOT USED"}

    def on_message(self, message: Any) -> None:
        """Answers it."""
        self.out.put(_answer(message))


@dataclass(frozen=True, slots=True)
class Page:
    """What is at a URL. `url` is where it was in the end, after redirects; `body` is None if it is what `etag` and
    `modified` stood for already."""

    url: str
    body: bytes | None
    etag: str | None = None
    modified: str | None = None


def fetch(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
    bytes_max: int = BODY_BYTES_MAX,
) -> bytes:
    """The body at an HTTP(S) URL. Raises `FetchFailed` if there is none, the status says so, it is too long, or it
    takes too long."""
    return fetch_page(url, body=body, headers=headers, method=method, bytes_max=bytes_max).body or b""


def fetch_page(
    url: str,
    *,
    known: Page | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
    bytes_max: int = BODY_BYTES_MAX,
) -> Page:
    """What is at an HTTP(S) URL, and where it is. If it is still what `known` was, it needn't come again (RFC 9110,
    13). Raises as `fetch` does."""
    if not url.lower().startswith(("http://", "https://")):
        raise FetchFailed(f"{url[:100]!r} is no HTTP URL")
    sent = {"User-Agent": AGENT, **(headers or {})}
    if known is not None and known.etag is not None:
        sent["If-None-Match"] = known.etag
    if known is not None and known.modified is not None:
        sent["If-Modified-Since"] = known.modified
    try:
        request = urllib.request.Request(url, data=body, method=method, headers=sent)
        if body is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/octet-stream")
        with _opener().open(request, timeout=TIMEOUT) as answer:
            data = _body(answer, bytes_max)
            return Page(answer.url, data, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == HTTPStatus.NOT_MODIFIED and known is not None:
            return Page(known.url, None, known.etag, known.modified)
        raise FetchFailed(f"{url}: {error}") from error
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise FetchFailed(f"{url}: {error}") from error
    except Exception as error:
        # of http.client, whose exceptions have no common ancestor but this
        raise FetchFailed(f"{url}: {type(error).__name__}") from error


def _body(answer: Any, bytes_max: int) -> bytes:
    """What the server sends, within a time: one that sends a byte now and then holds nobody up."""
    end = time.monotonic() + BODY_TIMEOUT
    data = bytearray()
    while part := answer.read1(READ_BYTES):
        data += part
        if len(data) > bytes_max:
            raise FetchFailed(f"more than {bytes_max} bytes")
        if time.monotonic() > end:
            raise FetchFailed(f"not whole after {BODY_TIMEOUT:.0f} seconds")
    # read1 takes an end for the end, wherever it is
    if getattr(answer, "length", None):
        raise FetchFailed(f"it ends {answer.length} bytes too early")
    return bytes(data)


def _answer(question: Any) -> bytes:
    try:
        if isinstance(question, bytes):
            question = question.decode("latin-1")
        if isinstance(question, str):
            question = {"url": question}
        if not isinstance(question, Mapping) or not isinstance(question.get("url"), str):
            raise FetchFailed(f"a {type(question).__name__} names no URL")
        body = question.get("postbody")
        body = body.encode() if isinstance(body, str) else body
        if body is not None and not isinstance(body, bytes | bytearray | memoryview):
            raise FetchFailed(f"a {type(body).__name__} can't be posted")
        headers = question.get("extraheaders") or {}
        if not isinstance(headers, Mapping):
            raise FetchFailed("extraheaders is a dict")
        return fetch(
            question["url"],
            body=None if body is None else bytes(body),
            headers={str(name): str(value) for name, value in headers.items()},
            method=question.get("method"),
        )
    except Exception as error:
        log.warning("nothing was fetched: %s", reason_of(error))
        return b""


def _opener() -> urllib.request.OpenerDirector:
    """HTTP alone: a redirect may not lead to a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
