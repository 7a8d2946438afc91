"""What bpftrace-forwarder does with prints of a map: `json.loads`, and a counter of OpenTelemetry's SDK to add them to.

    python benchmarks/peers/forwarder.py [--endpoint http://127.0.0.1:4318] <maps.json

Each value of each print is *added* to the counter, with the key as one attribute, so that the sum is right only for
maps that are cleared after each print. Histograms end it, as nothing but numbers can be added. Beyond 2,000 keys
the SDK adds up all others in one.

After each record the original flushes to a Collector by gRPC. With `--endpoint` that is done by HTTP/protobuf; without,
nothing is collected or sent, which leaves the parsing and the adding.
"""

from __future__ import annotations

import argparse
import json
import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Counter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, PeriodicExportingMetricReader


def add(counter: Counter, value: object) -> int:
    """Add what a map holds, one number or one of each key; returns how many."""
    if isinstance(value, int | float):
        counter.add(value)
        return 1
    if not isinstance(value, dict):
        sys.exit("a number was expected")
    for key, number in value.items():
        counter.add(number, {"process": key})
    return len(value)


def main() -> None:
    """Read records from standard input and keep a counter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint")
    arguments = parser.parse_args()
    reader: MetricReader = InMemoryMetricReader()
    if arguments.endpoint:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{arguments.endpoint}/v1/metrics"))
    provider = MeterProvider([reader])
    counter = provider.get_meter("bpftrace-forwarder").create_counter("bpftrace")
    records = keys = 0
    json.loads(sys.stdin.readline())  # attached_probes
    while line := sys.stdin.readline():
        data = json.loads(line)["data"]
        if len(data) != 1:
            sys.exit("one map was expected")
        # The original takes the map without a name, `@`, only; which name it has changes nothing here.
        (value,) = data.values()
        keys += add(counter, value)
        records += 1
        if arguments.endpoint:
            provider.force_flush()
    provider.shutdown()
    print(json.dumps({"records": records, "keys": keys}))


if __name__ == "__main__":
    main()
