"""`python -m kala` is `kala`."""

from kala.cli import main

main(prog_name="kala")
