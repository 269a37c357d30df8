"""What the author of a source writes to have it proved."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.contracts.guarantee import SourceCapabilities
from millstream_testkit.errors import HarnessUnusable
from millstream_testkit.harness import Harness

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from millstream.contracts.source import Source


@dataclass(frozen=True)
class SourceDeclaration:
    """What a source declares.

    Attributes:
        bounded: its input has an end.
        replayable: it can be read again from a stored position.
        why_not: when it cannot.
    """

    bounded: bool
    replayable: bool
    why_not: str = ""


class SourceHarness(Harness):
    """A source under test.

    Attributes:
        quiet_limit_s: how long the source may bring nothing while records are missing.
        close_limit_s: how long close() may take.
        example_origin: a text that `source` takes for an origin, to ask the source what it declares; nothing is opened.
    """

    quiet_limit_s: ClassVar[float] = 20.0
    close_limit_s: ClassVar[float] = 10.0
    example_origin: ClassVar[str] = "/tmp/millstream-testkit-example"  # noqa: S108 - never opened

    @abstractmethod
    def create_origin(self, folder: Path) -> str:
        """Fills an origin of its own for one test and returns how to find it: a path, a URL, the name of a topic.

        It needs at least two splits and thirty records, all different, so that there is something to lose.

        Args:
            folder: a new, empty folder, for origins that are files.
        """

    def drop_origin(self, origin: str) -> None:
        """Removes an origin with everything in it. Files in the folder given to `create_origin` are removed without it."""

    @abstractmethod
    def source(self, origin: str) -> Source[Any]:
        """The source, reading from an origin. Called in the process that is killed, too."""

    @abstractmethod
    def expected(self, origin: str) -> Sequence[Any]:
        """Every record of the origin, told by something else than the source."""

    def lose(self, origin: str) -> bool:
        """Makes what is still to be read vanish or change: deletes, trims, lets retention pass. False where that cannot happen."""
        return False

    def spoil(self, origin: str) -> int:
        """Adds input that is no record; returns how many pieces. 0 where every input is one."""
        return 0

    def add(self, origin: str) -> Sequence[Any]:
        """Adds new splits while the source runs; returns their records. Empty where nothing can be added."""
        return ()

    def hang(self, origin: str) -> bool:
        """From now on the origin answers no call any more. False where there is no server that could hang."""
        return False

    def declared(self) -> SourceDeclaration:
        """The source's capabilities.

        Raises:
            HarnessUnusable: the source cannot be made without an origin, or declares nothing.
        """
        source = self._example()
        capabilities: object = getattr(source, "capabilities", None)
        if not isinstance(capabilities, SourceCapabilities) or not isinstance(getattr(source, "bounded", None), bool):
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"its source {type(source).__name__} declares no capabilities, or not whether it is bounded",
                fix="Give the source's class `capabilities = SourceCapabilities(replayable=...)` and `bounded = True` or False",
            )
        return SourceDeclaration(source.bounded, capabilities.replayable, capabilities.why_not)

    def _example(self) -> Source[Any]:
        try:
            return self.source(self.example_origin)
        except Exception as error:
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"source({self.example_origin!r}) raised {type(error).__name__}: {error}",
                fix="A source is a description that connects when it is started; if it needs an origin of another form, set example_origin to one",
            ) from error

    def connector(self) -> type:
        return type(self._example())

    def guarantee(self) -> str:
        return "exactly_once" if self.declared().replayable else "at_most_once"
