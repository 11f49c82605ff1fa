"""For operations: dashboard and rules as code.

The engine never imports this room, and this room imports nothing of the engine that serves.
"""
