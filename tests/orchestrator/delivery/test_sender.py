"""What becomes of requests when a receiver takes them, refuses them, or is away."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from orchestrator.delivery import sender as sender_module
from orchestrator.delivery.files import JsonLines, new_file
from orchestrator.delivery.sender import Sender
from orchestrator.delivery.transport import Outcome, Request, Status


def request(name: str, items: int = 1) -> Request:
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add().log_records.add(event_name=name)
    return Request("logs", message.SerializeToString(), items)


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
    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.said: list[str] = []
        self.spoke = threading.Event()
        self.file = folder / "kept.jsonl"
        self.sender = Sender(lambda: receiver, lambda: JsonLines(str(self.file)), self.say)
        self.sender.start()

    def say(self, message: str) -> None:
        self.said.append(message)
        self.spoke.set()

    def kept(self) -> list[str]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["eventName"] for line in lines]


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
    assert (bench.sender.sent, bench.sender.kept_items, bench.said) == (60, 0, [])
    assert receiver.closed
    assert not bench.file.exists()


def test_sender_keeps_what_is_refused_and_goes_on(tmp_path: Path) -> None:
    receiver = Receiver(REFUSED, TAKEN)
    bench = Bench(tmp_path, receiver)
    bench.sender.submit(request("bad"))
    bench.sender.submit(request("good"))
    bench.sender.finish(30)
    assert receiver.taken == ["good"]
    assert bench.kept() == ["bad"]
    assert (bench.sender.sent, bench.sender.kept_items) == (1, 1)
    assert bench.said == ["receiver: no such path"]


def test_sender_says_at_once_and_keeps_what_an_absent_receiver_did_not_take(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(AWAY))
    for number in range(3):
        bench.sender.submit(request(f"event {number}"))
    assert bench.spoke.wait(30)
    bench.sender.finish(0.1)
    assert bench.said == ["receiver: connection refused"]  # once
    assert bench.kept() == ["event 0", "event 1", "event 2"]


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
    assert bench.sender.kept_items == 500


def test_sender_counts_partial_success(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Receiver(Outcome(Status.ACCEPTED, 2, "2 of 5 refused")))
    bench.sender.submit(request("mixed", items=5))
    bench.sender.finish(30)
    assert (bench.sender.sent, bench.sender.rejected, bench.sender.kept_items) == (3, 2, 0)
    assert bench.said == ["receiver: 2 of 5 refused"]


def test_sender_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that hangs: what is above the limit goes to the file at once, and nothing is lost."""
    monkeypatch.setattr(sender_module, "_QUEUE_LIMIT", 200)
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
    go.set()
    bench.sender.finish(30)
    assert sorted(receiver.taken + bench.kept()) == sorted(names)
    assert bench.kept()
    assert bench.sender.sent + bench.sender.kept_items == 50


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
    assert (receiver.taken, bench.kept()) == (["plain"], ["odd"])
    assert "unforeseen" in bench.said[0]


def test_sender_says_when_keeping_fails_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "no such folder", Receiver(REFUSED))
    bench.sender.submit(request("gone", items=7))
    bench.sender.finish(30)
    assert bench.sender.lost_items == 7
    assert "could not be kept" in bench.said[-1]


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
