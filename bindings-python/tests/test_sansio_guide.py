"""SANSIO.md is true: its examples are run, and it speaks of every class."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from millstream import sansio

GUIDE = Path(__file__).parent.parent / "SANSIO.md"
SECTIONS = GUIDE.read_text().split("\n## ")


def test_the_guides_examples_do_as_they_say() -> None:
    failed, tried = doctest.testfile(str(GUIDE), module_relative=False)
    assert tried > 60
    assert failed == 0


@pytest.mark.parametrize(
    "name",
    "DhtNode Tracker PeerConnection Engine bencode Metainfo Magnet KeyLink ConnectionPool".split(),
)
def test_the_guide_has_an_example_of_each_class(name: str) -> None:
    assert hasattr(sansio, name)
    (section,) = [section for section in SECTIONS[1:] if name in section.splitlines()[0].split(", ")]
    assert ">>>" in section
