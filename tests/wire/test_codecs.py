"""A codec is chosen once for each request, so that no other code compares media types."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.child import ROOT
from yamcs_archive.wire import codec
from yamcs_archive.wire.codecs import BATCH_CODECS, CODECS

PACKAGE = ROOT / "yamcs_archive"
MEDIA = {name: value for name, value in vars(codec).items() if isinstance(value, str) and "/" in value}
CLASSES = ("Codec", "Frames")


def asks_for_a_media_type(node: ast.AST) -> bool:
    """Return whether a part of an expression is a media type, or the class of a codec."""
    for part in ast.walk(node):
        name = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""
        if name.lstrip("_") in MEDIA or (name.endswith(CLASSES) and name not in CLASSES) or name == "media":
            return True
        if isinstance(part, ast.Constant) and part.value in MEDIA.values():
            return True
    return False


def comparisons(path: Path) -> Iterator[int]:
    """Yield the lines that compare a value with a media type, or test the class of a codec."""
    for node in ast.walk(ast.parse(path.read_text())):
        is_choice = isinstance(node, ast.Compare | ast.MatchValue | ast.MatchClass)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            is_choice = node.func.id in ("isinstance", "issubclass")
        if is_choice and asks_for_a_media_type(node):
            yield getattr(node, "lineno", 0)


def test_only_codecs_compare_media_types() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in PACKAGE.rglob("*.py")
        if "codec" not in path.stem
        for line in comparisons(path)
    ]
    assert found == []


def test_a_comparison_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "handler.py"
    for line in (
        "a == PROTOBUF",
        "a in (JSON, b)",
        "messages.MSGPACK != a",
        "a is _CSV",
        "request.codec.media == a",
        "a == 'application/json'",
        "isinstance(frames, ProtobufFrames)",
    ):
        path.write_text(line)
        assert list(comparisons(path)) == [1], line
    path.write_text("reply(JSON, a)\nb.get(PROTOBUF)\nisinstance(a, bytes)\na == b")
    assert list(comparisons(path)) == []


def test_each_codec_is_found_by_its_own_media_type() -> None:
    for table in (CODECS, BATCH_CODECS):
        assert set(table) <= set(MEDIA.values())
    assert all(found.media == media for media, found in {**BATCH_CODECS, **CODECS}.items())
