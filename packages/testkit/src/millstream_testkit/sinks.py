"""The sinks that the kit itself tests, right ones and wrong ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from millstream_filesystem import FileSink
from millstream_testkit import wrong_sinks
from millstream_testkit.harness import SinkHarness

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from millstream_testkit.oracle import Row

NOT_OF_WRITE_AHEAD = frozenset({"sink.prepare.mid", "recovery.before_abort", "recovery.mid_abort"})
"""Its epochs are prepared by the checkpoint itself, so there is nothing half prepared and nothing to abort."""


def file_sink(target: str) -> FileSink[Row]:
    """The file sink as the kit uses it."""
    return FileSink(target, format="json", delivery="exactly_once")


class FileSinkHarness(SinkHarness):
    """`FileSink(delivery="exactly_once")`: finished files only."""

    name = "files"
    factory = f"{__name__}:file_sink"
    not_passed = frozenset({"sink.commit.mid"})

    def visible(self, target: Path) -> Sequence[Row]:
        files = [path for path in target.iterdir() if path.name[0] not in "._"] if target.exists() else []
        return [tuple(json.loads(line)) for path in files for line in path.read_text().splitlines()]

    def leftovers(self, target: Path) -> Sequence[str]:
        hidden = [path for path in (target / ".millstream").rglob("*") if path.is_file()]
        return [str(path.relative_to(target)) for path in hidden if not path.name.startswith("committed-")]


class LedgerHarness(SinkHarness):
    """`SqliteLedgerSink`."""

    name = "ledger"
    factory = "millstream_testkit.wrong_sinks:right"
    not_passed = NOT_OF_WRITE_AHEAD

    def visible(self, target: Path) -> Sequence[Row]:
        return wrong_sinks.visible_rows(target)


class CommitsAtPrepareHarness(LedgerHarness):
    name = "commits_at_prepare"
    factory = "millstream_testkit.wrong_sinks:commits_at_prepare"


class MarkerApartHarness(LedgerHarness):
    name = "marker_apart"
    factory = "millstream_testkit.wrong_sinks:marker_apart"


class NoFenceHarness(LedgerHarness):
    name = "no_fence"
    factory = "millstream_testkit.wrong_sinks:no_fence"


RIGHT_SINKS = (FileSinkHarness(), LedgerHarness())
