"""What becomes of requests when a receiver takes them, refuses them, or is away."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from orchestrator.delivery import backlog as backlog_module
from orchestrator.delivery import retry as retry_module
from orchestrator.delivery import sender as sender_module
from orchestrator.delivery.files import new_file
from orchestrator.delivery.ledger import read_losses, reap
from orchestrator.delivery.sender import Sender
from orchestrator.delivery.spool import Entry, Spool, SpoolLimits, private_folder
from orchestrator.delivery.transport import Outcome, Request, Status


def request(name: str, items: int = 1) -> Request:
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add(event_name=name)
    return Request("logs", [message.SerializeToString()], items)


def name_of(body: bytes) -> str:
    return ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records[0].event_name


class Receiver:
    """A transport that answers as told; the last answer is given for ever."""

    endpoint = "receiver"

    def __init__(self, *answers: Outcome) -> None:
        self._answers = list(answers)
        self.taken: list[str] = []
        self.closed = False

    def send(self, request: Request, timeout: float) -> Outcome:
        assert timeout > 0
        outcome = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if outcome.status is Status.ACCEPTED:
            self.taken.append(name_of(request.body))
        return outcome

    def close(self) -> None:
        self.closed = True


class Bench:
    """A sender with a spool on disk."""

    def __init__(self, folder: Path, receiver: Receiver, run: str = "00000000000000000001-aaaaaaaa") -> None:
        self.said: list[str] = []
        self.spoke = threading.Event()
        self.spool = Spool(folder, run, LIMITS)
        private_folder(folder)
        self.sender = Sender(lambda: receiver, self.spool, self.say)
        self.sender.start()

    def say(self, message: str) -> None:
        self.said.append(message)
        self.spoke.set()

    def kept(self, *, refused: bool = False) -> list[str]:
        return [name_of(entry.read().body) for entry in self.spool.entries() if entry.is_refused == refused]


LIMITS = SpoolLimits(1 << 20, 3600.0)
TAKEN = Outcome(Status.ACCEPTED)
AWAY = Outcome(Status.RETRYABLE, message="connection refused")
REFUSED = Outcome(Status.REJECTED, 1, "no such path")


def test_sender_delivers_in_order(tmp_path: Path) -> None:
    receiver = Receiver(TAKEN)
    bench = Bench(tmp_path, receiver)
    for number in range(20):
        bench.sender.submit(request(f"event {number}", items=3))
    bench.sender.finish(30)
    assert receiver.taken == [f"event {number}" for number in range(20)]
    assert (bench.sender.counts.sent, bench.sender.waiting, bench.said) == (60, 0, [])
    assert receiver.closed
    assert bench.kept() == []
    assert not list(bench.spool.folder.glob("*.ledger"))


def test_sender_keeps_what_is_refused_and_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(REFUSED, TAKEN)
    bench = Bench(tmp_path, receiver)
    bench.sender.submit(request("bad"))
    bench.sender.submit(request("good"))
    bench.sender.finish(30)
    assert receiver.taken == ["good"]
    assert (bench.kept(), bench.kept(refused=True)) == ([], ["bad"])
    assert (bench.sender.counts.sent, bench.sender.counts.refused, bench.sender.waiting) == (1, 1, 0)
    assert bench.said == ["receiver: no such path"]


def test_sender_says_at_once_and_keeps_what_an_absent_receiver_did_not_take(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(AWAY))
    for number in range(3):
        bench.sender.submit(request(f"event {number}"))
    assert bench.spoke.wait(30)
    bench.sender.finish(0.1)
    assert bench.said == ["receiver: connection refused"]  # once
    assert bench.kept() == ["event 0", "event 1", "event 2"]
    assert (bench.sender.waiting, bench.sender.counts.lost) == (3, {})


def test_what_earlier_runs_left_is_sent_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(AWAY))
    for number in range(3):
        bench.sender.submit(request(f"event {number}"))
    bench.sender.finish(0.1)
    receiver = Receiver(TAKEN)
    bench = Bench(tmp_path, receiver, "00000000000000000002-bbbbbbbb")
    bench.sender.submit(request("event 3"))
    bench.sender.finish(30)
    assert receiver.taken == [f"event {number}" for number in range(4)]
    assert bench.kept() == []
    assert bench.sender.counts.sent == 4


def test_order_is_kept_while_a_receiver_goes_and_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_DELAY", 0.01)
    receiver = Receiver(TAKEN, AWAY, TAKEN, AWAY, AWAY, TAKEN)
    bench = Bench(tmp_path, receiver)
    for number in range(40):
        bench.sender.submit(request(f"event {number}"))
    bench.sender.finish(30)
    assert receiver.taken == [f"event {number}" for number in range(40)]
    assert bench.kept() == []


def test_what_another_process_may_be_sending_is_not_sent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours on disk is sent by whoever has the lock; what comes after it waits."""
    monkeypatch.setattr(sender_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(retry_module, "_FIRST_DELAY", 0.01)
    other = Spool(tmp_path, "other", LIMITS)
    assert other.lock()
    tries: list[bool] = []
    receiver = Receiver(AWAY, TAKEN)
    bench = Bench(tmp_path, receiver)
    lock = bench.spool.lock

    def watched() -> bool:
        tries.append(lock())
        return tries[-1]

    monkeypatch.setattr(bench.spool, "lock", watched)
    bench.sender.submit(request("event 0"))
    while not other.waiting():
        time.sleep(0.01)
    bench.sender.submit(request("event 1"))
    seen = len(tries)
    while len(tries) < seen + 3:
        time.sleep(0.01)
    assert (receiver.taken, any(tries)) == ([], False)
    other.close()
    bench.sender.finish(30)
    assert receiver.taken == ["event 0", "event 1"]


def test_what_died_with_a_killed_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "dead.ledger").write_bytes((7).to_bytes(64, "little"))
    bench = Bench(tmp_path, Receiver(TAKEN))
    bench.sender.finish(30)
    assert bench.said == ["a run that was killed had 7 items of logs in memory, which are lost"]
    assert read_losses(tmp_path) == {"killed": {"logs": 7}}


def test_what_is_expected_and_never_comes_is_missed_after_a_kill(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(TAKEN))
    bench.sender.expect("logs", 5)
    bench.sender.submit(request("event", items=3))
    while bench.sender.counts.sent < 3:
        time.sleep(0.01)
    (ledger,) = tmp_path.glob("*.ledger")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / ledger.name).write_bytes(ledger.read_bytes())
    bench.sender.finish(30)
    assert reap(tmp_path / "copy") == {"killed": {"logs": 2}}


def test_without_a_spool_what_waits_at_the_end_is_lost_and_counted() -> None:
    said: list[str] = []
    sender = Sender(lambda: Receiver(AWAY), None, said.append)
    sender.start()
    sender.submit(request("event", items=3))
    sender.finish(0.1)
    assert sender.counts.lost == {"no room": {"logs": 3}}


def test_a_spool_that_is_full_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    one = len(request("event 0").body)
    bench = Bench(tmp_path, Receiver(AWAY))
    bench.sender.finish(0)
    spool = Spool(tmp_path, "00000000000000000001-aaaaaaaa", SpoolLimits(2 * one, 3600.0))
    sender = Sender(lambda: Receiver(AWAY), spool, bench.say)
    sender.start()
    for number in range(3):
        sender.submit(request(f"event {number}", items=10))
    sender.finish(0.1)
    assert [name_of(entry.read().body) for entry in spool.waiting()] == ["event 1", "event 2"]
    assert sender.counts.lost == read_losses(tmp_path) == {"spool full": {"logs": 10}}
    assert sender.waiting == 20


def test_sender_says_once_that_a_receiver_does_not_have_a_signal(tmp_path: Path) -> None:
    """Also where the receiver's words are others each time; of another signal it is news."""
    answers = [
        Outcome(Status.REJECTED, 1, f"no route (request {number})", missing="traces" if number % 10 == 9 else "logs")
        for number in range(30)
    ]
    receiver = Receiver(*answers, TAKEN)
    bench = Bench(tmp_path, receiver)
    for number in range(31):
        bench.sender.submit(request(f"event {number}"))
    bench.sender.finish(30)
    assert bench.said == ["receiver: no route (request 0)", "receiver: no route (request 9)"]
    assert receiver.taken == ["event 30"]


def test_what_sender_says_is_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(*(Outcome(Status.REJECTED, 1, f"refused ({number})") for number in range(500))))
    for number in range(500):
        bench.sender.submit(request(f"event {number}"))
    bench.sender.finish(30)
    assert len(bench.said) == 101
    assert bench.said[98:] == [
        "receiver: refused (98)",
        "receiver: refused (99)",
        "there is more that is wrong, which is not said",
    ]
    assert bench.sender.counts.refused == 500


def test_sender_counts_partial_success(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(Outcome(Status.ACCEPTED, 2, "2 of 5 refused")))
    bench.sender.submit(request("mixed", items=5))
    bench.sender.finish(30)
    assert (bench.sender.counts.sent, bench.sender.counts.rejected, bench.sender.waiting) == (3, 2, 0)
    assert bench.said == ["receiver: 2 of 5 refused"]


def test_sender_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that hangs: what is above the limit goes to disk at once, and nothing is lost or out of order."""
    monkeypatch.setattr(backlog_module.Backlog.__init__, "__kwdefaults__", {"limit": 200, "everyones": False})
    go = threading.Event()
    receiver = Receiver(TAKEN)
    plain_send = receiver.send

    def hang(request: Request, timeout: float) -> Outcome:
        go.wait(30)
        return plain_send(request, timeout)

    monkeypatch.setattr(receiver, "send", hang)
    bench = Bench(tmp_path, receiver)
    names = [f"event {number}" for number in range(50)]
    for name in names:
        bench.sender.submit(request(name))
    assert len(bench.kept()) > 30
    assert bench.sender.is_behind
    go.set()
    bench.sender.finish(30)
    assert receiver.taken == names
    assert (bench.kept(), bench.sender.counts.sent) == ([], 50)


def test_sender_survives_a_fault_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(TAKEN)
    plain_send = receiver.send

    def stumble(request: Request, timeout: float) -> Outcome:
        if name_of(request.body) == "odd":
            raise RuntimeError("unforeseen")
        return plain_send(request, timeout)

    monkeypatch.setattr(receiver, "send", stumble)
    bench = Bench(tmp_path, receiver)
    for name in ("odd", "plain"):
        bench.sender.submit(request(name))
    bench.sender.finish(30)
    assert (receiver.taken, bench.kept(refused=True)) == (["plain"], ["odd"])
    assert "unforeseen" in bench.said[0]


def test_a_full_disk_is_said_and_what_waits_is_tried_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    bench = Bench(tmp_path, Receiver(AWAY))
    bench.sender.submit(request("gone", items=7))
    assert bench.spoke.wait(30)
    bench.sender.finish(0.1)
    assert bench.sender.counts.lost == {"no room": {"logs": 7}}
    assert any("No space left on device" in message for message in bench.said)


def test_new_file_never_writes_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = [new_file("capture-20261123T000000Z") for _ in range(3)]
    for file in files:
        file.write(request(file.path))
        file.close()
    assert [file.path for file in files] == [
        "capture-20261123T000000Z.jsonl",
        "capture-20261123T000000Z-2.jsonl",
        "capture-20261123T000000Z-3.jsonl",
    ]
    assert all((tmp_path / file.path).stat().st_mode & 0o777 == 0o600 for file in files)


def test_of_two_runs_each_can_send_what_it_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has nothing on disk does not keep others from sending."""
    monkeypatch.setattr(sender_module, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(retry_module, "_FIRST_DELAY", 0.01)
    one = Bench(tmp_path, Receiver(TAKEN))
    one.sender.submit(request("from one"))
    while one.sender.counts.sent < 1:
        time.sleep(0.01)
    receiver = Receiver(AWAY, TAKEN)
    other = Bench(tmp_path, receiver, "00000000000000000002-bbbbbbbb")
    other.sender.submit(request("from the other"))
    other.sender.finish(30)
    assert receiver.taken == ["from the other"]
    one.sender.finish(30)


def test_a_full_disk_is_no_end_and_losses_are_written_down_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.posix_fallocate", full)
        disk.setattr("os.fsync", full)
        disk.setattr("orchestrator.delivery.sender.add_losses", full)
        bench = Bench(tmp_path, Receiver(Outcome(Status.ACCEPTED, 1, "one refused"), AWAY))
        assert bench.said[0].endswith("should we be killed, nobody will know what was lost")
        bench.sender.submit(request("in part", items=5))
        while bench.sender.counts.sent < 4:
            time.sleep(0.01)
        assert read_losses(tmp_path) == {}
    bench.sender.finish(0.1)
    assert read_losses(tmp_path) == {"rejected": {"logs": 1}}


NO_LOGS = Outcome(Status.REJECTED, 1, "404 page not found", missing="logs")


def test_what_a_receiver_has_no_place_for_and_does_not_need_is_no_loss(tmp_path: Path) -> None:
    """The audit trail, where only metrics are wanted."""
    bench = Bench(tmp_path, Receiver(NO_LOGS, REFUSED, TAKEN))
    for name in ("not needed", "bad", "good"):
        bench.sender.submit(Request("logs", [request(name).body], 1, optional=True))
    bench.sender.finish(30)
    assert bench.kept(refused=True) == ["bad"]
    assert bench.said == ["receiver: no such path"]
    assert (bench.sender.counts.sent, bench.sender.counts.refused, bench.sender.counts.lost) == (1, 1, {})


def test_what_is_needed_and_has_no_place_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(NO_LOGS))
    bench.sender.submit(request("needed"))
    bench.sender.finish(30)
    assert bench.kept(refused=True) == ["needed"]
    assert bench.said == ["receiver: 404 page not found"]


def test_a_spool_that_can_be_read_no_more_is_said_and_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_DELAY", 0.01)
    waiting, broken = Spool.waiting, [OSError(5, "Input/output error", "a file")]

    def read(spool: Spool) -> list[Entry]:
        if broken:
            raise broken.pop()
        return waiting(spool)

    monkeypatch.setattr(Spool, "waiting", read)
    receiver = Receiver(TAKEN)
    bench = Bench(tmp_path, receiver)
    bench.sender.submit(request("first"))
    bench.sender.finish(5.0)
    assert receiver.taken == ["first"]
    assert bench.said == ["a file: Input/output error; what waits there may come twice"]
