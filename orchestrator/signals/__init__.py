"""Records + manifest rules -> metrics and log records. Pure: the time is passed in, nothing is sent."""
