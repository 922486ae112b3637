"""The command's help is the binary's, word for word, but for `--driver`: the same verbs, flags, values and defaults."""

from __future__ import annotations

import re
import subprocess

import pytest
from commands import ROOT, binary

from millstream._command import RUN, main
from millstream._command.arguments import COMMAND
from millstream._command.grammar import Asked
from millstream._command.helped import walk
from millstream._command.numbers import PROGRAM

ONLY_OURS = re.compile(r"^      --driver .*\n", re.M)
"""The one flag that only Python has a use for, with its line of help."""

VERBS = [asked.names for asked in walk(Asked((COMMAND,)))]


def ours(text: str) -> str:
    """What Python says, as the binary would."""
    return ONLY_OURS.sub("", text).replace(PROGRAM, "millstream")


def theirs(*args: str) -> str:
    """What the binary says."""
    return subprocess.run([binary(), *args], text=True, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("verb", VERBS, ids=lambda names: " ".join(names) or "the command")
def test_the_help_is_that_of_the_binary(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    wanted = theirs(*verb, "--help")
    assert "Usage: millstream" in wanted and "Options:" in wanted
    for asked in ([*verb, "--help"], [*verb, "-h"], ["help", *verb], [*verb, "help"] if not verb else [*verb, "-vh"]):
        assert main(asked) == 0
        assert ours(capsys.readouterr().out) == wanted, asked


def test_the_verbs_are_those_of_the_binary() -> None:
    listed = re.findall(r"^  ([\w-]+) ", theirs("--help").split("Commands:\n")[1].split("\n\n")[0], re.M)
    assert {*listed} == {*RUN, "help"} and [verb.name for verb in COMMAND.verbs] == listed[:-1]
    assert len(VERBS) > 15


def test_the_one_flag_beside_the_binarys_is_said() -> None:
    said = (ROOT / "bindings-python" / "README.md").read_text()
    assert "`--driver`" in said
    holders = [asked.names for asked in walk(Asked((COMMAND,))) if any(o.name == "driver" for o in asked.options())]
    assert holders == [("download",), ("seed",)]


def test_the_version_is_the_binarys(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-V", "--version"):
        assert main([flag]) == 0
        assert capsys.readouterr().out == theirs(flag)
