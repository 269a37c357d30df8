"""Pairings of which one half is wrong. Not collected by itself: `test_wrong_connectors.py` runs it."""

from __future__ import annotations

from pathlib import Path

from millstream_testkit import PairingHarness, PairingSuite
from millstream_testkit.loading import load

_HERE = Path(__file__).parent


class ResurrectingBackendHarness(PairingHarness):
    state_backend = load(f"{_HERE / 'backends.py'}:DeletedEntriesComeBackHarness")
    checkpoint_storage = load(f"{_HERE / 'storages.py'}:Harness")


class ListingStorageHarness(PairingHarness):
    state_backend = load(f"{_HERE / 'backends.py'}:RightHarness")
    checkpoint_storage = load(f"{_HERE / 'storages.py'}:ListsWhatIsNotPublishedHarness")


class TestResurrectingBackend(PairingSuite):
    harness = ResurrectingBackendHarness


class TestResurrectingBackendInAJob(PairingSuite):
    harness = ResurrectingBackendHarness


class TestListingStorage(PairingSuite):
    harness = ListingStorageHarness
