"""Faults at random, and the account of every single event after them: `python -m tests.tools.chaos --help`."""
