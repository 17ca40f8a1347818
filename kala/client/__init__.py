"""The other side of the HTTP API: what the command line, or a program, says to a daemon and makes of its answers."""
