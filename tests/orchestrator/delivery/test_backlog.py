"""What waits for one receiver: its order, what is given up of it, and who waits for whom."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orchestrator.delivery.backlog import Backlog
from orchestrator.delivery.spool import Spool, SpoolLimits
from orchestrator.delivery.transport import Request

RUN = "00000000000000000001-aaaaaaaa"


def request(number: int) -> Request:
    return Request("logs", [bytes([number]) * 10], 1)


def filled(folder: Path, count: int, *, memory: int, disk: int = 1000) -> tuple[Backlog, Spool]:
    """With ``count`` requests of ten bytes."""
    spool = Spool(folder, RUN, SpoolLimits(disk, 3600.0))
    backlog = Backlog(spool, None, limit=memory)
    for number in range(1, count + 1):
        assert backlog.add(request(number))
    return backlog, spool


def take(backlog: Backlog) -> list[int]:
    """The numbers of all that comes, delivered."""
    taken = []
    while (item := backlog.first()) is not None:
        taken.append(item.request.body[0])
        backlog.done(item)
    return taken


def test_what_is_kept_later_is_sent_before_what_memory_had_no_room_for(tmp_path: Path) -> None:
    backlog, _ = filled(tmp_path, 6, memory=40)
    first = backlog.first()
    assert first is not None
    backlog.done(first)
    assert backlog.first() is not None  # the second one, on which the receiver goes away
    backlog.again()
    assert backlog.persist() is None
    assert take(backlog) == [2, 3, 4, 5, 6]


def test_what_is_being_sent_is_not_dropped_to_make_room(tmp_path: Path) -> None:
    backlog, spool = filled(tmp_path, 3, memory=0, disk=30)
    dropped: list[int] = []
    spool.dropped = lambda entry, _cause: dropped.append(int(entry.name.split("-")[2]))
    item = backlog.first()
    assert item is not None
    assert item.number == 1
    assert backlog.add(request(4))
    assert dropped == [2]
    backlog.again()  # it was not taken: it is the oldest, as any other
    assert backlog.add(request(5))
    assert dropped == [2, 1]
    assert take(backlog) == [3, 4, 5]


def test_nobody_waits_for_what_others_have_sent(tmp_path: Path) -> None:
    backlog, spool = filled(tmp_path, 8, memory=20)
    assert backlog.is_behind
    for entry in spool.waiting():
        entry.path.unlink()
    assert take(backlog) == [1, 2]
    assert not backlog.is_behind


def test_who_adds_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backlog, _ = filled(tmp_path, 2, memory=1000)
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> None:
        begun.set()
        assert go_on.wait(30)

    monkeypatch.setattr(Spool, "add", slow)
    persisting = threading.Thread(target=backlog.persist)
    persisting.start()
    assert begun.wait(30)
    adding = threading.Thread(target=backlog.add, args=(request(3),))
    adding.start()
    adding.join(5)
    is_waiting = adding.is_alive()
    go_on.set()
    persisting.join(30)
    adding.join(30)
    assert not is_waiting


def test_what_cannot_be_removed_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backlog, _ = filled(tmp_path, 2, memory=0)

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    for number in (1, 2):
        item = backlog.first()
        assert item is not None
        assert item.number == number
        with pytest.raises(OSError, match="Read-only"):
            backlog.done(item)
    assert backlog.first() is None
    assert backlog.is_empty
