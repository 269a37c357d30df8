"""Checkpoint storages that are wrong, each by one well-known mistake, with the suite that must catch them. The rest of each is the
filesystem storage.

Not collected by itself: `test_wrong_connectors.py` runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, ClassVar

from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStorageContext, CheckpointStore
from millstream.ports import crash_point
from millstream_filesystem import FilesystemCheckpointStorage
from millstream_filesystem.checkpoints import FilesystemCheckpointStore
from millstream_testkit import CheckpointStorageHarness, CheckpointStorageSuite

Check = Callable[[], None]


class Storage(CheckpointStorage):
    """Opens stores of a class."""

    durable = True

    def __init__(self, root: str, store: type[FilesystemCheckpointStore]) -> None:
        self.root = root
        self.store = store

    def open(self, context: CheckpointStorageContext) -> CheckpointStore:
        right = FilesystemCheckpointStorage(self.root).open(context)
        return self.store(self.files(context.storage), self.root, self.folder(right.location()))

    def files(self, storage: Any) -> Any:
        """What the store keeps its files with."""
        return storage

    def folder(self, folder: str) -> str:
        """The folder of a job."""
        return folder

    def find(self, location: str, storage: Any) -> tuple[CheckpointStore, int]:
        return FilesystemCheckpointStorage(self.root).find(location, storage)


class Harness(CheckpointStorageHarness):
    """Makes a storage."""

    storage_port = True
    store: ClassVar[type[FilesystemCheckpointStore]] = FilesystemCheckpointStore

    def storage(self, location: str) -> Storage:
        return Storage(location, self.store)


class _Unsynced:
    """Says that bytes are durable when the operating system has them."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()


class _UnsyncedStorage(Storage):
    def files(self, storage: Any) -> Any:
        return _Unsynced(storage)


class NeverSyncsHarness(Harness):
    def storage(self, location: str) -> Storage:
        return _UnsyncedStorage(location, FilesystemCheckpointStore)


class _Late(FilesystemCheckpointStore):
    """Files are written together, when it is known that the checkpoint is published."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._files: dict[int, dict[str, bytes]] = {}

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._make_checkpoint_folder(checkpoint_id)
        self._files.setdefault(checkpoint_id, {})[name] = b"".join(parts)

    def publish(self, checkpoint_id: int, manifest: bytes, check: Check = lambda: None) -> None:
        super().publish(checkpoint_id, manifest, check)
        for name, data in self._files.pop(checkpoint_id, {}).items():
            super().write_file(checkpoint_id, name, [data])


class PublishesBeforeTheFilesAreThereHarness(Harness):
    store = _Late


class _FilesFirst(FilesystemCheckpointStore):
    def delete(self, checkpoint_id: int) -> None:
        folder = self.location(checkpoint_id)
        names = self._storage.list(folder) if self._storage.info(folder) is not None else []
        for name in names:
            if name != "_metadata":
                self._storage.delete(f"{folder}/{name}")
        crash_point("checkpoint.subsume.deleting")
        self._remember(max(self.highest_id(), checkpoint_id))
        self._storage.delete_tree(folder)


class DeletesFilesBeforeTheManifestHarness(Harness):
    store = _FilesFirst


class _Forgetful(FilesystemCheckpointStore):
    def _remember(self, checkpoint_id: int) -> None:
        """Counts what is there."""


class ForgetsDeletedIdsHarness(Harness):
    store = _Forgetful


class _InPlace(FilesystemCheckpointStore):
    def write_document(self, name: str, data: bytes) -> None:
        self._make_job_folder()
        path = f"{self._job_folder}/{name}"
        with suppress(FileNotFoundError):
            self._storage.delete(path)
        with self._storage.open_write(path) as file:
            file.write(data)
            self._storage.sync_file(file)
        self._storage.sync_folder(self._job_folder)


class WritesDocumentsInPlaceHarness(Harness):
    store = _InPlace


class _Open(FilesystemCheckpointStore):
    def fence(self) -> None:
        """Whoever publishes has asked whether it may."""


class FencesNobodyHarness(Harness):
    store = _Open


class _ChecksFirst(FilesystemCheckpointStore):
    def publish(self, checkpoint_id: int, manifest: bytes, check: Check = lambda: None) -> None:
        check()
        super().publish(checkpoint_id, manifest)


class ChecksTooEarlyHarness(Harness):
    store = _ChecksFirst


class _Overwriting(FilesystemCheckpointStore):
    def publish(self, checkpoint_id: int, manifest: bytes, check: Check = lambda: None) -> None:
        path = f"{self.location(checkpoint_id)}/_metadata"
        with suppress(FileNotFoundError):
            self._storage.delete(path)
        super().publish(checkpoint_id, manifest, check)


class PublishesTwiceHarness(Harness):
    store = _Overwriting


class _Sweeping(FilesystemCheckpointStore):
    def withdraw(self, checkpoint_id: int) -> None:
        if checkpoint_id not in self.published():
            self.delete(checkpoint_id)


class WithdrawsWhatOthersWroteHarness(Harness):
    store = _Sweeping


class _Early(FilesystemCheckpointStore):
    def published(self) -> Sequence[int]:
        return self._ids()


class ListsWhatIsNotPublishedHarness(Harness):
    store = _Early


class _OneCase(Storage):
    def folder(self, folder: str) -> str:
        return folder.partition("~")[0].lower()


class MixesJobsUpHarness(Harness):
    def storage(self, location: str) -> Storage:
        return _OneCase(location.lower(), FilesystemCheckpointStore)

    def create_location(self, folder: Any) -> str:
        return super().create_location(folder).lower()


class _Brave(FilesystemCheckpointStore):
    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        with suppress(OSError):
            super().write_file(checkpoint_id, name, parts)


class GoesOnAfterAnErrorHarness(Harness):
    store = _Brave


class _Owning(FilesystemCheckpointStore):
    """Takes what a checkpoint wrote for its own."""

    def delete(self, checkpoint_id: int) -> None:
        for name in self.shared():
            if name.startswith(f"{checkpoint_id}-"):
                self.delete_shared(name)
        super().delete(checkpoint_id)


class SharedFilesGoTooEarlyHarness(Harness):
    store = _Owning


class Remembering(CheckpointStorage):
    """Keeps everything in this process, and says that it outlives it."""

    durable = True

    def open(self, context: CheckpointStorageContext) -> CheckpointStore:
        from millstream_memory import MemoryCheckpointStorage

        return MemoryCheckpointStorage(self.name).open(context)

    def __init__(self, name: str) -> None:
        self.name = name


class ClaimsToBeDurableHarness(CheckpointStorageHarness):
    def storage(self, location: str) -> CheckpointStorage:
        return Remembering(location)


class TestNeverSyncs(CheckpointStorageSuite):
    harness = NeverSyncsHarness


class TestPublishesBeforeTheFilesAreThere(CheckpointStorageSuite):
    harness = PublishesBeforeTheFilesAreThereHarness


class TestDeletesFilesBeforeTheManifest(CheckpointStorageSuite):
    harness = DeletesFilesBeforeTheManifestHarness


class TestForgetsDeletedIds(CheckpointStorageSuite):
    harness = ForgetsDeletedIdsHarness


class TestWritesDocumentsInPlace(CheckpointStorageSuite):
    harness = WritesDocumentsInPlaceHarness


class TestFencesNobody(CheckpointStorageSuite):
    harness = FencesNobodyHarness


class TestChecksTooEarly(CheckpointStorageSuite):
    harness = ChecksTooEarlyHarness


class TestPublishesTwice(CheckpointStorageSuite):
    harness = PublishesTwiceHarness


class TestWithdrawsWhatOthersWrote(CheckpointStorageSuite):
    harness = WithdrawsWhatOthersWroteHarness


class TestListsWhatIsNotPublished(CheckpointStorageSuite):
    harness = ListsWhatIsNotPublishedHarness


class TestMixesJobsUp(CheckpointStorageSuite):
    harness = MixesJobsUpHarness


class TestGoesOnAfterAnError(CheckpointStorageSuite):
    harness = GoesOnAfterAnErrorHarness


class TestClaimsToBeDurable(CheckpointStorageSuite):
    harness = ClaimsToBeDurableHarness


class TestSharedFilesGoTooEarly(CheckpointStorageSuite):
    harness = SharedFilesGoTooEarlyHarness
