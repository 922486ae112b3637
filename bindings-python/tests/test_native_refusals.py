"""What the native backend refuses, and how: the right exception, with words that help."""

import asyncio
import pickle
import socket
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from meeting import HERMETIC, News, session, stored

from millstream import errors
from millstream._native import NativeBackend
from millstream._values import SessionSettings

UNTYPED: Any = NativeBackend


@pytest.mark.parametrize(
    ("name", "meant"), [("upload_limit", "upload_slots"), ("listn", "listen"), ("encription", "encryption")]
)
def test_an_unknown_setting_names_the_one_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f'"{name}".*{meant}'):
        UNTYPED(**{name: 1})


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("listen", ["nowhere"], ValueError),
        ("listen", "127.0.0.1:0", TypeError),
        ("dht_bootstrap", ["node.example"], ValueError),
        ("dht_bootstrap", [("node.example", 0)], ValueError),
        ("utp", "sometimes", ValueError),
        ("encryption", "always", ValueError),
        ("allocation", "thin", ValueError),
        ("links_max", -1, ValueError),
        ("links_max", "many", TypeError),
        ("fetch_timeout", -1.0, ValueError),
        ("fetch_timeout", float("nan"), ValueError),
        ("seed", bytes(31), ValueError),
        ("router", "fe80::1", ValueError),
        ("dht", "yes", TypeError),
    ],
)
def test_a_wrong_value_names_its_setting(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        UNTYPED(**{name: value})


def test_every_setting_that_the_types_know_is_known() -> None:
    for name in SessionSettings.__annotations__:
        try:
            UNTYPED(**{name: object()})
        except (TypeError, ValueError) as error:
            assert "there is no" not in str(error), error


def test_a_setting_is_given_in_any_natural_form() -> None:
    NativeBackend(listen=[("127.0.0.1", 0), "[::1]:0"], dht_bootstrap=[("node.example", 1), "192.0.2.1:2"], utp="only")
    NativeBackend(utp=True, proxy=None, seed=bytes(32), upload_slots=None, router="192.0.2.1")


def test_a_taken_port_is_an_oserror() -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = HERMETIC.copy()
            settings.update({"listen": [taken.getsockname()], "listen_tries_max": 0})
            backend = NativeBackend(**settings)
            with pytest.raises(errors.StartError, match="bound") as caught:
                await backend.start(News())
        assert isinstance(caught.value, OSError)
        await backend.close(1)

    asyncio.run(story())


def test_a_command_is_refused_by_its_own_name(tmp_path: Path) -> None:
    torrent = stored(tmp_path)

    async def refused(error: type[Exception], call: Awaitable[object]) -> str:
        with pytest.raises(error) as caught:
            await call
        assert isinstance(caught.value, errors.MillstreamError) and not isinstance(caught.value, RuntimeError)
        return str(caught.value)

    async def story() -> None:
        async with session() as (backend, _):
            folder = str(tmp_path)
            await refused(errors.MetainfoError, backend.add(b"garbage", folder))
            await refused(errors.MetainfoError, backend.add(b"", folder))
            await refused(errors.MagnetError, backend.add("magnet:?xt=urn:btih:zz", folder))
            given = await backend.add(torrent, folder, only_peers=True)
            with pytest.raises(errors.DuplicateTorrent) as caught:
                await backend.add(torrent, folder)
            assert caught.value.torrent == given
            await refused(errors.TorrentNotFound, backend.pause(given + 9))
            assert "7" in await refused(errors.CommandError, backend.select(given, [7]))
            assert "7" in await refused(errors.NoSuchFile, backend.set_priorities(given, {0: "low", 7: "high"}))
            await refused(errors.CommandError, backend.set_deadline(given, 1 << 40, 1, 1.0))
            with pytest.raises(ValueError):
                await backend.set_deadline(given, 0, 1, -1.0)
            for url in "ftp://a.example/", "http://127.0.0.1:1/x.torrent":
                assert isinstance(await refused(errors.FetchError, backend.fetch(url)), str)
            with pytest.raises(TypeError, match="sequential"):
                await backend.add(torrent, folder, sequental=True)  # type: ignore[call-arg]
            assert not backend._waiting

    asyncio.run(story())


TREE = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)]


@pytest.mark.parametrize("error", TREE)
def test_an_error_is_no_runtime_error_and_travels(error: type[Exception]) -> None:
    assert not issubclass(error, RuntimeError)
    made = error("why")
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is error and str(again) == str(made) == "why"
    # what threads' frameworks do when they raise an error again
    assert isinstance(error(None), error) and isinstance(error(), error)


def test_a_duplicate_keeps_its_torrent_on_its_way() -> None:
    again = pickle.loads(pickle.dumps(errors.DuplicateTorrent("why", 3)))
    assert (str(again), again.torrent) == ("why", 3)
