"""What is demanded of a checkpoint storage that two processes use at the same time: an old leader that has not noticed, and a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.manifest import decode_manifest
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.errors import LeaderFenced
from millstream_testkit.demands import Sampling, demand
from millstream_testkit.killed_storage import LIFE_TIMEOUT_S, killed_once, moments_of
from millstream_testkit.storage_checkpoints import FILES, look, manifest_of, parts_of, problem_of, store_checkpoint
from millstream_testkit.suites.sink_contract import error_of
from millstream_testkit.suites.storage_contract import DURABLE, StorageContractBase
from millstream_testkit.suites.storage_deaths import at_part

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.storage_harness import CheckpointStorageHarness
    from millstream_testkit.suites.opened_storage import Location


def zombie_cases(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """Which part of the way through a publish the old process is stopped."""
    return [f"{part}/16" for part in (range(17) if sampling.full else (4, 10, 15))]


class StorageRivals(StorageContractBase):
    """Durable storages: others find no rival, because nobody else sees what they hold."""

    @demand("Behind fence(), nothing is published whose check was passed before: it exists by then, or never will.", when=DURABLE)
    def test_a_fence_stops_who_was_about_to_publish(self, location: Location) -> None:
        old, new = location.open(), location.open()
        store_checkpoint(old, 1)
        for name in FILES:
            old.write_file(2, name, parts_of(2, 0, name))
        error = error_of(lambda: old.publish(2, manifest_of(2, 0), new.fence))
        found = list(location.open().published())
        assert 2 not in found, (
            "a checkpoint was published by a process that was fenced between its check and its last step: the new leader, which went on from "
            "checkpoint 1, does not know of it"
        )
        assert error is not None, "publish() of a fenced process returned as if it had published"
        location.assert_whole("after the fence", 1)
        store_checkpoint(new, 3, attempt=1)
        old.close()
        location.assert_whole("after the new leader had gone on", 1, 3)

    @demand("fence() harms nothing that is published, no document, and no id: whoever published before it is found behind it.", when=DURABLE)
    def test_a_fence_harms_nothing_that_exists(self, location: Location) -> None:
        old, new = location.open(), location.open()
        store_checkpoint(old, 1)
        old.write_document("run", b"old")
        old.create_document("leader-1", b"")
        store_checkpoint(old, 2)
        old.write_file(3, FILES[0], [b"x"])
        for _ in range(2):
            new.fence()
        location.assert_whole("after a fence", 1, 2)
        assert location.documents() == {"run": "old", "leader-1": ""}
        assert location.open().highest_id() == 3, "a fence forgot an id that was used"
        for checkpoint_id in new.unpublished():
            new.delete(checkpoint_id)
        store_checkpoint(new, 4, attempt=1)
        location.assert_whole("after the new leader's first checkpoint", 1, 2, 4)

    @demand("Who gives a checkpoint up takes only its own files out of one that a new leader writes under the same id.", when=DURABLE)
    def test_who_was_replaced_takes_only_its_own(self, location: Location) -> None:
        for give_up in ("withdraw", "close"):
            old, new = location.open(), location.open()
            number = new.highest_id() + 1
            new.fence()
            new.write_file(number, FILES[0], parts_of(number, 1, FILES[0]))
            old.write_file(number, "task-9-9", [b"old"])
            old.withdraw(number) if give_up == "withdraw" else old.close()
            new.write_file(number, FILES[1], parts_of(number, 1, FILES[1]))
            new.publish(number, manifest_of(number, 1))
            problem = problem_of(location.open(), number)
            assert not problem, f"{give_up}() of the old leader took away what the new one had written: {problem}"
            old.withdraw(number)
            assert number in location.open().published()

    @demand("What was begun and never published is listed, so that the next leader can remove it; what is gone is not.", when=DURABLE)
    def test_what_was_begun_is_listed(self, location: Location) -> None:
        store = location.open()
        store_checkpoint(store, 1)
        for checkpoint_id in (3, 2, 4):
            store.write_file(checkpoint_id, FILES[0], [b"x"])
        assert list(location.open().unpublished()) == [2, 3, 4]
        location.open().delete(2)
        store.withdraw(4)
        found = list(location.open().unpublished())
        assert found == [3], f"checkpoint 3 was begun, 2 was deleted and 4 given up, and unpublished() is {found}"
        location.open().delete(3)
        store_checkpoint(store, 5)
        location.open().delete(5)
        found = list(location.open().unpublished())
        assert found == [], f"all was deleted but checkpoint 1, and unpublished() is {found}"

    @demand("Of two leaders the newer one publishes; the older one is told LeaderFenced, and its checkpoint does not exist.", when=DURABLE)
    def test_an_older_leader_is_fenced(self, location: Location) -> None:
        leaders = [CompletedCheckpoints(location.open(), "job", 1, token) for token in ("a", "b", "c")]
        epochs = [leader.acquire_leadership() for leader in leaders]
        assert epochs == sorted(set(epochs)), f"leaders were given epochs {epochs}"
        for leader in leaders[:2]:
            error = error_of(lambda leader=leader: leader.publish(decode_manifest(manifest_of(1, 0, ()), "")))  # type: ignore[misc]
            assert isinstance(error, LeaderFenced), f"an older leader's publish ended with {error!r}"
        leaders[2].publish(decode_manifest(manifest_of(2, 0, ()), ""))
        location.assert_whole("after three leaders", 2)
        assert [name for name in look(location.open()).documents if name.startswith("leader-")] == [f"leader-{epochs[-1]}"]

    @demand(
        "A process stopped within publish(), replaced, and let go on, publishes nothing and removes nothing.",
        when=DURABLE,
        cases=zombie_cases,
        kills=True,
    )
    def test_a_zombie_publishes_nothing(self, case: str, tmp_path: Path) -> None:
        harness: CheckpointStorageHarness = self.made_harness()
        moments = [moment for moment in moments_of(harness, tmp_path) if moment.startswith(("testkit.publish.", "checkpoint.metadata."))]
        moment = at_part(case, moments)
        storage = killed_once(harness, tmp_path, "")
        old = storage.start(crash=f"{moment}=stop")
        try:
            assert old.wait_until_stopped(LIFE_TIMEOUT_S), f"the old process was never at {moment}: {storage.last_words()}"
            assert storage.live() == 0, storage.last_words()
            old.resume()
            code = storage.wait(old)
        finally:
            old.kill()
        problems = storage.problems()
        assert not problems, f"stopped at {moment}, replaced, and let go on: {'; '.join(problems)}"
        assert code is not None, f"stopped at {moment}, replaced, and let go on, the old process has not ended in {LIFE_TIMEOUT_S:g} s"
        storage.drop()
