"""Kala: a job scheduler daemon. Read `daemon.py` to know its life."""

__version__ = "1.0.0"
