"""What every bpftrace of a run is started and read with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.audit import Audit
from orchestrator.bpftrace.launch import Launch
from orchestrator.bpftrace.process import BpftraceProcess
from orchestrator.catalog import Signal
from orchestrator.record_file import RecordFile
from orchestrator.sink import Sink
from orchestrator.supervision.capture import Capture

__all__ = ("RunCrew",)


@dataclass(frozen=True, slots=True)
class RunCrew:
    """``version``: that of bpftrace, where it matters. ``adopt`` holds a capture to the limits of the run."""

    launch: Launch
    sink: Sink
    record: RecordFile
    version: tuple[int, ...] | None
    say: Callable[[str], None]
    audit: Audit
    adopt: Callable[[Capture], Capture]

    @property
    def interval(self) -> float:
        """Seconds between two snapshots."""
        return self.launch.interval

    def read(self, process: BpftraceProcess, signals: Sequence[Signal], *, again: bool = False) -> Capture:
        """What reads a bpftrace that was started; ``again``: in the place of another."""
        try:
            recorder, problems = self.record.begin(signals, process.limits, again=again), []
        except OSError as error:
            recorder, problems = None, [f"the recording ends early: {error.strerror}"]
        capture = Capture(process, signals, self.sink, recorder, self.version)
        capture.audit = self.audit
        capture.problems += problems
        return self.adopt(capture)

    def begin(self, signals: Sequence[Signal], *, as_written: bool) -> Capture:
        """Start a bpftrace in the place of another. Raises HostError."""
        process = self.launch.start(signals, as_written=as_written)
        capture = self.read(process, signals, again=True)
        capture.pipeline.as_written = as_written
        return capture

    def marks_snapshots(self, signals: Sequence[Signal]) -> bool:
        """Whether their program tells of each snapshot."""
        return self.launch.has_intervals(signals)
