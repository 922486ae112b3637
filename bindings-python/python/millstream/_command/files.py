"""`create`, `inspect` and `verify`: torrent files, and the files that they are about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .._create import create_torrent_now, verify_now
from .._millstream import Magnet, Metainfo
from .._sources import is_magnet, read
from ..errors import MagnetError, MetainfoError
from .arguments import Arguments
from .lines import Trouble, say, say_json
from .numbers import show_count, show_size

LISTED_MAX = 50
"""Missing ranges that are listed for people; JSON has all."""


def create(args: Arguments) -> int:
    """Makes a torrent file."""
    place = args.output or Path(f"{args.path.resolve().name}.torrent")
    root = args.path.resolve()
    if place.resolve() == root or root in place.resolve().parents:
        raise Trouble(2, f"{place} lies in what the torrent is made of, and would change it: put it elsewhere with -o")
    torrent = create_torrent_now(
        args.path,
        version=args.version,
        piece_length=args.piece_length,
        trackers=[[url] for url in args.trackers],
        web_seeds=args.web_seeds,
        private=args.private,
        comment=args.comment,
        similar=args.similar,
        collections=args.collections,
        update_url=args.update_url,
    )
    save(place, torrent)
    metainfo = Metainfo.parse(torrent)
    if args.json:
        say_json({"torrent": str(place), **told(metainfo)})
        return 0
    size, count = show_size(metainfo.length), show_count(sum(not file.pad for file in metainfo.files), "file")
    pieces = f"{show_count(metainfo.pieces, 'piece')} of {show_size(metainfo.piece_length)}"
    say(f"{place}: {size} in {count} and {pieces}")
    for version, digest in (("v1", metainfo.info_hash_v1), ("v2", metainfo.info_hash_v2)):
        if digest is not None:
            say(f"info-hash {version} {digest.hex()}")
    return 0


def save(place: Path, data: bytes) -> None:
    """Writes all or nothing."""
    if place.exists() and not place.is_file():
        place.write_bytes(data)
        return
    aside = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(data)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def load(text: str) -> Metainfo | Magnet:
    """What a text names: a magnet link or the path of a torrent file."""
    if is_magnet(text):
        try:
            return Magnet.parse(text)
        except MagnetError as error:
            raise Trouble(1, f"the magnet link: {error}") from error
    try:
        return Metainfo.parse(read(Path(text)))
    except OSError as error:
        raise Trouble(1, f"{text} can't be read: {error.strerror or error}") from error
    except MetainfoError as error:
        raise Trouble(1, f"{text} is no usable torrent: {error}") from error


def inspect(args: Arguments) -> int:
    """Shows what a torrent says."""
    values = told(load(args.torrent))
    if args.json:
        say_json(values)
        return 0

    def line(what: str, value: object) -> None:
        if value is not None:
            say(f"{what:<13} {value}")

    line("name", values["name"])
    line("info-hash v1", values["info_hash_v1"])
    line("info-hash v2", values["info_hash_v2"])
    if values["length"] is not None:
        line("length", f"{show_size(values['length'])} ({values['length']} bytes)")
        line("pieces", f"{values['pieces']} of {show_size(values['piece_length'])}")
        line("private", "yes" if values["private"] else "no")
    for what, urls in (("tracker", values["trackers"]), ("web seed", values["web_seeds"])):
        for url in urls:
            line(what, url)
    line("comment", values["comment"])
    line("created by", values["created_by"])
    if values["creation_date"] is not None:
        line("created on", f"{values['creation_date']} seconds since 1970")
    for number, file in enumerate(values["files"]):
        line(f"file {number}", f"{show_size(file['length']):>10}  {file['path']}")
    return 0


def told(source: Metainfo | Magnet) -> dict[str, Any]:
    """What is told of a torrent. `None` is what isn't known, or isn't there."""
    v1, v2 = source.info_hash_v1, source.info_hash_v2
    values: dict[str, Any] = {
        "name": source.name,
        "info_hash_v1": v1.hex() if v1 else None,
        "info_hash_v2": v2.hex() if v2 else None,
        "piece_length": None,
        "pieces": None,
        "length": None,
        "private": None,
        "files": [],
        "trackers": [],
        "web_seeds": list(source.web_seeds),
        "comment": None,
        "created_by": None,
        "creation_date": None,
    }
    if isinstance(source, Magnet):
        values["trackers"] = list(source.trackers)
        return values
    root = [source.name] if source.multi_file else []
    real = [file for file in source.files if not file.pad]
    values |= {
        "piece_length": source.piece_length,
        "pieces": source.pieces,
        "length": source.length,
        "private": source.private,
        "files": [{"path": "/".join([*root, *file.path]), "length": file.length} for file in real],
        "trackers": [url for tier in source.trackers for url in tier],
        "comment": source.comment,
        "created_by": source.created_by,
        "creation_date": source.creation_date,
    }
    return values


def verify(args: Arguments) -> int:
    """Checks stored files against a torrent."""
    metainfo = load(args.torrent)
    if isinstance(metainfo, Magnet):
        raise Trouble(2, "a magnet link has no hashes of pieces: give a torrent file")
    found = verify_now(metainfo, args.data)
    missing = [{"offset": offset, "length": length} for offset, length in found.missing]
    if args.json:
        say_json(
            {
                "complete": found.is_complete,
                "missing": missing,
                "length": found.length,
                "verified": found.verified,
                "pieces": found.pieces,
                "pieces_verified": found.pieces_verified,
            }
        )
    elif found.is_complete:
        say(f"complete: {show_size(found.length)} are verified")
    else:
        whole = f"{show_size(found.verified)} of {show_size(found.length)}"
        say(f"not whole: {whole} are verified, {found.pieces_verified} of {found.pieces} pieces")
        for offset, length in found.missing[:LISTED_MAX]:
            say(f"missing: {length} bytes at {offset}" if length else f"missing: an empty file at {offset}")
        if len(found.missing) > LISTED_MAX:
            say(f"missing: {len(found.missing) - LISTED_MAX} more ranges; --json lists them all")
    return 0 if found.is_complete else 1
