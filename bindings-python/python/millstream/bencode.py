"""Bencode (BEP 3): objects to bytes and back.

>>> from millstream.sansio import bencode
>>> bencode.encode({"spam": ["a", 42]})
b'd4:spaml1:ai42eee'
>>> bencode.decode(b"d4:spaml1:ai42eee")
{b'spam': [b'a', 42]}

Text goes in as UTF-8 and comes out as bytes: bencode has no text. Keys are written in order; `decode` takes them in any
order with `strict=False`, and the same key twice, leading zeros, minus zero or bytes behind the value never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ._millstream import decode, encode
from .errors import BencodeError

Bencodable: TypeAlias = int | str | bytes | bytearray | memoryview | Sequence[Any] | Mapping[Any, Any]
"""What has a bencoding: lists and tuples of it, and dicts by bytes or text."""

Bencoded: TypeAlias = "int | bytes | list[Bencoded] | dict[bytes, Bencoded]"
"""What bencode says."""

__all__ = ["BencodeError", "Bencodable", "Bencoded", "decode", "encode"]
