"""Values -> the HTML that a notebook shows for them; pure.

1. It is bounded: some rows, and the beginning of each text.
2. Every text is data. It is escaped, its control characters are shown, and it cannot turn the direction of
   the text around it; nothing in it becomes a tag, an attribute or a script.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from yamcs_archive.times import format_rfc3339

ROWS_MAX = 10
"""Largest number of events, or of sources, that is shown."""
_TEXT_MAX = 200
"""Longest text that is shown, in characters."""
_EVENT_HEAD = ("time", "source", "number", "severity", "type", "message")


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """Return a table with a title above it and a note below it.

    >>> print(table("Sources", ["source", "events"], [("<b>", 5)], "and 7 more"))
    <p><bdi>Sources</bdi></p><table><thead><tr><th>source</th><th>events</th></tr></thead><tbody>
    <tr><td style="text-align:left"><bdi>&lt;b&gt;</bdi></td><td>5</td></tr>
    </tbody></table><p><bdi>and 7 more</bdi></p>
    """
    lines = [
        f"{_paragraph(title)}<table><thead><tr>",
        *(f"<th>{html.escape(name)}</th>" for name in head),
        "</tr></thead><tbody>\n",
    ]
    for row in rows:
        lines += ["<tr>", *map(_cell, row), "</tr>\n"]
    return "".join([*lines, "</tbody></table>", _paragraph(note) if note else ""])


def events_table(title: str, events: Iterable[Any], note: str = "") -> str:
    """Return a table of events, which know this module, in the order given; the caller bounds their number.

    >>> events_table("", []).count("<th>")
    6
    """
    return table(title, _EVENT_HEAD, map(_event_row, events), note)


def plain(text: str) -> str:
    """Return a line of text.

    >>> plain("<Archive>")
    '<p><bdi>&lt;Archive&gt;</bdi></p>'
    """
    return _paragraph(text)


def time_text(instant: object) -> str:
    """Return a time in microseconds as text; what is none, as it is.

    >>> time_text(0), time_text(None)
    ('1970-01-01T00:00:00Z', '')
    """
    if instant is None:
        return ""
    try:
        return format_rfc3339(instant)  # type: ignore[arg-type]  # or it raises
    except (TypeError, OverflowError):
        return str(instant)


def _event_row(event: Any) -> tuple[object, ...]:
    time = time_text(event.generation_time)
    return time, event.source, event.seq_number, str(event.severity), event.type, event.message


def _paragraph(text: str) -> str:
    return f"<p>{_shown(text)}</p>"


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, (int, float)):
        return f"<td>{value}</td>"
    return f'<td style="text-align:left">{_shown(str(value))}</td>'


def _shown(text: str) -> str:
    """Return the beginning of a text, escaped; what cannot be seen is shown as Python writes it."""
    begin = text[:_TEXT_MAX]
    visible = "".join(one if one.isprintable() else repr(one)[1:-1] for one in begin)
    return f"<bdi>{html.escape(visible)}{'…' if len(text) > _TEXT_MAX else ''}</bdi>"
