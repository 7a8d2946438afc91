"""What PCP's pmdabpftrace does with bpftrace's output: `json.loads`, and the newest print of each map in a dictionary.

    python benchmarks/peers/pmda.py <maps.json      (or `streams.py hists M 0`)

Keys stay one string, a histogram becomes one instance for each bucket, and histograms with keys are refused (when a
script is registered, in the original). It is the reading only: handing values to PCP is left out, and so are the end of
a script that prints more than 2 MiB/s and the event loop that lines come from.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def keep(state: dict[str, Any], line: str) -> None:
    """Bring the values of all variables up to date with one line."""
    if not line or line.isspace():
        return
    record = json.loads(line)
    data = record["data"]
    match record["type"]:
        case "attached_probes":
            state["probes"] = data["probes"]
        case "map":
            state.update(data)
        case "hist":
            for name, buckets in data.items():
                if isinstance(buckets, dict):
                    sys.exit("every histogram needs a variable of its own")
                state[name] = {f"{one.get('min', '-inf')}-{one.get('max', 'inf')}": one["count"] for one in buckets}
        case "printf" | "time":
            state["@output"] = state.get("@output", "") + data


def main() -> None:
    """Read records from standard input and keep their values."""
    state: dict[str, Any] = {}
    size = 0
    for line in sys.stdin.buffer:
        size += len(line)
        keep(state, line.decode())
    instances = {name: len(value) if isinstance(value, dict) else 1 for name, value in state.items()}
    print(json.dumps({"bytes": size, "instances": instances}))


if __name__ == "__main__":
    main()
