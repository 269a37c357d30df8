"""Which plugin contracts this core keeps.

The contract is everything a plugin meets: hooks, records, and the classes of `millstream.contracts`. Its number grows when a plugin
written for the old one would break. Additions do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.errors import PluginContractMismatch

if TYPE_CHECKING:
    from millstream.plugins.entries import Entry

CONTRACT: Final = 1
"""The newest contract this core keeps."""

OLDEST_CONTRACT: Final = 1


def check_contract(entry: Entry) -> None:
    """Refuses an entry written for a contract that this core does not keep.

    Raises:
        PluginContractMismatch: with the command that upgrades the older side.
    """
    if not OLDEST_CONTRACT <= entry.contract <= CONTRACT:
        raise PluginContractMismatch(
            entry=entry.label,
            dist=entry.dist,
            version=entry.dist_version,
            contract=entry.contract,
            oldest=OLDEST_CONTRACT,
            newest=CONTRACT,
        )
