"""`python -m engine` is `crossdock`."""

from engine.cli import main

main(prog_name="crossdock")
