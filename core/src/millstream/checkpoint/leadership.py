"""Who leads a job: the newest process that took over its checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.errors import LeaderFenced

if TYPE_CHECKING:
    from millstream.contracts.checkpoint_storage import CheckpointStore

_LEADER: Final = re.compile(r"leader-(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Leadership:
    """What a process has that took over. It is sent to the tasks, so that they can tell whether they were replaced.

    Attributes:
        epoch: from 1; 0 for who never leads.
        token: what no other leader of the job has.
    """

    job_name: str
    epoch: int
    token: bytes

    def check(self, store: CheckpointStore) -> None:
        """Raises LeaderFenced when another has taken over."""
        # A newer leader creates its document before it does anything else. Later ones remove it, but ours before it: so ours comes second.
        if store.read_document(f"leader-{self.epoch + 1}") is None:
            own = store.read_document(f"leader-{self.epoch}") if self.epoch else self.token
            if own == self.token:
                return
        raise LeaderFenced(job_name=self.job_name, epoch=self.epoch, newer=max([self.epoch + 1, *leaders(store)]))


def leaders(store: CheckpointStore) -> list[int]:
    """Epochs whose documents are there, ascending."""
    return sorted(int(match[1]) for match in map(_LEADER.fullmatch, store.documents()) if match)
