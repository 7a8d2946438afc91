"""Other ways from bpftrace's output to OTLP, to compare with."""
