"""The plain way in Python: `json.loads` and OpenTelemetry's SDK, a log record for each event.

    python benchmarks/peers/plain_python.py --endpoint http://127.0.0.1:4318 <events.json

The SDK's BatchLogRecordProcessor drops records when its queue (2,048) is full, which a stream that is read from a file
fills at once. So it is flushed after each 2,048 records: nothing is lost, and everything else is left as it comes.
The time becomes the record's timestamp, the other seven fields its attributes.
"""

from __future__ import annotations

import argparse
import json
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

QUEUE = 2048  # Also the SDK's default.


def main() -> None:
    """Read events from standard input and export them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    arguments = parser.parse_args()
    exporter = OTLPLogExporter(endpoint=f"{arguments.endpoint}/v1/logs", compression=Compression.NoCompression)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=QUEUE))
    logger = provider.get_logger("plain-python")
    emitted = 0
    for line in sys.stdin:
        record = json.loads(line)
        if record["type"] != "value":
            continue
        event, time, pid, tid, uid, comm, cpu, flags, path = record["data"]
        logger.emit(
            timestamp=time,
            event_name=event,
            attributes={
                "process.pid": pid,
                "thread.id": tid,
                "process.user.id": uid,
                "process.executable.name": comm,
                "cpu.logical_number": cpu,
                "flags": flags,
                "file.path": path,
            },
        )
        emitted += 1
        if emitted % QUEUE == 0:
            provider.force_flush()
    provider.shutdown()
    print(json.dumps({"emitted": emitted}))


if __name__ == "__main__":
    main()
