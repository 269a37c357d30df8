"""Sources that need nothing but Python: a collection, a function of an index, lines from a socket."""

from __future__ import annotations

from millstream.api.sources.collection import COLLECTION_CAPABILITIES, CollectionSource
from millstream.api.sources.generator import GENERATOR_CAPABILITIES, GeneratorSource
from millstream.api.sources.socket import SOCKET_CAPABILITIES, SocketSource

__all__ = [
    "COLLECTION_CAPABILITIES",
    "GENERATOR_CAPABILITIES",
    "SOCKET_CAPABILITIES",
    "CollectionSource",
    "GeneratorSource",
    "SocketSource",
]
