"""Events are values: frozen, compared, hashed, pickled, matched on, and kept for as long as one likes."""

import copy
import pickle

import pytest

from millstream import OptionError, _values
from millstream._values import (
    Banned,
    Completed,
    Event,
    Lagged,
    Listening,
    Metadata,
    PeerJoined,
    PeerLeft,
    PieceVerified,
    PoolChanged,
    Scraped,
    Status,
    Stopped,
    TorrentFailed,
    TrackerAnswered,
    TrackerFailed,
    UpdateAvailable,
    Warned,
)

PEER = ("2001:db8::1", 6881)

SOME: list[Event] = [
    Metadata(1),
    PieceVerified(1, 2),
    PeerJoined(1, PEER),
    PeerLeft(1, PEER),
    TrackerAnswered(1, "http://a.example/", 50),
    TrackerFailed(1, "http://a.example/", "refused"),
    Scraped(1, "http://a.example/", 1, 2, 3),
    UpdateAvailable(1, b"d4:info", True),
    Banned(1, ("192.0.2.1", 1), "it lied"),
    Warned(1, "the disk is slow"),
    TorrentFailed(1, "the disk is full"),
    Listening(3, ("0.0.0.0", 6881)),
    PoolChanged(10, 20),
    Lagged(7),
    Stopped(),
]


@pytest.mark.parametrize("event", SOME, ids=lambda event: type(event).__name__)
def test_an_event_is_a_value(event: Event) -> None:
    fields = [getattr(event, name) for name in event.__match_args__]
    again = type(event)(*fields)
    assert again == event and again is not event and hash(again) == hash(event)
    assert pickle.loads(pickle.dumps(event)) == event
    assert copy.deepcopy(event) == event
    assert eval(repr(event), dict(vars(_values))) == event
    for name in event.__match_args__:
        with pytest.raises(AttributeError):
            setattr(event, name, None)
    assert len({event, again}) == 1


def test_events_differ_by_class_and_by_field() -> None:
    assert Metadata(1) != Completed(1)
    assert PieceVerified(1, 2) != PieceVerified(1, 3)
    assert PieceVerified(1, 2) != (1, 2)
    assert len({Metadata(1), Completed(1), Completed(2)}) == 3


def test_an_event_is_matched_by_position_and_by_keyword() -> None:
    event: Event = PieceVerified(torrent=1, piece=2)
    match event:
        case PieceVerified(torrent, piece):
            assert (torrent, piece) == (1, 2)
        case _:
            raise AssertionError
    match event:
        case PieceVerified(piece=2):
            pass
        case _:
            raise AssertionError


def test_an_event_shows_its_fields() -> None:
    assert repr(PeerJoined(1, PEER)) == "PeerJoined(torrent=1, address=('2001:db8::1', 6881))"
    assert repr(Stopped()) == "Stopped()"


def test_wrong_fields_are_refused() -> None:
    with pytest.raises(TypeError):
        PieceVerified(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        PieceVerified("1", 2)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="torrent: -1"):
        PieceVerified(-1, 2)
    with pytest.raises(ValueError):
        Banned(1, ("nowhere", 1), "")


def test_a_status_is_a_value() -> None:
    status = Status(
        state="seeding",
        name="x",
        info_hash_v1=bytes(20),
        info_hash_v2=None,
        length=3,
        wanted=3,
        verified=3,
        pieces=1,
        pieces_verified=1,
        checked=(3, 3),
        downloaded=0,
        uploaded=0,
        wasted=0,
        download_rate=0,
        upload_rate=0,
        peers=0,
        seeds=0,
        known=0,
        failure=None,
    )
    again = pickle.loads(pickle.dumps(status))
    assert again == status and hash(again) == hash(status)
    assert (again.state, again.info_hash_v1, again.checked) == ("seeding", bytes(20), (3, 3))
    assert repr(status).startswith("Status(state='seeding', name='x', info_hash_v1=b'")
    with pytest.raises(ValueError, match="no state"):
        pickle.loads(pickle.dumps(status).replace(b"seeding", b"dancing"))
