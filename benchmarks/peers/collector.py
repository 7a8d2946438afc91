"""The OpenTelemetry Collector's way: its file_log receiver parses the lines, its OTLP exporter sends them.

    python -m benchmarks.peers.collector events.json [--parser json|regex] [--rounds 3]

A Collector with what that takes is built once by the official builder from collector-build.yaml (minutes, needs Go),
in the cache that the live tests use. The time becomes the record's timestamp, and the eight fields its attributes:

- json: json_parser reads the line, and one operator for each field takes it out of the list. Integers stay integers.
- regex: one regular expression takes the line apart. Cheaper, but every attribute is text, and JSON's escapes stay.

Neither keeps the line itself, so that what is sent is what the others send.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Spent, median, reap, table
from benchmarks.sink import Sink, started
from benchmarks.streams import FIELDS

MANIFEST = Path(__file__).with_name("collector-build.yaml")
_TIME = {"parse_from": "attributes.time", "layout_type": "epoch", "layout": "ns"}
_PATTERN = (
    r'\["bench_open",(?P<time>\d+),(?P<pid>\d+),(?P<tid>\d+),(?P<uid>\d+),"(?P<comm>.*?)",(?P<cpu>\d+),(?P<flags>\d+),'
    r'"(?P<path>.*)"\]\}$'
)
_TAKEN_OUT: list[dict[str, object]] = [
    {"type": "add", "field": f"attributes.{field}", "value": f"EXPR(attributes.data[{place}])"}
    for place, field in enumerate(FIELDS, 1)
]
OPERATORS: dict[str, list[dict[str, object]]] = {
    "json": [
        {"type": "json_parser", "parse_ints": True},
        *_TAKEN_OUT,
        {"type": "remove", "field": "attributes.data"},
        {"type": "remove", "field": "attributes.type"},
        {"type": "time_parser", **_TIME},
    ],
    "regex": [{"type": "regex_parser", "regex": _PATTERN, "timestamp": _TIME}],
}


def build() -> Path:
    """The Collector's binary, built if it is not in the cache.

    Raises:
        FileNotFoundError: Go is not installed.
        subprocess.CalledProcessError: it could not be built; why stands in otelcol-bench.log beside it.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("BPFTRACE_ORCHESTRATOR_CACHE") or home / "bpftrace-orchestrator")
    manifest = MANIFEST.read_text()
    folder = cache / f"otelcol-bench-{hashlib.sha256(manifest.encode()).hexdigest()[:12]}"
    (cache / "go").mkdir(parents=True, exist_ok=True)
    # The lock and the builder are those of tests/tools/build-collector.
    with (cache / "otelcol.lock").open("w") as lock, (cache / "otelcol-bench.log").open("w") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "otelcol-bench").exists():
            environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOBIN": str(cache / "go")}

            def call(*command: str | Path) -> None:
                subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)

            (version,) = re.findall(r"otelcol_version: *(\S+)", manifest)
            builder = cache / "go" / f"builder-{version}"
            if not builder.exists():
                call("go", "install", f"go.opentelemetry.io/collector/cmd/builder@v{version}")
                (cache / "go" / "builder").rename(builder)
            new = folder.with_name(f"{folder.name}.new")
            new.mkdir(exist_ok=True)
            (new / "builder.yaml").write_text(manifest.replace("dist:\n", f"dist:\n  output_path: {new}\n", 1))
            call(builder, "--config", new / "builder.yaml")
            shutil.rmtree(folder, ignore_errors=True)
            new.rename(folder)
    return folder / "otelcol-bench"


def configuration(events: Path, endpoint: str, parser: str) -> str:
    """What the Collector is to do, as JSON, which is YAML too; logs and metrics of its own are off."""
    operators: list[dict[str, object]] = [
        {"type": "filter", "expr": 'not (body startsWith "{\\"type\\": \\"value\\"")'},
        *OPERATORS[parser],
        {"type": "remove", "field": "body"},
    ]
    receiver = {
        "include": [str(events)],
        "start_at": "beginning",
        "include_file_name": False,
        "operators": operators,
    }
    pipeline = {"receivers": ["file_log"], "processors": ["batch"], "exporters": ["otlp_http"]}
    return json.dumps(
        {
            "receivers": {"file_log": receiver},
            "processors": {"batch": {}},
            "exporters": {"otlp_http": {"endpoint": endpoint, "compression": "none"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
                "pipelines": {"logs": pipeline},
            },
        }
    )


def measure(binary: Path, events: Path, count: int, sink: Sink, parser: str = "json") -> Spent:
    """Run the Collector over a file until the sink, which must parse, has `count` records more than before.

    The file is looked at each 200 ms, a batch waits as long at most, and the sink is asked each 50 ms, so that wall
    time is up to half a second more than the work.

    Raises:
        RuntimeError: the Collector ended by itself, or more records came.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(configuration(events.resolve(), sink.url, parser))
        before = sink.counts().log_records or 0
        began = time.perf_counter()
        process = subprocess.Popen([binary, "--config", config])
        try:
            while (came := (sink.counts().log_records or 0) - before) < count:
                # It is not waited for here, as then nobody could ask any more what it took.
                if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    raise RuntimeError("the Collector ended before all had come")
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            spent = reap(process, began)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if came != count or (sink.counts().log_records or 0) - before != count:
            raise RuntimeError("more records came than there are events")
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=Path)
    parser.add_argument("--parser", choices=sorted(OPERATORS), default="json")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    binary = build()
    with arguments.events.open("rb") as file:
        count = sum(line.startswith(b'{"type": "value"') for line in file)
    with started(parse=True) as sink:
        runs = [measure(binary, arguments.events, count, sink, arguments.parser) for _ in range(arguments.rounds)]
    spent = median(runs)
    print(
        table(
            ["Collector", "events", "wall s", "CPU s", "us CPU per event", "peak MB"],
            [[arguments.parser, f"{count:,}", spent.wall, spent.cpu, spent.cpu / count * 1e6, spent.peak / 1e6]],
        )
    )


if __name__ == "__main__":
    main()
