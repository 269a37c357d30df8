"""The kit's test of itself: each deliberately wrong connector is caught by the demand that names its fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.one_python,
    pytest.mark.xdist_group("wrong_connectors"),
]  # whichever test comes first runs the kit over all wrong connectors

WRONG = Path(__file__).with_name("wrong")

CAUGHT = [
    ("sinks", "CommitsAtPrepare", "nothing_is_visible_before_its_commit", "visible at the barrier, before the checkpoint is complete"),
    ("sinks", "WritesBeforeTheCheckpoint", "nothing_is_visible_before_its_commit", "visible after write()"),
    ("sinks", "CommitsOnLocalSnapshot", "a_later_barrier_commits_nothing", "after the barriers of two checkpoints, of which none is complete"),
    ("sinks", "ReusesItsHandle", "a_handle_never_commits_a_later_epoch", "after the handle of the first of three epochs was committed"),
    ("sinks", "NeverAborts", "lingering_work_is_aborted", "its handle can still commit it"),
    ("sinks", "AbortsEverything", "runs_sinks_and_lanes_are_kept_apart", "LostEpoch"),
    ("sinks", "RemembersOneEpoch", "epochs_that_wait_together_are_all_committed", "after the late commit of epoch 1 of three"),
    ("sinks", "BreaksOnEmptyEpochs", "empty_epochs_have_no_effect", "LostEpoch"),
    ("sinks", "TakesUnknownForCommitted", "an_aborted_epoch_cannot_be_committed", "its records are lost, and nobody is told"),
    ("sinks", "NeverCloses", "close_releases_everything", "grew with each open"),
    ("sinks", "MarkerApart", "crash_between_any_two_calls_of_a_commit[8/16]", "doubled"),
    ("sinks", "NoFence", "an_older_attempt_is_fenced", "it must raise Fenced first"),
    ("sinks", "ForgetsItsMarker", "a_repeated_commit_changes_nothing", "doubled"),
    ("sinks", "OneMarkerForAll", "the_marker_moves_with_the_records", "another run finds the marker of this one"),
    ("sinks", "NotIdempotent", "writing_again_leaves_the_same_state", "Derive the id of what is written from the record alone"),
    ("sinks", "ReadsTheClientsMemory", "the_harness_reads_from_outside", "Read the target as a stranger would"),
    ("sinks", "ReadsThroughTheSink", "the_harness_reads_from_outside", "it calls the connector's own SqliteStagedSink.open, "),
    ("sinks", "NewestFirst", "records_keep_their_order", "in another order than they were written in"),
    ("sinks", "LeavesEqualRecordsOut", "equal_records_are_all_there", "missing"),
    ("sinks", "FlushesWhenClosed", "close_gives_up_the_open_epoch", "which no checkpoint covers"),
    ("sinks", "AbortsByPrefix", "names_that_are_alike_are_kept_apart", "LostEpoch"),
    ("sinks", "ForgetsItsFormerLanes", "lanes_are_taken_over_by_fewer_subtasks", "was not aborted"),
    ("sinks", "NewestOfAllRuns", "the_newest_committed_checkpoint_is_told", "another run has the newest checkpoint of this one"),
    ("sinks", "ChecksTheFenceFirst", "a_commit_that_is_overtaken_changes_nothing", "Check the fence, and write, in one atomic step"),
    ("sinks", "ReadsMarkersAtTheOpening", "the_marker_is_read_behind_the_fence", "doubled"),
    ("sinks", "CommitsByHundreds", "a_commit_that_fails_leaves_nothing", "at the last of 20,000 records"),
    ("sinks", "ForgetsEveryRun", "a_run_that_is_over_takes_only_its_own", "doubled"),
    ("sources", "TakesOneSplit", "rescale[3 to 1]", "are lost"),
    ("sources", "FinishesBeforeTheAnswer", "everything_is_read_once", "are lost"),
    ("sources", "NewestFirst", "a_split_keeps_its_order", "was read in another order"),
    ("sources", "ReleasesWhatItHasRead", "a_notification_releases_what_its_checkpoint_covers", "JSONDecodeError"),
    ("sources", "KeepsSplitsForReadersThatAreGone", "the_enumerator_goes_on_from_its_state", "are lost"),
    ("sources", "ForgetsSplitsThatComeBackLate", "the_splits_of_a_reader_that_dies_come_back", "are lost"),
    ("sources", "SnapshotAliasesState", "a_snapshot_is_not_affected_by_later_reads", "it is the reader's live state"),
    ("sources", "StoresTheOffsetAfterEmit", "replay_gives_the_same_records[8/16]", "doubled"),
    ("sources", "KeepsItsOwnOffsets", "replay_gives_the_same_records[8/16]", "another order in a split"),
    ("sources", "LosesSplitsOfADeadReader", "the_splits_of_a_reader_that_dies_come_back", "are lost"),
    ("sources", "KeepsAssignedSplits", "each_split_has_one_owner_in_every_checkpoint", "doubled"),
    ("sources", "CountsASplitAsAssignedTooEarly", "the_enumerator_goes_on_from_its_state", "are lost"),
    ("sources", "TakesALostFileForItsEnd", "a_position_that_is_lost_at_the_origin_raises", "the source went on and brought"),
    ("sources", "ReportsTheEndAgain", "the_end_is_reported_once", "reported as ended more than once"),
    ("sources", "HangsInClose", "close_returns_within_a_limit", "close() took"),
    ("sources", "NeverEndsWithoutASplit", "more_readers_than_splits", "and has not finished"),
    (
        "sources",
        "SkipsWhatIsNoRecord",
        "input_that_is_no_record_is_rejected_with_its_position",
        "4 pieces of input are no records, and 0 were rejected",
    ),
    (
        "backends",
        "SnapshotAliasesLiveValues",
        "a_snapshot_is_not_torn[values changed inside after 0 slices]",
        "after 0 slices the barrier, the flat table",
    ),
    ("backends", "LosesNamespaces", "namespaces_are_kept_apart", "from five namespaces, the namespaced table is restored as {0: "),
    ("backends", "AbandonedSnapshotLeaks", "a_snapshot_after_an_abandoned_one_is_whole", "in the snapshot after one that was abandoned"),
    ("backends", "DeletedEntriesComeBack", "deleted_entries_do_not_come_back", "after entries and a namespace were deleted"),
    ("backends", "MovesKeyGroups", "chunks_have_the_key_group_of_their_keys", "has keys of other groups"),
    ("backends", "SwapsSilently", "swaps_are_announced", "did not call on_swap"),
    ("backends", "StaysPendingAfterAFailure", "a_value_that_cannot_be_encoded_is_named", "a snapshot is pending"),
    ("backends", "ClaimsSlices", "a_snapshot_is_taken_in_slices", "the task stands still meanwhile"),
    ("backends", "HoldsFiles", "close_releases_everything", "grew with each open"),
    ("backends", "TakesDamageForEmpty", "damaged_chunks_are_refused", "ended with None"),
    ("backends", "HandsOutCopies", "what_is_changed_in_place_is_changed", "what they do to the flat table must not be lost"),
    ("backends", "RestoreReplaces", "restores_add_up", "AssertionError"),
    ("backends", "NeverGivesTheSameBytes", "what_has_not_changed_gives_the_same_bytes", "have other bytes"),
    ("storages", "SharedFilesGoTooEarly", "shared_files_outlive_checkpoints", "went with the checkpoint that it was written for"),
    ("storages", "NeverSyncs", "nothing_that_was_done_is_lost[power, seed 20261]", "document 'note' is"),
    ("storages", "PublishesBeforeTheFilesAreThere", "death_at_every_crash_point[second pass]", "exists and cannot be restored"),
    ("storages", "DeletesFilesBeforeTheManifest", "death_at_every_crash_point[second pass]", "exists and cannot be restored"),
    ("storages", "ForgetsDeletedIds", "ids_are_never_used_again", "the id would be used again"),
    ("storages", "WritesDocumentsInPlace", "nothing_that_was_done_is_lost[the process]", "document 'note' is"),
    ("storages", "FencesNobody", "a_fence_stops_who_was_about_to_publish", "fenced between its check and its last step"),
    ("storages", "ChecksTooEarly", "a_fence_stops_who_was_about_to_publish", "fenced between its check and its last step"),
    ("storages", "PublishesTwice", "a_checkpoint_is_published_once", "publishing a second time ended with None"),
    ("storages", "WithdrawsWhatOthersWrote", "who_was_replaced_takes_only_its_own", "took away what the new one had written"),
    ("storages", "ListsWhatIsNotPublished", "a_checkpoint_exists_when_it_is_published", "a checkpoint exists before it is published"),
    ("storages", "MixesJobsUp", "jobs_are_kept_apart", "job 'orders' finds"),
    ("storages", "GoesOnAfterAnError", "the_disk_may_fail_at_any_call", "exists and cannot be restored"),
    ("storages", "ClaimsToBeDurable", "death_between_any_two_calls[10/16]", "was published and is gone"),
    ("backends", "SharesTables", "operators_and_subtasks_are_kept_apart", "open() gave tables in which there is something"),
    ("pairings", "ResurrectingBackend", "an_operator_matches_a_model[typed, 30 programs, seed 20260]", "by state and key, (what is, what should be)"),
    ("pairings", "ResurrectingBackendInAJob", "a_job_that_fails_matches_a_model[6 programs, seed 20260]", "by key, (what is, what should be)"),
    ("pairings", "ListingStorage", "an_operator_matches_a_model[typed, 30 programs, seed 20260]", "are there, not ["),
]

RIGHT = ["backends.py::TestRightBackend"]
MODEST = "sinks.py::TestModest::test_an_older_attempt_is_fenced"


def run_suites(folder: Path, *nodes: str) -> dict[tuple[str, str], Any]:
    """Connector's and demand's report for each of some nodes of the suites in wrong/, by suite and demand, from a pytest of its own."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "pytest", "-q", *(f"{WRONG / node}" for node in nodes), f"--millstream-report={report}"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert report.exists(), done.stdout + done.stderr
    connectors = json.loads(report.read_text())["connectors"]
    return {(connector["suite"], demand["demand"]): (connector, demand) for connector in connectors for demand in connector["demands"]}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    nodes = [f"{file}.py::Test{connector}::test_{demand}" for file, connector, demand, _ in CAUGHT]
    return run_suites(tmp_path_factory.mktemp("wrong"), *nodes, *RIGHT, MODEST)


@pytest.mark.faults
@pytest.mark.parametrize(("connector", "demand", "finding"), [case[1:] for case in CAUGHT], ids=[case[1] for case in CAUGHT])
def test_a_wrong_connector_is_caught_by_the_demand_that_names_its_fault(
    connector: str, demand: str, finding: str, reports: dict[tuple[str, str], Any]
) -> None:
    connector_report, demand_report = reports[f"Test{connector}", demand.partition("[")[0]]
    assert demand_report["outcome"] == "failed", demand_report
    assert any(finding in detail for detail in demand_report["failures"].values()), demand_report
    assert connector_report["guarantee"] == "not proved"


@pytest.mark.faults
def test_a_declaration_that_is_too_modest_is_reported_and_no_failure(reports: dict[tuple[str, str], Any]) -> None:
    _, fencing = reports["TestModest", "an_older_attempt_is_fenced"]
    assert fencing["outcome"] == "passed"
    assert fencing["notes"] == ["fencing is declared closed, yet an older attempt was stopped by Fenced: the declaration may be too modest"]


@pytest.mark.faults
def test_what_the_wrong_backends_are_made_of_is_right(reports: dict[tuple[str, str], Any]) -> None:
    for node in RIGHT:
        suite = node.partition("::")[2]
        assert {demand["outcome"] for (name, _), (_, demand) in reports.items() if name == suite} <= {"passed", "not run"}
        assert sum(name == suite for name, _ in reports) > 10
