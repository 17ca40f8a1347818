"""The databases' servers, real ones, for tests, `scripts/services`, `scripts/chaos` and `scripts/bench`."""
