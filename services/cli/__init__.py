"""The command line: a client of the public API, and the supervisor of a system on one machine."""
