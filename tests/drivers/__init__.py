"""Tests of the drivers: one conformance suite for all of them, and what only one engine has."""
