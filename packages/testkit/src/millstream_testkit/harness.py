"""What the author of a connector writes to have it proved: how to make it, and how an outside reader sees what it did."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.contracts.guarantee import Guarantee, SinkCapabilities
from millstream.contracts.two_phase_commit import TwoPhaseCommitSink
from millstream.contracts.write_ahead import WriteAheadSink
from millstream_testkit.errors import HarnessUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.sink import AnySink, BaseSink
    from millstream_testkit.oracle import Row

_CONTRACTS = {"write_ahead": WriteAheadSink, "two_phase_commit": TwoPhaseCommitSink}


def reference_of(defined: type | Callable[..., Any]) -> str:
    """`module:name` or `/path/of/file.py:name` of a class or function.

    Raises:
        HarnessUnusable: it is not at the top level of a file.
    """
    if "." in defined.__qualname__ or defined.__name__ == "<lambda>":
        raise HarnessUnusable(
            harness=defined.__qualname__,
            reason="it is defined inside of a function or class, where the process that is killed cannot find it",
            fix="Move it to the top level of its file",
        )
    file = Path(inspect.getfile(defined)).resolve()
    parts = defined.__module__.split(".")
    package = file.parents[len(parts) - 1]
    by_name = any(Path(entry or ".").resolve() == package for entry in sys.path) and file.stem == parts[-1]
    return f"{defined.__module__ if by_name else file}:{defined.__name__}"


@cache
def _distribution_of(package: str) -> tuple[str, str]:
    same = package.replace("_", "-")
    try:
        # Looked for by name first: one that is installed for development does not list its packages, and to look at all lists is slow.
        return same, metadata.version(same)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(package, [])
        return (names[0], metadata.version(names[0])) if names else ("", "")


class Harness(ABC):
    """One connector under test. The kit makes a new instance in each process, so an instance keeps nothing.

    Attributes:
        name: of the connector, for reports; made from the class's name when it is not given.
    """

    name: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.removesuffix("Harness") or cls.__name__

    @abstractmethod
    def declared(self) -> Any:
        """The capabilities that the connector declares."""

    @abstractmethod
    def connector(self) -> type:
        """The connector's class, for its distribution and version in reports."""

    def guarantee(self) -> str:
        """What the connector gives when everything it declares is proved, for reports; empty when it has no guarantee of its own."""
        return ""

    @classmethod
    def reference(cls) -> str:
        """`module:Class` or `/path/of/file.py:Class`, by which another process finds the harness.

        Raises:
            HarnessUnusable: it is not at the top level of a file.
        """
        return reference_of(cls)

    def distribution(self) -> tuple[str, str]:
        """Name and version of the distribution that the connector comes from; both empty when it belongs to none."""
        return _distribution_of(self.connector().__module__.partition(".")[0])


class SinkHarness(Harness):
    """A sink under test.

    Attributes:
        not_passed: crash points that the sink never passes, because its protocol has no such moment.
        oversized_records: how many records the largest epoch of the suite has. More than the target takes in one go is a good number.
        ordered: `read` finds the records of one lane in the order in which they were written: then the suite demands that order.
        keyed: the target keeps one of several records that are equal, as an upsert does. Else the suite demands that all are there.
        example_target: a text that `sink` takes for a target, to ask the sink what it declares; nothing is opened.
    """

    not_passed: ClassVar[frozenset[str]] = frozenset()
    oversized_records: ClassVar[int] = 20_000
    ordered: ClassVar[bool] = False
    keyed: ClassVar[bool] = False
    example_target: ClassVar[str] = "/tmp/millstream-testkit-example"  # noqa: S108 - never opened

    def create_target(self, folder: Path) -> str:
        """Makes a target of its own for one test and returns how to find it: a path, a URL, the name of a table.

        Args:
            folder: a new, empty folder, for targets that are files.
        """
        return str(folder / "target")

    def drop_target(self, target: str) -> None:
        """Removes a target with everything in it. Files in the folder given to `create_target` are removed without it."""

    @abstractmethod
    def sink(self, target: str) -> AnySink | BaseSink[Any]:
        """The sink, writing to a target. Called in the process that is killed, too."""

    @abstractmethod
    def read(self, target: str) -> Sequence[Row]:
        """What a stranger finds in the target: opens it anew, with nothing from the sink, and closes it again.

        Called while the job runs, and before there is anything. Must not see what is not committed, unless every reader does.
        """

    def leftovers(self, target: str) -> Sequence[str]:
        """What is in the target that nobody needs when the job is done: open transactions, temporary files."""
        return ()

    def record(self, row: Row) -> Any:
        """What the sink takes for a row of three integers; the row itself by default."""
        return row

    def committable_version(self, committable: bytes) -> int | None:
        """Two-phase only: the version of the committable's layout. None leaves it unproved."""
        return None

    def restart_target(self, target: str) -> bool:
        """Kills the server behind the target, without warning, and starts it again. False where there is no server to kill."""
        return False

    # --- for the kit

    def resolved(self, target: str) -> AnySink:
        """The sink that does the work."""
        return self.sink(target).resolve()

    def seen(self, target: str) -> list[Row]:
        """What `read` finds, as rows.

        Raises:
            HarnessUnusable: something it returned is no row.
        """
        found = []
        for row in self.read(target):
            try:
                number, key, place = row
                found.append((int(number), int(key), int(place)))
            except (TypeError, ValueError) as error:
                raise HarnessUnusable(
                    harness=type(self).__name__,
                    reason=f"read() returned {row!r} for a row",
                    fix="Return a sequence of three integers for each record: the row that record() was given",
                ) from error
        return found

    def declared(self) -> SinkCapabilities:
        """The sink's capabilities.

        Raises:
            HarnessUnusable: the sink cannot be made without a target, or declares another contract than it implements.
        """
        sink = self._example()
        declared: object = getattr(sink, "capabilities", None)
        if not isinstance(declared, SinkCapabilities):
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"its sink {type(sink).__name__} has {'no capabilities' if declared is None else f'capabilities {declared!r}'}",
                fix="Give the sink's class `capabilities = SinkCapabilities(kind=...)`",
            )
        contract = _CONTRACTS.get(declared.kind)
        if isinstance(sink, tuple(_CONTRACTS.values())) if contract is None else not isinstance(sink, contract):
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"its sink {type(sink).__name__} declares kind={declared.kind!r}, which is not the contract it implements",
                fix="Declare the kind of the class that the sink extends",
            )
        return declared

    def _example(self) -> AnySink:
        try:
            return self.resolved(self.example_target)
        except Exception as error:
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"sink({self.example_target!r}) raised {type(error).__name__}: {error}",
                fix="A sink is a description that connects in open(); if it needs a target of another form, set example_target to one",
            ) from error

    def connector(self) -> type:
        return type(self._example())

    def guarantee(self) -> str:
        return self.declared().strongest().label

    def promises_exactly_once(self) -> bool:
        """Whether each record must show once, whatever happens."""
        return self.declared().strongest() is Guarantee.EXACTLY_ONCE
