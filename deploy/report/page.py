"""The report's HTML: sections of text, tables and pictures around the numbers of one run."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

_ID = re.compile(r"\bep-\d+\b")
STYLE = Path(__file__).with_name("report.css")


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document; nothing in it is loaded from elsewhere."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE.read_text()}</style>'
        f"<body><h1>{escape(title)}</h1>{''.join(sections)}</body></html>"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what belongs under it."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph; kind: '', 'lead' or 'muted'."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def pair(*parts: str) -> str:
    """Pictures and tables side by side, where the page is wide enough."""
    return f'<div class="pair">{"".join(parts)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells are text, except commands: a Path or a string that begins with 'robot-stack ' is set as code."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(cell: object) -> str:
    if isinstance(cell, Path) or str(cell).startswith("robot-stack "):
        return f"<td><code>{escape(str(cell))}</code></td>"
    return f"<td>{_with_code(str(cell))}</td>"


def bullets(lines: Iterable[str]) -> str:
    """Sentences, one below the other; `code` is set as code."""
    items = "".join(f"<li>{_with_code(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>"


def _with_code(text: str) -> str:
    """Escaped, with `code` set as code, and no line broken within the id of an episode."""
    parts = _ID.sub(r'<span class="id">\g<0></span>', escape(text)).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
