"""`create`, `inspect` and `verify`: torrent files, and the files that they are about."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from .._create import CreateOptions, DamagedFile, create_torrent_now, verify_now
from .._millstream import KeyLink, Magnet, Metainfo, Signer
from .._sources import TORRENT_BYTES_MAX, is_magnet, key_link
from ..errors import CreateError, MagnetError, MetainfoError
from . import bars
from .arguments import Arguments
from .lines import Trouble, caution, say, say_json
from .numbers import PROGRAM, show_count, show_error, show_path, show_size
from .signals import interruptible

LISTED_MAX = 50
"""Files that are listed for people; JSON has all."""

FILE_NAMES = ("path", "damage", "length", "stored", "missing")
"""What JSON tells of a file that isn't whole."""

PIECE_LENGTHS = "a power of two from 16 KiB to 1 GiB, and any length up to 1 GiB with --v1"


def create(args: Arguments) -> int:
    """Makes a torrent file."""
    return interruptible(lambda: make(args))


def make(args: Arguments) -> int:
    """The same on this thread."""
    signer = signer_of(args)
    options = options_of(args)
    place = args.output or default_place(args.path)
    if lies_within(place, args.path):
        words = "lies in what the torrent is made of, and would change it: put it elsewhere with -o"
        raise Trouble(2, f"{show_path(place)} {words}")
    tell, end = bars.blocking("hashing", args.json)
    try:
        torrent = create_torrent_now(args.path, progress=tell, **options)
    except CreateError as error:
        if error.option == "piece_length":
            raise Trouble(2, f"--piece-length: {error}; choose {PIECE_LENGTHS}") from error
        if error.option == "originator":
            raise Trouble(2, f"--originator: {error}") from error
        raise
    finally:
        end()
    if signer is not None:
        torrent = signer.sign(torrent)
    metainfo = Metainfo.parse(torrent)
    try:
        save(place, torrent)
    except OSError as error:
        raise Trouble(1, f"{show_path(place)} can't be written: {show_error(error)}") from error
    tell_made(metainfo, show_path(place), args.json)
    if args.private and not args.trackers:
        caution("nobody can find peers for a private torrent without a tracker: name one with --tracker")
    return 0


def signer_of(args: Arguments) -> Signer | None:
    """Who signs it, if anybody is to."""
    if args.sign_key is None or args.sign_certificate is None:
        return None
    try:
        return Signer(contents(args.sign_key), contents(args.sign_certificate))
    except CreateError as error:
        raise Trouble(2, str(error)) from error


def options_of(args: Arguments) -> CreateOptions:
    """What the torrent is made like."""
    originator = None
    if args.originator is not None:
        originator = contents(args.originator)
    return {
        "version": "v1" if args.v1 else "v2" if args.v2 else "hybrid",
        "piece_length": args.piece_length,
        "trackers": [[url] for url in args.trackers],
        "web_seeds": args.web_seeds,
        "private": args.private,
        "comment": args.comment,
        "similar": args.similar,
        "collections": args.collections,
        "update_url": args.update_url,
        "originator": originator,
    }


def contents(path: str) -> bytes:
    """A file's bytes."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Trouble(1, f"{show_path(path)} can't be read: {show_error(error)}") from error


def default_place(path: str) -> str:
    """The name that the files go by, in the current folder."""
    name = Path(path).name
    if name in ("", ".."):
        try:
            name = Path(path).resolve(strict=True).name
        except OSError:
            name = ""
    return f"{name}.torrent"


def lies_within(place: str, path: str) -> bool:
    """Whether writing to `place` would change what is at `path`. What is no plain file changes nothing."""
    try:
        root = Path(path).resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    try:
        whole = Path(place).resolve(strict=True)
        return whole.is_file() and whole.is_relative_to(root)
    except (OSError, RuntimeError):
        pass
    try:
        return Path(place).parent.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def save(place: str, data: bytes) -> None:
    """Writes all or nothing."""
    try:
        plain = stat.S_ISREG(os.stat(place).st_mode)
    except OSError:
        plain = True
    if not plain:
        # a terminal, a pipe, /dev/stdout is written to as it is
        with open(place, "r+b", buffering=0) as there:
            there.write(data)
        return
    aside = Path(f"{place}.{os.getpid()}.part")
    try:
        aside.write_bytes(data)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def tell_made(metainfo: Metainfo, torrent: str, as_json: bool) -> None:
    """Says what was made."""
    if as_json:
        say_json({"torrent": torrent, **told(metainfo)})
        return
    length, count = show_size(metainfo.length), show_count(sum(not file.pad for file in metainfo.files), "file")
    pieces = f"{show_count(metainfo.pieces, 'piece')} of {show_size(metainfo.piece_length)}"
    say(f"{torrent}: {length} in {count} and {pieces}")
    for version, digest in (("v1", metainfo.info_hash_v1), ("v2", metainfo.info_hash_v2)):
        if digest is not None:
            say(f"info-hash {version} {digest.hex()}")
    say(str(metainfo.magnet()))


def load_torrent(path: str) -> Metainfo:
    """Reads a torrent file."""
    shown = show_path(path)
    if (is_magnet(path) or link_of_hash(path) is not None) and not os.path.exists(path):
        why = f"a torrent file is needed here; `{PROGRAM} download --seed` takes a magnet link"
        raise Trouble(1, f"{shown} is no file: {why}")
    try:
        with open(path, "rb") as file:
            torrent = file.read(TORRENT_BYTES_MAX + 1)
    except OSError as error:
        raise Trouble(1, f"{shown} can't be read: {show_error(error)}") from error
    except ValueError as error:
        # a name with a zero in it
        raise Trouble(1, f"{shown} can't be read: file name contained an unexpected NUL byte") from error
    if len(torrent) > TORRENT_BYTES_MAX:
        raise Trouble(1, f"{shown} is no torrent: it is longer than {TORRENT_BYTES_MAX} bytes")
    try:
        return Metainfo.parse(torrent)
    except MetainfoError as error:
        raise Trouble(1, f"{shown} is no usable torrent: {error}") from error


def load(text: str) -> Metainfo | Magnet | KeyLink:
    """What a text names: a magnet link, a link of a key, or the path of a torrent file."""
    if key_link(text) is not None:
        return KeyLink.parse(text)
    if is_magnet(text):
        try:
            return Magnet.parse(text)
        except MagnetError as error:
            raise Trouble(1, f"the magnet link: {error}") from error
    link = link_of_hash(text)
    if link is not None and not os.path.exists(text):
        raise Trouble(1, f"{text} is no file; of an info-hash give the magnet link: {link}")
    return load_torrent(text)


def link_of_hash(text: str) -> str | None:
    """The link of a bare info-hash, if it is one."""
    if re.fullmatch("[0-9a-fA-F]{40}", text):
        return f"magnet:?xt=urn:btih:{text}"
    return f"magnet:?xt=urn:btmh:1220{text}" if re.fullmatch("[0-9a-fA-F]{64}", text) else None


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
    line("public key", values.get("public_key"))
    line("salt", values.get("salt") or None)
    line("stored at", values.get("target"))
    line("magnet", values["magnet"])
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
        to = f" -> {file['symlink']}" if "symlink" in file else ""
        line(f"file {number}", f"{show_size(file['length']):>10}  {file['path']}{to}")
    return 0


def told(source: Metainfo | Magnet | KeyLink) -> dict[str, Any]:
    """What is told of a torrent. `None` is what isn't known, or isn't there."""
    key: dict[str, Any] = {}
    values: dict[str, Any] = {"name": None, "info_hash_v1": None, "info_hash_v2": None}
    rest: dict[str, Any] = {"piece_length": None, "pieces": None, "length": None, "private": None, "files": []}
    rest |= {"trackers": [], "web_seeds": [], "comment": None, "created_by": None, "creation_date": None}
    if isinstance(source, KeyLink):
        key = {"public_key": source.key.hex(), "salt": source.salt.hex(), "target": source.target.hex()}
        return {**values, **key, "magnet": str(source), **rest}
    v1, v2 = source.info_hash_v1, source.info_hash_v2
    values = {
        "name": source.name,
        "info_hash_v1": v1.hex() if v1 else None,
        "info_hash_v2": v2.hex() if v2 else None,
        "magnet": str(source if isinstance(source, Magnet) else source.magnet()),
    }
    rest["web_seeds"] = list(source.web_seeds)
    if isinstance(source, Magnet):
        rest["trackers"] = list(source.trackers)
        return {**values, **rest}
    rest |= {
        "piece_length": source.piece_length,
        "pieces": source.pieces,
        "length": source.length,
        "private": source.private,
        "files": listed(source),
        "trackers": [url for tier in source.trackers for url in tier],
        "comment": source.comment,
        "created_by": source.created_by,
        "creation_date": source.creation_date,
    }
    return {**values, **rest}


def listed(metainfo: Metainfo) -> list[dict[str, Any]]:
    """The real files; each one's place is its number for `--select`. Paths begin at the folder that `download -o` is
    given."""
    root = [metainfo.name] if metainfo.multi_file else []
    files = list[dict[str, Any]]()
    for file in metainfo.files:
        if not file.pad:
            files.append({"path": "/".join([*root, *file.path]), "length": file.length})
            if file.symlink is not None:
                files[-1]["symlink"] = "/".join(file.symlink)
    return files


def verify(args: Arguments) -> int:
    """Checks stored files against a torrent."""
    return interruptible(lambda: check(args))


def check(args: Arguments) -> int:
    """The same on this thread."""
    metainfo = load_torrent(args.file or "")
    tell, end = bars.blocking("verifying", args.json)
    try:
        found = verify_now(metainfo, args.data, progress=tell)
    finally:
        end()
    if args.json:
        missing = [{"offset": offset, "length": length} for offset, length in found.missing]
        files = [{name: getattr(file, name) for name in FILE_NAMES} for file in found.files]
        values: dict[str, Any] = {"complete": found.is_complete, "missing": missing, "files": files}
        values |= {"length": found.length}
        values |= {"verified": found.verified, "pieces": found.pieces, "pieces_verified": found.pieces_verified}
        say_json(values)
    elif found.is_complete:
        say(f"complete: {show_size(found.length)} are verified")
    else:
        whole = f"{show_size(found.verified)} of {show_size(found.length)}"
        say(f"not whole: {whole} are verified, {found.pieces_verified} of {found.pieces} pieces")
        for file in found.files[:LISTED_MAX]:
            say(damage(file))
        if len(found.files) > LISTED_MAX:
            say(f"{show_count(len(found.files) - LISTED_MAX, 'file')} more; --json lists them all")
    if not found.is_complete and found.verified == 0 and all(file.damage == "missing" for file in found.files):
        raise Trouble(1, "nothing of it is there: is --data the folder that holds it?")
    return 0 if found.is_complete else 1


def damage(file: DamagedFile) -> str:
    """What is the matter with a file, in words."""
    length = show_count(file.length, "byte")
    match file.damage:
        case "missing":
            return f"missing: {file.path}, {length if file.length else 'an empty file'}"
        case "short":
            return f"short: {file.path}, {file.stored} of {length}"
        case "wrong":
            return f"wrong: {file.path}, {file.missing} of {length} in bad pieces"
        case "unsure":
            shared = "in pieces shared with a file that is missing or short"
            return f"unsure: {file.path}, {file.missing} of {length} {shared}"
