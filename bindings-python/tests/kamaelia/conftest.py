"""What all tests of the Kamaelia components share: their mark, and a scheduler of Axon's for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kamaelia)
            # Axon names its threads the old way
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, into which torrents are saved."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def scheduler() -> Iterator[None]:
    """Axon's scheduler and tracker are one for each process: each test has fresh ones."""
    from .stage import fresh_scheduler

    fresh_scheduler()
    yield
