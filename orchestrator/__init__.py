"""Runs bpftrace programs and delivers what they say as OTLP."""

__version__ = "0.1.0"
