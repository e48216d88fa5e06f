"""A lab that finds nothing is suspect: bugs are planted in a copy of the project, and tests must catch them.

Each file of ``mutants`` is a patch with one bug. To add one, put the patch there and a line into
:data:`CAUGHT_BY`. A patch that no longer applies is a failure: make it anew for the code as it is now.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.power_cut import recording
from tests.child import ROOT

MUTANTS = Path(__file__).parent / "mutants"
CAUGHT_BY = {
    "answer_of_a_replaced_block": "tests/storage/test_few_found.py::"
    "test_answers_are_right_after_every_change",
    "answer_before_sync": "tests/crash/test_power_cut.py::"
    "test_every_state_after_a_power_cut_has_what_was_acknowledged",
    "bulk_passed_over": "tests/storage/test_log_readers.py::"
    "test_a_bulk_commit_between_a_transaction_and_its_view_is_not_passed_over[False]",
    "checkpoint_in_two_transactions": "tests/storage/test_interrupted.py::"
    "test_a_kill_at_a_point_loses_and_doubles_nothing_and_all_goes_on[checkpoint-begun]",
    "counter_not_persisted": "tests/storage/test_crash.py::"
    "test_a_kill_at_a_point_loses_nothing_acknowledged_and_halves_nothing[log-written-0]",
    "damage_taken_for_the_end": "tests/storage/test_commit_log.py::"
    "test_a_flipped_bit_anywhere_before_the_last_record_is_damage",
    "doubtful_record_not_written_anew": "tests/storage/test_commit_log.py::"
    "test_a_failed_sync_leaves_the_segment_and_the_record_is_carried",
    "empty_log_believed": "tests/storage/test_log_readers.py::"
    "test_a_reader_whose_checkpoint_is_past_sees_no_empty_log",
    "horizon_after_deletion": "tests/storage/test_pruning.py::"
    "test_after_a_kill_at_any_step_it_goes_on[prune-before-horizon-0]",
    "late_part_unbounded": "tests/storage/test_checkpoints.py::"
    "test_few_late_events_stay_in_the_late_part_until_they_are_an_eighth",
    "manifest_before_data": "tests/storage/test_backup_failures.py::"
    "test_a_kill_at_any_step_of_a_backup_leaves_whole_files[backup-written]",
    "no_checksum_check": "tests/storage/test_verification.py::test_every_flipped_bit_of_every_value_is_found",
    "reader_keeps_a_replaced_block": "tests/storage/test_recent.py::"
    "test_pages_and_single_events_are_right_after_every_change",
    "rename_without_folder_sync": "tests/crash/test_power_cut.py::"
    "test_a_compaction_lasts_before_the_old_generation_goes",
    "stale_end_believed": "tests/storage/test_young.py::"
    "test_an_acknowledged_end_from_before_a_power_cut_hides_nothing",
    "stale_text_filter": "tests/storage/test_text_filters.py::"
    "test_a_block_that_a_large_run_fills_up_has_no_filter_of_before",
    "swallowed_enospc": "tests/storage/test_failures.py::"
    "test_a_full_disk_stores_nothing_says_so_and_goes_on_when_there_is_room",
}
"""The test that catches each planted bug."""
COPIED = ("benchmarks", "docs/format.md", "tests", "yamcs_archive", "pyproject.toml", "setup.cfg")
WAIT_S = 270


def copied(folder: Path) -> Path:
    """Return a copy of what the tests need."""
    copy = folder / "copy"
    copy.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (copy / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def run_tests(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def test_every_planted_bug_has_a_test() -> None:
    assert {path.stem for path in MUTANTS.glob("*.patch")} == CAUGHT_BY.keys()


def test_every_patch_applies(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "yamcs_archive", copy / "yamcs_archive")
    for name in CAUGHT_BY:
        applied(copy, name, "--check")


def applied(copy: Path, name: str, *options: str) -> None:
    """Apply a patch to a copy."""
    done = subprocess.run(
        ["git", "apply", *options, str(MUTANTS / f"{name}.patch")],
        cwd=copy,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the patch {name} is not for this code any more: {done.stderr}"


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CAUGHT_BY))
def test_a_planted_bug_is_caught(name: str, tmp_path: Path) -> None:
    if "power_cut" in CAUGHT_BY[name] and recording.compiler() is None:
        pytest.skip("no C compiler (cc, or what CC names): the test that catches it cannot run")
    copy = copied(tmp_path)
    applied(copy, name)
    done = run_tests(copy, CAUGHT_BY[name])
    told = done.stdout[-3000:] + done.stderr[-1000:]
    assert done.returncode == 1, f"{name} is not caught: {told}"
    assert re.search(r"^\d+ failed", done.stdout, re.MULTILINE), told
    assert " error" not in done.stdout.splitlines()[-1], told


@pytest.mark.long
def test_the_tests_pass_in_a_copy_without_a_planted_bug(tmp_path: Path) -> None:
    done = run_tests(copied(tmp_path), *CAUGHT_BY.values())
    assert done.returncode == 0, done.stdout[-3000:]
