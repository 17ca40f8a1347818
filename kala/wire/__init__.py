"""The wire format: what clients send and get, and nobody else knows it."""
