"""Options of checkpoints, as Flink's CheckpointConfig has them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


ANY_NUMBER: Final = 2**31 - 1
"""The most failed checkpoints that can be tolerated."""


class CheckpointOptions:
    """Sets what the section `checkpoint` of the settings holds.

    Args:
        configure: gives a setting by its dotted name.
    """

    def __init__(self, configure: Callable[[str, Any], object]) -> None:
        self._configure = configure

    def _set(self, key: str, value: Any) -> Self:
        self._configure(f"checkpoint.{key}", value)
        return self

    def set_checkpointing_mode(self, mode: str) -> Self:
        """`exactly_once` aligns barriers; `at_least_once` lets records pass them: less latency, repeats after a failure."""
        return self._set("mode", mode)

    def set_checkpoint_timeout(self, timeout: timedelta) -> Self:
        """From the trigger to the last acknowledgement; a checkpoint that takes longer has failed."""
        return self._set("timeout", timeout)

    def set_min_pause_between_checkpoints(self, pause: timedelta) -> Self:
        """Least time from the completion of a checkpoint to the start of the next."""
        return self._set("min_pause", pause)

    def set_max_concurrent_checkpoints(self, count: int) -> Self:
        """Checkpoints under way at once; this release takes one."""
        return self._set("max_concurrent", count)

    def set_tolerable_checkpoint_failures(self, count: int) -> Self:
        """Failed checkpoints in a row that do not yet fail the job."""
        return self._set("tolerable_failures", count)

    def set_fail_on_checkpointing_errors(self, fail: bool) -> Self:
        """Flink's older switch for the option above: True tolerates no failed checkpoint, False any number of them."""
        return self.set_tolerable_checkpoint_failures(0 if fail else ANY_NUMBER)

    def set_externalized_checkpoint_retention(self, retention: str) -> Self:
        """What happens to the checkpoints of a cancelled job: `retain_on_cancellation` or `delete_on_cancellation`."""
        return self._set("retention", retention)

    def set_retained_checkpoints(self, count: int) -> Self:
        """Completed checkpoints kept while the job runs."""
        return self._set("retained", count)

    def set_checkpoint_storage(self, location: str | os.PathLike[str]) -> Self:
        """Where checkpoints are kept: a folder, a URL of an installed storage, or `memory`."""
        return self._set("storage", os.fspath(location))
