"""bpftrace itself: which one, its program, its process and the ways to start and end it, what it complains of."""
