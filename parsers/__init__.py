"""bpftrace's output and programs -> typed records.

Sans-I/O: bytes or text in, records out. No files, no clock, no process, no OTLP.
"""
