"""What is said at the end of every run: what was lost, and one line of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.signals.sampling import ADJUSTED_COUNT, Thinned

if TYPE_CHECKING:
    from orchestrator.delivery.sender import Sender
    from orchestrator.outlet import Outlet
    from orchestrator.pipeline import Pipeline
    from orchestrator.signals.stacks import StackCounts

__all__ = ("closing_line", "conclude", "left_out", "losses", "undelivered", "waiting")

_SHOWN_PROBLEMS = 5
_NOUNS = {"logs": "log records", "metrics": "data points", "traces": "spans", "profiles": "profiles"}
# Why what was read did not arrive: the causes of delivery, and what can be done.
_LOSSES = {
    "spool full": ": raise spool.max_mb in the --config file",
    "too old": ": raise spool.max_age in the --config file",
    "no room": ": neither memory nor disk had room",
}
_MENDS = {"unreadable": "their events lack a key, a duration or a time that makes sense: mend the manifest"}


def losses(pipeline: Pipeline) -> list[str]:
    """One line for each kind of loss; none if all that happened was read."""
    stream = pipeline.stream
    lines = [
        f"{name}: {counts.lost:,} of {counts.emitted or 0:,} events were lost between kernel and bpftrace; "
        "narrow the signal, or raise BPFTRACE_PERF_RB_PAGES"
        for name, counts in pipeline.counts.items()
        if counts.lost
    ]
    lines += [
        f"{name}: {count:,} spans were lost ({cause}); {_MENDS.get(cause, 'narrow the signal')}"
        for name, counts in pipeline.counts.items()
        for cause, count in counts.spans_lost.items()
    ]
    counted = (
        (stream.unparsed, f"lines of bpftrace's output could not be read; the first: {stream.first_unparsed}"),
        (stream.unknown, "records of bpftrace are of a type that is not known here"),
        (
            0 if any(counts.emitted is not None for counts in pipeline.counts.values()) else stream.reported_lost,
            "events were lost, says bpftrace (from 0.24 on it does not count all of them)",
        ),
        (stream.unread_entries, "entries of maps could not be read"),
        (stream.dropped_lines, "lines of bpftrace's output came faster than they could be read"),
    )
    lines += [f"{count:,} {what}" for count, what in counted if count]
    problems = sorted(stream.problems.items(), key=lambda item: -item[1])
    return lines + [f"bpftrace: {message} ({count:,} times)" for message, count in problems[:_SHOWN_PROBLEMS]]


def left_out(pipelines: Sequence[Pipeline], why: str) -> list[str]:
    """One line for each signal of which events or spans were left out. That is no loss: the others stand for them."""
    found: dict[tuple[str, str], Thinned] = {}
    for name, counts in [item for pipeline in pipelines for item in pipeline.counts.items()]:
        for what, thinned in (("events", counts.events_thinned), ("spans", counts.spans_thinned)):
            found.setdefault((name, what), Thinned()).merge(thinned)
    return [
        f"{name}: {thinned.left_out:,} of {thinned.received:,} {what} were left out ({why}); the others say in "
        f"{ADJUSTED_COUNT} how many they stand for"
        + (f", but for the last {thinned.remainder:,}" if thinned.remainder else "")
        for (name, what), thinned in found.items()
        if thinned.left_out
    ]


def undelivered(sender: Sender) -> list[str]:
    """One line for each kind of loss behind us; none if all that was read was delivered, or waits for that."""
    counts = sender.counts
    lines = []
    if counts.refused:
        lines.append(
            f"{sender.receiver} refused {counts.refused:,} items in whole requests; they are kept: once it is mended, "
            "`orchestrate flush --refused` sends them"
        )
    if counts.rejected:
        lines.append(f"{sender.receiver} refused {counts.rejected:,} items")
    return lines + [
        f"{items:,} {_NOUNS[signal]} were lost ({cause}{_LOSSES.get(cause, '')}) on their way to {sender.receiver}"
        for cause, signals in counts.lost.items()
        for signal, items in signals.items()
    ]


def waiting(sender: Sender) -> list[str]:
    """What is neither delivered nor lost."""
    if not sender.waiting:
        return []
    return [
        f"{sender.waiting:,} items for {sender.receiver} wait on disk: the next run sends them, or `orchestrate flush`"
    ]


def conclude(pipelines: Sequence[Pipeline], outlet: Outlet, problems: Sequence[str], told: Sequence[str] = ()) -> bool:
    """Say what was told, every loss, and what was done; whether nothing was lost."""
    lost = [
        *problems,
        *outlet.destinations.problems,
        *(loss for pipeline in pipelines for loss in losses(pipeline)),
        *(loss for sender in outlet.destinations.senders for loss in undelivered(sender)),
    ]
    for line in told:
        outlet.terminal.say(line)
    for line in (line for sender in outlet.destinations.senders for line in waiting(sender)):
        outlet.say(line)
    for loss in lost:
        outlet.say(loss)
    if lost or not outlet.quiet:
        outlet.terminal.say(closing_line(pipelines, outlet))
    return not lost


def closing_line(pipelines: Sequence[Pipeline], outlet: Outlet) -> str:
    """``tcp, exec: 5.0 s, 30 probes, 123 log records, 456 data points -> capture.jsonl``."""
    names = ", ".join(dict.fromkeys(name for pipeline in pipelines for name in pipeline.counts))
    if not any(pipeline.ready or pipeline.ended or pipeline.as_written for pipeline in pipelines):
        return f"{names}: stopped before all probes were attached"
    lines = _lines(pipelines)
    seconds = max(sum(pipeline.seconds for pipeline in line) for line in lines)
    probes = sum(max(pipeline.probes or 0 for pipeline in line) for line in lines)
    output = outlet.output
    made = [f"{output.log_records:,} log records", f"{output.data_points:,} data points"]
    halves = sum(
        count for one in pipelines for counts in one.counts.values() for count in counts.spans_incomplete.values()
    )
    unpaired = f" ({halves:,} without their other half)" if halves else ""
    made += [f"{output.spans:,} spans{unpaired}"] if output.spans or halves else []
    made += _stacks([pipeline.stream.stacks for pipeline in pipelines], output.profiles)
    return f"{names}: {seconds:.1f} s, {probes} probes, {', '.join(made)} -> {', '.join(outlet.destinations.described)}"


def _lines(pipelines: Sequence[Pipeline]) -> list[list[Pipeline]]:
    """Each bpftrace with those that took its place."""
    lines: list[list[Pipeline]] = []
    for pipeline in pipelines:
        line = next((one for one in lines if one[0].counts.keys() & pipeline.counts.keys()), None)
        if line is None:
            lines.append([pipeline])
        else:
            line.append(pipeline)
    return lines


def _stacks(counts: Sequence[StackCounts], profiles: int) -> list[str]:
    """``2 profiles of 1,032 stacks (3 with frames without a symbol, 1 that may be cut)``; unmade stacks, by map."""
    found = []
    if profiles:
        unsure = (
            (sum(one.unresolved for one in counts), "with frames without a symbol"),
            (sum(one.truncated for one in counts), "that may be cut"),
            (sum(one.missing for one in counts), "that are missing"),
        )
        shown = ", ".join(f"{count:,} {what}" for count, what in unsure if count)
        stacks = sum(one.stacks for one in counts)
        found.append(f"{profiles:,} profiles of {stacks:,} stacks{f' ({shown})' if shown else ''}")
    unmade = Counter[str]()
    for one in counts:
        unmade.update(one.unmade)
    if unmade:
        maps = ", ".join(f"@{name}" for name in unmade)
        found.append(f"{unmade.total():,} stacks of which nothing is made ({maps}: count() and sum() can be added up)")
    return found
