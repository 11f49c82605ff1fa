"""Server reflection that also finds methods: `grpcurl describe crossdock.v1.OrderService.CreateOrder`.

grpcio's servicer asks the descriptor pool, and the pool finds files by services, messages and enums only.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default


class SymbolPool:
    """The default descriptor pool, with methods found through their service."""

    def __init__(self) -> None:
        self._pool: Any = Default()

    def FindFileContainingSymbol(self, name: str) -> FileDescriptor:
        """The file that declares a symbol, methods included. Raises KeyError."""
        try:
            file: FileDescriptor = self._pool.FindFileContainingSymbol(name)
        except KeyError:
            parent, _, method = name.rpartition(".")
            file = self._pool.FindServiceByName(parent).methods_by_name[method].containing_service.file
        return file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
