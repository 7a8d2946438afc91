"""What is said at the end of every run: what was lost, and one line of what was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.capture import Capture
    from orchestrator.delivery.sender import Sender
    from orchestrator.output import Output
    from orchestrator.pipeline import Pipeline

__all__ = ("closing_line", "losses")

_SHOWN_PROBLEMS = 5


def losses(pipeline: Pipeline, sender: Sender | None) -> list[str]:
    """One line for each kind of loss; none if all that happened was delivered."""
    stream = pipeline.stream
    lines = [
        f"{name}: {counts.lost:,} of {counts.emitted or 0:,} events were lost between kernel and bpftrace; "
        "narrow the signal, or raise BPFTRACE_PERF_RB_PAGES"
        for name, counts in pipeline.counts.items()
        if counts.lost
    ]
    counted = (
        (stream.unparsed, f"lines of bpftrace's output could not be read; the first: {stream.first_unparsed}"),
        (stream.unknown, "records of bpftrace are of a type that is not known here"),
        (stream.unread_entries, "entries of maps could not be read"),
        (stream.dropped_lines, "lines of bpftrace's output came faster than they could be read"),
    )
    lines += [f"{count:,} {what}" for count, what in counted if count]
    problems = sorted(stream.problems.items(), key=lambda item: -item[1])
    lines += [f"bpftrace: {message} ({count:,} times)" for message, count in problems[:_SHOWN_PROBLEMS]]
    if sender is not None:
        lines += _undelivered(sender)
    return lines


def _undelivered(sender: Sender) -> list[str]:
    lines = []
    if sender.kept_items and sender.kept is not None:
        lines.append(
            f"{sender.kept_items:,} records and points were not delivered; they are kept in {sender.kept.path}"
        )
    if sender.rejected:
        lines.append(f"the receiver refused {sender.rejected:,} records and points")
    if sender.lost_items:
        lines.append(f"{sender.lost_items:,} records and points were neither delivered nor kept")
    return lines


def closing_line(capture: Capture, output: Output, where: Sequence[str]) -> str:
    """``tcp, exec: 5.0 s, 30 probes, 123 log records, 456 data points -> capture.jsonl``."""
    names, pipeline = ", ".join(signal.name for signal in capture.signals), capture.pipeline
    if not pipeline.ready:
        return f"{names}: stopped before all probes were attached"
    return (
        f"{names}: {pipeline.seconds:.1f} s, {pipeline.probes or 0} probes, {output.log_records:,} log records, "
        f"{output.data_points:,} data points -> {', '.join(where)}"
    )
