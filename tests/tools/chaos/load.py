"""Opens files that are not there: python load.py NAME RATE SECONDS PROCESSES DIRECTORY

RATE a second from all processes together, in bursts each 20 ms, of `seq-NAME-<process>-<number>` in the directory
-DIRECTORY, which tells these calls from all others and makes each of them fail at once. It prints how many there were.
"""

from __future__ import annotations

import os
import sys
import time

_PERIOD = 0.02


def open_files(stem: str, each: int, bursts: int, directory: int) -> None:
    """The part of one process."""
    began = time.monotonic()
    number = 0
    for burst in range(bursts):
        time.sleep(max(0.0, began + burst * _PERIOD - time.monotonic()))
        for _ in range(each):
            try:
                os.open(f"{stem}-{number}", os.O_RDONLY, dir_fd=-directory)
            except OSError:
                number += 1


def main() -> None:
    """Start the processes and wait for them."""
    name, (rate, seconds, processes, directory) = sys.argv[1], map(float, sys.argv[2:])
    each, bursts = round(rate * _PERIOD / processes), round(seconds / _PERIOD)
    for process in range(int(processes)):
        if os.fork() == 0:
            open_files(f"seq-{name}-{process}", each, bursts, int(directory))
            os._exit(0)
    for _ in range(int(processes)):
        os.wait()
    print(each * bursts * int(processes))


if __name__ == "__main__":
    main()
