"""What a connector is called in the places where it has a name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from millstream.plugins import KNOWN_DISTS
from millstream_testkit.new.errors import ConnectorNameUnusable

LONGEST: Final = 32
"""Longer names would break lines of the templates in other places."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_PREFIX: Final = "millstream-"
_EXAMPLE: Final = "my-queue"
_NOT_CONNECTORS: Final = {"core": "millstream-core", "testkit": "millstream-testkit"}
_CONTRACTS: Final = {"write-ahead": "WriteAheadSink", "split": "SplitEnumerator", "source": "SourceReader", "sink": "SinkHarness"}
"""Names whose classes would be called like one that they are derived from."""
_OUR_OWN: Final = {**KNOWN_DISTS, **{dist.removeprefix(_PREFIX): dist for dist in KNOWN_DISTS.values()}, **_NOT_CONNECTORS}
"""Names of connectors whose distribution, or whose entries, would meet one of Millstream's own."""


@dataclass(frozen=True)
class ConnectorNames:
    """The names of one connector.

    Attributes:
        name: of its entries and its entry point: `my-queue`.

    >>> names = ConnectorNames("my-queue")
    >>> names.dist, names.package, names.stem, names.words
    ('millstream-my-queue', 'millstream_my_queue', 'MyQueue', 'my queue')
    """

    name: str

    @property
    def dist(self) -> str:
        """Name of the distribution."""
        return _PREFIX + self.name

    @property
    def package(self) -> str:
        """Name that is imported."""
        return self.dist.replace("-", "_")

    @property
    def stem(self) -> str:
        """What the names of its classes begin with."""
        return "".join(word.capitalize() for word in self.name.split("-"))

    @property
    def words(self) -> str:
        """As it stands in sentences."""
        return self.name.replace("-", " ")


def connector_names(name: str) -> ConnectorNames:
    """The names of the connector that somebody asks for.

    Raises:
        ConnectorNameUnusable: with a name that can be used instead.
    """
    reason = _why_not(name)
    if reason:
        raise ConnectorNameUnusable(name=name, reason=reason, suggestion=_suggestion(name))
    return ConnectorNames(name)


def _why_not(name: str) -> str:
    """Why a name cannot be used, as the middle of a sentence; empty when it can."""
    if name.startswith(_PREFIX) or name == "millstream":
        return "the distribution gets the prefix millstream- by itself"
    if _NAME.fullmatch(name) is None:
        return "a name has lower-case letters, digits, and single hyphens between them, and begins with a letter"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, and {LONGEST} is the most"
    if name in _OUR_OWN:
        return f"that name belongs to Millstream's own {_OUR_OWN[name]}"
    if name in _CONTRACTS:
        return f"its class {_CONTRACTS[name]} would be derived from one of that name"
    return ""


def _suggestion(name: str) -> str:
    """The nearest name that can be used; an example when nothing of it can."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain).lower()
    near = re.sub(r"[^a-z0-9]+", "-", words).lstrip("-0123456789")
    near = near.removeprefix(_PREFIX).lstrip("-0123456789")[:LONGEST].rstrip("-")
    if near in _OUR_OWN or near in _CONTRACTS:
        near = f"my-{near}"
    return _EXAMPLE if _why_not(near) else near
