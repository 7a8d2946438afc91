"""bpftraces at work: read, kept alive, and held to what they may take."""
