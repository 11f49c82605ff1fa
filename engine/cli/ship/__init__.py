"""`crossdock ship`: an order file becomes waybills and labels. See README.md beside this file."""

from engine.cli.ship.command import ship

__all__ = ["ship"]
