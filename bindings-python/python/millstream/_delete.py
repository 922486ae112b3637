"""Deleting a torrent's files: these and no others, and never through a link."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

log = logging.getLogger("millstream")


def delete(folder: Path, paths: Iterable[PurePosixPath]) -> None:
    """Deletes files under `folder`, and folders under it that are empty then. Blocks. What isn't there is no error;
    what can't be deleted is logged and stays."""
    folders: set[Path] = set()
    for path in paths:
        place = folder.joinpath(*path.parts)
        above = [parent for parent in place.parents if parent.is_relative_to(folder) and parent != folder]
        if any(parent.is_symlink() for parent in above):
            continue
        folders.update(above)
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s can't be deleted: %s", place, error)
    for empty in sorted(folders, key=lambda place: len(place.parts), reverse=True):
        try:
            empty.rmdir()
        except OSError:
            # something else lies in it, or it was never made
            continue
