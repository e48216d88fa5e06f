"""The users file: what is refused, what stays of it through changes, and two who change it at once."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import msgspec
import pytest

from yamcs_archive import InvalidInputError
from yamcs_archive.access import administration, users_file
from yamcs_archive.access.passwords import NOBODYS, hashed, is_right
from yamcs_archive.access.permissions import Grant
from yamcs_archive.access.signing_keys import read_keys
from yamcs_archive.access.users import Users, decode

USER = {"permissions": [], "epoch": "a"}
FILES = [".users.json.lock", "users.json", "users.json.key"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a users file with the user ``ada``."""
    path = tmp_path / "users.json"
    administration.add_user(path, "ada", [Grant.parse("ReadEvents")], NOBODYS)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        users_file.read_document(path)
    assert caught.value.value == str(path)
    return caught.value.rule


def test_both_files_are_their_owners_alone(path: Path) -> None:
    for file in (path, users_file.key_path(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o610, 0o666, 0o777])
def test_a_file_that_others_may_read_or_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert f"{mode:04o}" in refused(path)
    with pytest.raises(InvalidInputError):  # nor is it changed
        administration.remove_user(path, "ada")
    users_file.key_path(path).chmod(mode)
    with pytest.raises(InvalidInputError, match="key file"):
        read_keys(path)


def test_a_group_may_read_it_and_a_change_keeps_that(path: Path) -> None:
    path.chmod(0o640)
    administration.add_user(path, "bob", [], None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(administration.listed(path)) == ["ada", "bob"]
    administration.rotate_key(path)
    assert stat.S_IMODE(users_file.key_path(path).stat().st_mode) == 0o600


def test_a_new_key_is_like_the_users_file(path: Path) -> None:
    path.chmod(0o640)
    users_file.key_path(path).unlink()
    administration.add_user(path, "bob", [], None)
    assert stat.S_IMODE(users_file.key_path(path).stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused_and_a_change_keeps_its_owner(path: Path) -> None:
    os.chown(path, 12345, 12345)
    assert "12345" in refused(path)
    os.chown(path, 0, 12345)
    administration.add_user(path, "bob", [], None)
    assert path.stat().st_gid == 12345


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, rule in (("fifo", "not a file"), (".", "not a file"), ("nosuch", "No such file")):
        assert rule in refused(tmp_path / name)
    (tmp_path / "file").touch(0o600)
    assert "Not a directory" in refused(tmp_path / "file" / "users.json")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b'{"version": 1, "users": {"ada"', "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"version": 2, "users": {}}', "later version"),
        (b'{"version": 0, "users": {}}', "version 1"),
        (b'{"version": 1, "users": {}, "colour": 1}', "unknown field `colour`"),
        (b'{"version": 1}', "missing required field `users`"),
    ],
)
def test_a_file_that_is_half_written_or_of_another_kind_is_refused(
    path: Path, content: bytes, rule: str
) -> None:
    path.write_bytes(content)
    assert rule in refused(path)


@pytest.mark.parametrize(
    ("name", "user", "rule"),
    [
        ("ada", USER | {"colour": 1}, "ada: Object contains unknown field `colour`"),
        ("ada", USER | {"permissions": ["Fly"]}, "ada: permission 'Fly'"),
        ("ada", USER | {"permissions": "ReadEvents"}, "ada: Expected `array`"),
        ("ada", USER | {"password": "secret"}, "users passwd"),
        ("ada", USER | {"password": "$scrypt$ln=31,r=8,p=1$" + "A" * 22 + "$" + "A" * 43}, "users passwd"),
        ("ada", USER | {"epoch": ""}, "epoch"),
        ("ada", USER | {"tokens": {"t": {"sha256": "x", "made": ""}}}, "SHA-256"),
        ("ada:secret", USER, "without ':'"),
        ("a\nb", USER, "printable"),
        (" ada", USER, "blanks"),
        ("", USER, "printable"),
        ("é" * 65, USER, "at most 128 bytes"),
        ("a" * 10_000, USER, "at most 128 bytes"),
    ],
)
def test_what_is_wrong_with_a_user_is_told_by_its_name(
    path: Path, name: str, user: dict[str, object], rule: str
) -> None:
    path.write_bytes(msgspec.json.encode({"version": 1, "users": {name: user}}))
    told = refused(path)
    assert rule in told
    assert "secret" not in told


def test_names_of_the_greatest_length_are_taken() -> None:
    for name in ("é" * 64, "a" * 128, "Ada L. (ops)", "o'brien@ops.example", "../x"):
        assert decode(msgspec.json.encode({"version": 1, "users": {name: USER}})).users[name]


def test_a_token_of_two_users_is_refused(path: Path) -> None:
    token = {"t": {"sha256": "0" * 64, "made": ""}}
    users = {"ada": USER | {"tokens": token}, "bob": USER | {"tokens": token}}
    path.write_bytes(msgspec.json.encode({"version": 1, "users": users}))
    assert "also a token of ada" in refused(path)


def test_users_have_what_they_were_given(path: Path) -> None:
    token = administration.add_token(path, "ada", "grafana")
    administration.set_permissions(path, "ada", [Grant.parse("WriteEvents@sim")])
    administration.set_password(path, "ada", hashed("correct horse"))
    users = Users(users_file.read_document(path))
    found = users.caller_with_token(token)
    assert found is users.caller("ada")
    assert found is not None
    assert found.rights.grants == (Grant.parse("WriteEvents@sim"),)
    assert is_right("correct horse", users.password_of("ada") or "")
    assert token not in path.read_text()
    assert users.caller_with_token(token[:-1]) is None
    administration.revoke_token(path, "ada", "grafana")
    assert Users(users_file.read_document(path)).caller_with_token(token) is None


def test_a_password_changes_the_epoch_and_permissions_do_not(path: Path) -> None:
    before = administration.listed(path)["ada"]
    administration.set_permissions(path, "ada", [])
    assert administration.listed(path)["ada"].epoch == before.epoch
    administration.set_password(path, "ada", NOBODYS)
    assert administration.listed(path)["ada"].epoch != before.epoch


@pytest.mark.parametrize(
    "change",
    [
        lambda path: administration.add_user(path, "ada", [], None),
        lambda path: administration.remove_user(path, "bob"),
        lambda path: administration.set_password(path, "bob", NOBODYS),
        lambda path: administration.set_permissions(path, "bob", []),
        lambda path: administration.add_token(path, "bob", "t"),
        lambda path: administration.revoke_token(path, "ada", "nosuch"),
        lambda path: administration.add_token(path, "ada", "a:b"),
    ],
)
def test_a_change_that_cannot_be_made_leaves_the_file(path: Path, change: object) -> None:
    before = path.read_bytes()
    with pytest.raises(InvalidInputError):
        change(path)  # type: ignore[operator]
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == FILES


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InvalidInputError, match="No space left"):
            administration.add_user(path, "bob", [], None)
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == FILES
    path.with_name(".users.json.new").write_text("the leftover of a crash")
    administration.add_user(path, "bob", [], None)
    assert list(administration.listed(path)) == ["ada", "bob"]


def test_a_link_stays_one_and_what_it_names_is_changed(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "users.json"
    link.symlink_to(path)
    administration.add_user(link, "bob", [], None)
    assert link.is_symlink()
    assert list(administration.listed(path)) == ["ada", "bob"]


def _add(path: Path, first: int) -> None:
    for number in range(first, first + 10):
        administration.add_user(path, f"user {number}", [], None)


def test_two_who_change_it_at_once_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(path, first)) for first in (0, 10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(administration.listed(path)) == 21
