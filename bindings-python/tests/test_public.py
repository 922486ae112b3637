"""What a user sees without reading the source: names, signatures, help, what is refused, and the twin that blocks."""

from __future__ import annotations

import asyncio
import doctest
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import Drivers, thing

import millstream
from millstream import Events, FileReader, Session, Torrent, TrackerFailed, _settings, errors, sync
from millstream._create import create_torrent_now

TWINS: list[tuple[type, type]] = [(Session, sync.Session), (Torrent, sync.Torrent)]

WITHOUT_A_TWIN = {"Session": {"start", "events_max"}, "Torrent": set[str]()}
"""A session that blocks has begun when it is made."""


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """What is public of a class of ours."""
    for name, member in inspect.getmembers_static(kind):
        if not name.startswith("_"):
            yield name, member


@pytest.mark.parametrize("module", [millstream, sync, millstream.sansio], ids=lambda module: module.__name__)
def test_all_names_what_is_public_once(module: Any) -> None:
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(module, name) is not None
    if module is millstream:
        public = {name for name, it in vars(module).items() if not name.startswith("_") and not inspect.ismodule(it)}
        assert public == set(names) - {"__version__"}
        tree = {name for name, it in vars(errors).items() if inspect.isclass(it) and issubclass(it, Exception)}
        assert tree <= set(names), "whoever catches an error can name it"


@pytest.mark.parametrize("name", [name for name in millstream.__all__ if inspect.isclass(getattr(millstream, name))])
def test_every_class_says_what_it_is(name: str) -> None:
    kind = getattr(millstream, name)
    assert inspect.getdoc(kind), name
    assert not (kind.__doc__ or "").startswith(f"{name}("), "no doc but the one that dataclasses make"


@pytest.mark.parametrize("kind", [Session, Torrent, FileReader, Events, sync.Session, sync.Torrent, sync.Events])
def test_every_method_has_a_signature_and_a_doc(kind: type) -> None:
    for name, member in members(kind):
        assert inspect.getdoc(member.fget if isinstance(member, property) else member), f"{kind.__name__}.{name}"
        if inspect.isfunction(member):
            signature = inspect.signature(member)
            assert signature.return_annotation is not inspect.Signature.empty, name
            for parameter in list(signature.parameters.values())[1:]:
                assert parameter.annotation is not inspect.Parameter.empty, f"{name}: {parameter}"


def test_what_a_user_begins_with_has_an_example_that_runs() -> None:
    finder = doctest.DocTestFinder(recurse=False)
    for it in (Session, Torrent, FileReader, Events, millstream.download, millstream.create_torrent, sync):
        [found] = finder.find(it, globs={})
        assert found.examples, it


@pytest.mark.parametrize("kind, twin", TWINS, ids=lambda kind: kind.__name__)
def test_the_twin_that_blocks_has_the_same_names_and_parameters(kind: type, twin: type) -> None:
    ours, theirs = dict(members(kind)), dict(members(twin))
    assert set(ours) - set(theirs) == WITHOUT_A_TWIN[kind.__name__]
    assert set(theirs) <= set(ours), "nothing is only for who blocks"
    for name, member in ours.items():
        if inspect.isfunction(member) and name in theirs:
            want, have = inspect.signature(member).parameters, inspect.signature(theirs[name]).parameters
            # streams of the twin take how long one waits for the next
            assert [*want] == [key for key in have if key in want or name not in ("events", "follow")], name
            for key, parameter in want.items():
                assert (parameter.kind, parameter.default) == (have[key].kind, have[key].default), f"{name}: {key}"
            assert inspect.iscoroutinefunction(member) or name in SNAPSHOTS, f"{name} is awaited"


SNAPSHOTS = {"torrent", "events", "file", "open", "follow"}
"""Methods that wait for nothing."""


def test_options_are_given_by_name() -> None:
    calls: list[Callable[..., object]] = [Session, sync.Session, Session.add, Torrent.metadata, Torrent.open]
    for call in (*calls, Torrent.remove, millstream.download):
        parameters = list(inspect.signature(call).parameters.values())
        given = [it.name for it in parameters if it.kind is it.POSITIONAL_OR_KEYWORD and it.name != "self"]
        assert given in ([], ["source"], ["file"], ["source", "folder"]), f"{call}: {given}"


@pytest.mark.parametrize(
    "call, meant",
    [
        (lambda: Session(downlod_rate=1), "download_rate"),  # type: ignore[call-arg]
        (lambda: sync.Session(links=1), "links_max"),  # type: ignore[call-arg]
        (lambda: asyncio.run(millstream.download("a", "b", uplod_rate=1)), "upload_rate"),  # type: ignore[call-arg]
        (lambda: millstream.create("x", b"x", piece_lenght=1), "piece_length"),  # type: ignore[call-arg]
        (lambda: create_torrent_now(__file__, tracker=[]), "trackers"),  # type: ignore[call-arg]
    ],
    ids=["Session", "sync.Session", "download", "create", "create_torrent"],
)
def test_an_option_that_is_not_there_names_the_one_that_is_meant(call: Callable[[], object], meant: str) -> None:
    with pytest.raises(TypeError, match=meant):
        call()


def test_an_option_of_add_that_is_not_there_names_the_one_that_is_meant(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            with pytest.raises(TypeError, match="did you mean 'sequential'"):
                await session.add(thing().torrent, sequental=True)  # type: ignore[call-arg]
            assert session.torrents == ()

    drivers.run(story)


def test_what_fails_is_told_without_any_mask(on_demand: Drivers) -> None:
    async def story() -> None:
        async with on_demand.session("one") as session:
            # a stream from before it is added: what fails at once is told at once
            events = session.events()
            torrent = await session.add(f"magnet:?xt=urn:btih:{'a' * 40}&tr=http://127.0.0.1:1/announce")
            async for event in events:
                match event:
                    case TrackerFailed(number, url, error):
                        assert (number, url) == (torrent.id, "http://127.0.0.1:1/announce") and error
                        break
                    case _:
                        pass
            [tracker] = await torrent.trackers()
            assert tracker.error

    on_demand.run(story)


def test_one_native_module_serves_every_python() -> None:
    spec = importlib.util.find_spec("millstream._millstream")
    assert spec is not None and spec.origin is not None
    assert re.search(r"\.(abi3|abi3t|cpython-\d+t-[\w-]+)\.(so|dylib)$|\.pyd$", spec.origin), spec.origin


@pytest.mark.skipif(shutil.which("ldd") is None, reason="nothing here says what a module needs")
def test_the_native_module_needs_no_library_that_a_host_may_lack() -> None:
    spec = importlib.util.find_spec("millstream._millstream")
    assert spec is not None and spec.origin is not None
    said = subprocess.run(["ldd", spec.origin], capture_output=True, text=True, check=True).stdout
    needed = {os.path.basename(line.split()[0]).split(".")[0] for line in said.splitlines() if line.strip()}
    # where it is built by cargo alone it is linked to Python too
    assert needed.isdisjoint({"libssl", "libcrypto", "libstdc++", "libboost_python"}), needed


def test_the_types_are_in_the_package() -> None:
    where = Path(millstream.__file__).parent
    assert (where / "py.typed").exists() and (where / "_millstream.pyi").exists()


def test_every_promise_names_tests_that_exist() -> None:
    here = Path(__file__).parent
    table = (here / "PROMISES.md").read_text()
    tests = {path.stem: path.read_text() for path in here.rglob("test_*.py")}
    named = re.findall(r"`(test_\w+)::(test_\w+)`", table)
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in tests.get(file, ""), f"{file}::{test} isn't there"
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert all("`test_" in row or "`bindings-python/" in row for row in rows), "each row says where it is shown"


def test_settings_of_a_session_are_all_explained() -> None:
    source = inspect.getsource(_settings)
    for kind in (millstream.SessionSettings, millstream.Settings, millstream.AddOptions):
        for name in kind.__annotations__:
            assert re.search(rf'^    {name}: [^\n]*\n    """', source, re.MULTILINE), f"{kind.__name__}.{name}"
