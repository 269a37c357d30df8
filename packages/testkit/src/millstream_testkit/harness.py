"""What an author of a sink writes to have it tested: how to make it, and how an outside reader sees its target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from millstream_testkit.oracle import Row


class SinkHarness(ABC):
    """One sink under test.

    Attributes:
        name: of the sink, for test names.
        factory: `module:callable` or `/path/of/file.py:callable`, called in the job's process with the target as text; returns a sink that
            takes rows of three integers.
        not_passed: crash points that the sink never passes, because its protocol has no such moment.
    """

    name: ClassVar[str]
    factory: ClassVar[str]
    not_passed: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def visible(self, target: Path) -> Sequence[Row]:
        """Rows as a reader sees them who knows nothing of the job. Called while the job runs, too, and when there is no target yet."""

    def leftovers(self, target: Path) -> Sequence[str]:
        """What the job left behind that nobody needs: open transactions, temporary files. Called when the job is done."""
        return ()
