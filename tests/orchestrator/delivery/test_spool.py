"""What waits on disk: whole, in order, bounded, and nobody else's business."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from orchestrator.delivery import spool as spool_module
from orchestrator.delivery.spool import Entry, Spool, SpoolLimits, read_entries
from orchestrator.delivery.transport import Request

RUN, LATER = "00000000000000000001-aaaaaaaa", "00000000000000000002-bbbbbbbb"
PLENTY = SpoolLimits(1 << 20, 3600.0)


def request(body: bytes = b"body", items: int = 3) -> Request:
    return Request("logs", [body], items)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool" / "destination"


def names(spool: Spool) -> list[bytes]:
    return [entry.read().body for entry in spool.waiting()]


def test_requests_come_back_as_they_were_in_order_of_runs_and_numbers(folder: Path) -> None:
    later, earlier = Spool(folder, LATER, PLENTY), Spool(folder, RUN, PLENTY)
    later.add(request(b"third"), 1)
    earlier.add(request(b"second"), 10)
    earlier.add(request(b"first", items=7), 2)
    assert names(earlier) == [b"first", b"second", b"third"]
    entry = earlier.waiting()[0]
    assert (entry.run, entry.signal, entry.items, entry.size) == (RUN, "logs", 7, 5)
    assert entry.read() == request(b"first", items=7)


def test_only_its_owner_can_read_it(folder: Path) -> None:
    spool = Spool(folder, RUN, PLENTY)
    spool.add(request(), 1)
    spool.lock()
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spool.close()


def test_a_file_that_was_not_finished_is_no_request_and_goes(folder: Path) -> None:
    spool = Spool(folder, RUN, PLENTY)
    spool.add(request(), 1)
    name = spool.waiting()[0].name
    (folder / f"{name}.unfinished").write_bytes(b"bo")
    (folder / f"{RUN}-x-logs-1.otlp.unfinished").write_bytes(b"")
    os.utime(folder / f"{name}.unfinished", (0, 0))
    assert len(spool.waiting()) == 1
    assert [path.name for path in folder.glob("*.unfinished")] == [f"{RUN}-x-logs-1.otlp.unfinished"]


def test_other_files_are_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("README", "a-b-c-d-e.otlp", f"{RUN}-1-logs-many.otlp", f"{RUN}-1-smells-3.otlp"):
        (folder / name).write_text("not ours")
    assert read_entries(folder) == []
    assert len(list(folder.iterdir())) == 4


def test_when_it_is_full_the_oldest_goes_the_refused_before_all_and_is_told(folder: Path) -> None:
    told: list[tuple[str, int, str]] = []
    spool = Spool(folder, RUN, SpoolLimits(30, 3600.0))
    spool.dropped = lambda entry, cause: told.append((entry.signal, entry.items, cause))
    for number in range(1, 4):
        spool.add(request(b"x" * 10, items=number), number, refused=number == 2)
    spool.add(request(b"y" * 10), 4)
    assert told == [("logs", 2, "spool full")]
    spool.add(request(b"z" * 10), 5)
    assert told[1:] == [("logs", 1, "spool full")]
    assert [entry.items for entry in spool.waiting()] == [3, 3, 3]
    assert sum(entry.size for entry in spool.entries()) == 30


def test_what_others_add_counts_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_MEASURE_SECONDS", 0.0)
    told: list[Entry] = []
    one, other = (Spool(folder, run, SpoolLimits(30, 3600.0)) for run in (RUN, LATER))
    one.dropped = other.dropped = lambda entry, _cause: told.append(entry)
    one.add(request(b"1" * 10), 1)
    other.add(request(b"2" * 20), 1)
    one.add(request(b"3" * 10), 2)
    assert [entry.run for entry in told] == [RUN]


def test_what_is_too_old_is_dropped_and_told(folder: Path) -> None:
    told: list[str] = []
    spool = Spool(folder, RUN, SpoolLimits(1 << 20, 60.0))
    spool.dropped = lambda _entry, cause: told.append(cause)
    spool.add(request(), 1)
    spool.add(request(b"fresh"), 2)
    long_ago = time.time() - 61
    os.utime(spool.waiting()[0].path, (long_ago, long_ago))
    assert names(spool) == [b"fresh"]
    assert told == ["too old"]


def test_what_is_refused_waits_apart_until_it_is_asked_for(folder: Path) -> None:
    spool = Spool(folder, RUN, PLENTY)
    spool.add(request(b"bad"), 1)
    spool.add(request(b"good"), 2)
    spool.refuse(spool.waiting()[0])
    assert names(spool) == [b"good"]
    assert [entry.is_refused for entry in spool.entries()] == [True, False]
    spool.restore()
    assert names(spool) == [b"bad", b"good"]


def test_one_sends_at_a_time(folder: Path) -> None:
    one, other = Spool(folder, RUN, PLENTY), Spool(folder, LATER, PLENTY)
    one.add(request(), 1)
    assert one.lock()
    assert one.lock()
    assert not other.lock()
    one.close()
    assert other.lock()
    other.close()


def test_no_room_on_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(folder, RUN, PLENTY)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.add(request(), 1)
    assert list(folder.iterdir()) == []


def test_what_is_larger_than_the_spool_drops_nothing(folder: Path) -> None:
    spool = Spool(folder, RUN, SpoolLimits(30, 3600.0))
    spool.add(request(b"x" * 20), 1)
    with pytest.raises(OSError, match="a request is larger than"):
        spool.add(request(b"y" * 31), 2)
    assert names(spool) == [b"x" * 20]


def test_what_was_removed_by_another_is_no_error(folder: Path) -> None:
    spool = Spool(folder, RUN, PLENTY)
    spool.add(request(), 1)
    (entry,) = spool.waiting()
    entry.path.unlink()
    spool.remove(entry)
    spool.refuse(entry)
    with pytest.raises(FileNotFoundError):
        entry.read()
