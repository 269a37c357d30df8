"""The conformance suite of checkpoint storages."""

from __future__ import annotations

from millstream_testkit.suites.storage_contract import StorageContract
from millstream_testkit.suites.storage_deaths import StorageDeaths
from millstream_testkit.suites.storage_disk import StorageOnADisk
from millstream_testkit.suites.storage_rivals import StorageRivals


class CheckpointStorageSuite(StorageContract, StorageRivals, StorageOnADisk, StorageDeaths):
    """Everything that is demanded of a checkpoint storage.

    Example:
        class TestMyStorage(CheckpointStorageSuite):
            harness = MyStorageHarness
    """

    complete = True
