"""Nobody but the user can have a hand in the folder of the sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from millstream.errors import ControlFolderUnusable
from millstream.runtime.control import folder as module
from millstream.runtime.control.entry import entries
from millstream.runtime.control.folder import MOST_PATH_BYTES, check_folder, control_folders, make_folder


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PATH_BYTES", 1_000)
    make_folder(str(tmp_path / "c"))
    assert stat.S_IMODE(os.lstat(tmp_path / "c").st_mode) == 0o700
    make_folder(str(tmp_path / "c"))  # once more is no error
    assert check_folder(str(tmp_path / "c"))
    assert not check_folder(str(tmp_path / "d"))


def test_a_link_a_file_and_a_folder_that_others_may_enter_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    for name, reason in (
        ("link", "it is a symbolic link"),
        ("file", "it is no folder"),
        ("open", "others have rights in it (mode 0750, wanted 0700)"),
    ):
        with pytest.raises(ControlFolderUnusable) as refused:
            check_folder(str(tmp_path / name))
        assert refused.value.reason == reason
        assert str(tmp_path / name) in str(refused.value)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(ControlFolderUnusable, match=rf"it belongs to user {mine}, not to user {mine + 1}"):
        check_folder(str(tmp_path / "theirs"))


def test_a_path_that_no_socket_fits_in_is_refused() -> None:
    with pytest.raises(ControlFolderUnusable, match="its path has more than"):
        make_folder("/tmp/" + "x" * MOST_PATH_BYTES)


def test_a_job_and_a_terminal_with_other_environments_have_a_place_in_common(sockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_a_session = control_folders(None, {"XDG_RUNTIME_DIR": sockets})
    of_a_service = control_folders(None, {})
    assert of_a_session[0] == f"{sockets}/millstream"
    assert set(of_a_service) <= set(of_a_session)
    assert f"/tmp/millstream-{os.geteuid()}" in of_a_service
    assert control_folders(None, {"XDG_RUNTIME_DIR": f"/tmp/{'x' * 80}"}) == of_a_service  # no such folder, and too long
    assert control_folders("~/sockets", {}) == [os.path.expanduser("~/sockets")]


def test_what_a_process_left_that_was_killed_before_it_listened_is_taken_away(sockets: str) -> None:
    gone = 4_194_305  # beyond the highest process id
    for name in (f"{gone}-0123abcd.sock", f"{gone}-0123abcd.new", f"{os.getpid()}-0123abcd.new", "notes.txt", "x-0123abcd.new"):
        Path(sockets, name).touch()
    assert entries(sockets) == []
    assert sorted(path.name for path in Path(sockets).iterdir()) == sorted([f"{os.getpid()}-0123abcd.new", "notes.txt", "x-0123abcd.new"])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"job_name": 7}', b"x" * 100_000])
def test_a_note_that_is_none_is_passed_over(sockets: str, content: bytes) -> None:
    Path(sockets, "12-0123abcd.json").write_bytes(content)
    (entry,) = entries(sockets)
    assert entry.read() is None


def test_a_note_is_never_read_through_a_link(sockets: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text('{"job_name":"a","run_id":"b","pid":1,"started_ms":2}')
    Path(sockets, "12-0123abcd.json").symlink_to(tmp_path / "note")
    (entry,) = entries(sockets)
    assert entry.read() is None
