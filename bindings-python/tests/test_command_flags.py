"""The command's flags are the binary's, but for those that are named here and in the README."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from millstream._command import RUN, main

ROOT = Path(__file__).parent.parent.parent
BINARY = ROOT / "driver-tokio" / "src" / "bin" / "millstream"

LACKS = {
    "create": {"--originator", "--sign-key", "--sign-certificate"},
    "download": {"--updates"},
    "seed": {"--updates"},
}
"""Flags of the binary that Python has not."""

LACKS_VERBS = {"demo", "dht", "completions", "man"}
"""Verbs of the binary that Python has not."""

HAS_BESIDE = {"download": {"--driver"}, "seed": {"--driver"}}
"""Flags that only Python has a use for."""

ANYWHERE = {"-v", "--verbose", "-h", "--help"}
"""Every verb has these."""

STRUCT = re.compile(r"^pub\(crate\) struct (\w+) \{\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"#\[(arg|command)\(((?:[^\]]|\](?!\n))*)\)\]\n\s+(?:pub\(crate\) )?(\w+): ([\w<>:]+)")
OPTION = re.compile(r"^ +(?:(-\w)(?: [A-Z|]+)?, )?(--[a-z0-9-]+)", re.M)


def of_help(text: str) -> set[str]:
    """The flags that a help lists."""
    return {flag for pair in OPTION.findall(text) for flag in pair if flag}


def of_source(struct: str, structs: dict[str, str]) -> set[str]:
    """The flags that a struct of arguments declares, with those of what it takes in."""
    flags: set[str] = set()
    for kind, words, field, of in FIELD.findall(structs[struct]):
        if kind == "command":
            flags |= of_source(of, structs)
            continue
        named = re.search(r'\blong(?: = "([\w-]+)")?', words)
        if named:
            flags.add("--" + (named[1] or field.replace("_", "-")))
        if named and re.search(r"\bshort\b", words):
            flags.add("-" + field[0])
    return flags


def binary_flags(verb: str) -> set[str]:
    """What the binary knows: of `$MILLSTREAM` if that names one, else of its source."""
    binary = os.environ.get("MILLSTREAM")
    if binary:
        return of_help(subprocess.run([binary, verb, "--help"], text=True, capture_output=True, check=True).stdout)
    structs = sources()
    return of_source(f"{verb.capitalize()}Args", structs) | ANYWHERE


def sources() -> dict[str, str]:
    """The structs of arguments by their names, each its fields."""
    text = "".join((BINARY / name).read_text() for name in ("args.rs", "reach.rs"))
    return dict(STRUCT.findall(text))


@pytest.mark.parametrize("verb", RUN)
def test_the_flags_are_those_of_the_binary(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    ours, theirs = of_help(capsys.readouterr().out), binary_flags(verb)
    assert len(theirs) > len(ANYWHERE), "they were found"
    assert theirs - ours == LACKS.get(verb, set())
    assert ours - theirs == HAS_BESIDE.get(verb, set())


def test_the_verbs_are_those_of_the_binary() -> None:
    body = (BINARY / "args.rs").read_text().split("enum Command {", 1)[1].split("\n}", 1)[0]
    theirs = {name.lower() for name in re.findall(r"^    ([A-Z]\w+)[(,]", body, re.M)}
    assert theirs == set(RUN) | LACKS_VERBS


def test_what_is_lacked_is_said() -> None:
    said = (ROOT / "bindings-python" / "README.md").read_text()
    lacked = LACKS_VERBS.union(*LACKS.values(), *HAS_BESIDE.values())
    assert [name for name in sorted(lacked) if f"`{name}`" not in said] == []
