"""What three versions of bpftrace really printed, in both formats, and what is made of it."""
