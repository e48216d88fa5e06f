"""Login tokens: which are taken, and what ends them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import jwt
import pytest

from yamcs_archive import InvalidInputError
from yamcs_archive.access import administration, login_tokens, users_file
from yamcs_archive.access.callers import Caller
from yamcs_archive.access.login_tokens import LIVES_S, Kind, LoginTokens
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.signing_keys import Keys, read_keys
from yamcs_archive.access.users import Document, User, Users

USERS = Users(Document(1, {"ada": User([], "epoch"), "bob": User(["ManageArchive"], "other")}))
KEY, OTHER = b"k" * 32, b"o" * 32


def ada() -> Caller:
    found = USERS.caller("ada")
    assert found is not None
    return found


class Clock:
    """Tells a time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", list(Kind))
def test_a_token_is_taken_for_what_it_is_for_until_it_expires(kind: Kind) -> None:
    clock = Clock()
    tokens = LoginTokens(Keys(KEY), clock)
    text = tokens.make(ada(), kind)
    found = tokens.read(text, USERS, kind)
    assert found is not None
    assert found.caller is ada()
    assert [tokens.read(text, USERS, other) for other in Kind if other is not kind] == [None, None]
    clock.now += LIVES_S[kind] - 1
    assert tokens.read(text, USERS, kind) is not None
    clock.now += 1
    assert tokens.read(text, USERS, kind) is None


def test_no_two_tokens_are_equal() -> None:
    tokens = LoginTokens(Keys(KEY))
    assert len({tokens.make(ada(), Kind.ACCESS) for _ in range(100)}) == 100


def _unsigned(claims: dict[str, object]) -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_tokens_that_somebody_made_are_refused() -> None:
    tokens = LoginTokens(Keys(KEY))
    text = tokens.make(ada(), Kind.ACCESS)
    claims = jwt.decode(text, KEY, algorithms=["HS256"])
    head, body, signature = text.split(".")
    forged = [
        *("", ".", "..", "a.b.c", "é", text[:-2], f"{head}.{body}.", f"{text}x", "x" * 10_000),
        f"{head}.{tokens.make(ada(), Kind.REFRESH).split('.')[1]}.{signature}",
        _unsigned(claims),
        jwt.encode(claims, OTHER, algorithm="HS256"),
        jwt.encode(claims, KEY * 2, algorithm="HS512"),
        jwt.encode({"sub": "ada", "exp": claims["exp"]}, KEY, algorithm="HS256"),
    ]
    assert [tokens.read(each, USERS, Kind.ACCESS) for each in forged] == [None] * len(forged)


def test_a_token_ends_with_its_user_and_with_the_password() -> None:
    tokens = LoginTokens(Keys(KEY))
    text = tokens.make(ada(), Kind.ACCESS)
    for later in ({}, {"ada": User([], "later")}):
        assert tokens.read(text, Users(Document(1, later)), Kind.ACCESS) is None


def test_a_token_for_another_user_ends_with_who_asked_for_it() -> None:
    tokens = LoginTokens(Keys(KEY))
    text = tokens.make(ada(), Kind.ACCESS, by=USERS.caller("bob"))
    assert tokens.read(text, USERS, Kind.ACCESS) is not None
    assert tokens.read(text, Users(Document(1, {"ada": User([], "epoch")})), Kind.ACCESS) is None
    lesser = {"ada": User([], "epoch"), "bob": User(["ManageArchive@sim"], "other")}
    assert tokens.read(text, Users(Document(1, lesser)), Kind.ACCESS) is None


def test_what_goes_on_with_a_token_is_checked_again_without_its_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    tokens = LoginTokens(Keys(KEY), clock)
    text = tokens.make(ada(), Kind.ACCESS, by=USERS.caller("bob"))
    first = tokens.read(text, USERS, Kind.ACCESS, expired=True)
    assert first is not None
    clock.now += LIVES_S[Kind.ACCESS]
    monkeypatch.setattr(jwt, "decode", None)
    assert tokens.read(text, USERS, Kind.ACCESS, expired=True) == first
    assert tokens.read(text, USERS, Kind.SESSION, expired=True) is None
    lesser = {"ada": User([], "epoch"), "bob": User(["ManageArchive@sim"], "other")}
    for later in ({}, {"ada": User([], "epoch")}, {"ada": User([], "later")}, lesser):
        assert tokens.read(text, Users(Document(1, later)), Kind.ACCESS, expired=True) is None
    with pytest.raises(TypeError):  # who begins something has the signature verified
        tokens.read(text, USERS, Kind.ACCESS)


def test_a_token_that_was_refused_is_not_remembered() -> None:
    forged = LoginTokens(Keys(OTHER)).make(ada(), Kind.ACCESS)
    tokens = LoginTokens(Keys(KEY))
    for _ in range(2):
        assert tokens.read(forged, USERS, Kind.ACCESS, expired=True) is None


@pytest.mark.parametrize("others", [1, 2, 3])
def test_of_too_many_remembered_tokens_the_first_one_is_verified_again(
    monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    monkeypatch.setattr(login_tokens, "_VERIFIED_MAX", 3)
    tokens = LoginTokens(Keys(KEY))
    texts = [tokens.make(ada(), Kind.ACCESS) for _ in range(1 + others)]
    for text in texts:
        assert tokens.read(text, USERS, Kind.ACCESS, expired=True) is not None
    verified: list[str] = []
    real = jwt.decode

    def decode(token: str, *args: Any, **options: Any) -> Any:
        verified.append(token)
        return real(token, *args, **options)

    monkeypatch.setattr(jwt, "decode", decode)
    assert tokens.read(texts[0], USERS, Kind.ACCESS, expired=True) is not None
    assert verified == ([] if others < 3 else [texts[0]])


def test_the_key_before_is_taken_and_no_older_one(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    administration.add_user(path, "ada", [], NOBODYS)
    users = Users(users_file.read_document(path))
    caller = users.caller("ada")
    assert caller is not None
    texts = []
    for _ in range(3):
        texts.append(LoginTokens(read_keys(path)).make(caller, Kind.ACCESS))
        administration.rotate_key(path)
    tokens = LoginTokens(read_keys(path))
    assert [tokens.read(text, users, Kind.ACCESS) is not None for text in texts] == [False, False, True]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"current": "eA=="}', b'{"current": 5}', b"\xff"])
def test_a_key_file_that_is_damaged_is_told_and_can_be_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "users.json"
    administration.add_user(path, "ada", [], NOBODYS)
    users_file.key_path(path).write_bytes(content)
    with pytest.raises(InvalidInputError, match="rotate-key"):
        read_keys(path)
    administration.rotate_key(path)
    assert read_keys(path).previous is None


def test_keys_are_not_shown() -> None:
    assert "k" * 8 not in repr(Keys(KEY))
