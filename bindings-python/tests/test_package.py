"""The package as Python sees it."""

import re

import millstream


def test_the_package_says_its_version() -> None:
    assert re.match(r"\d+\.\d+\.\d+", millstream.__version__)
