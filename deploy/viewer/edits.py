"""Corrections made on the page: each is one edit of the store, and each can be undone.

    POST /api/edits/delete   {"ids": ["ep-000001"]}
    POST /api/edits/relabel  {"ids": [...], "labels": {"verdict": "success", "task": …, "language": …}}
    POST /api/edits/trim     {"id": "ep-000001", "start": 10, "stop": 80}
    POST /api/edits/split    {"id": "ep-000001", "at": 40}
    POST /api/edits/undo     {"edit": 3}, or {} for the newest

Each is answered with what was done, in words, and with the ids to look at now.
"""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from deploy.viewer.library import Library
from robot_stack.store import edit_ops
from robot_stack.store.edits import undone

SHOWN = 200
"""Edits that the page lists."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Delete(_Request):
    """Show these episodes no more."""

    ids: list[str] = Field(min_length=1)


class Relabel(_Request):
    """Correct labels of episodes."""

    ids: list[str] = Field(min_length=1)
    labels: dict[Literal["verdict", "task", "language"], str] = Field(min_length=1)


class Trim(_Request):
    """Keep rows start..stop."""

    id: str
    start: int
    stop: int


class Split(_Request):
    """Make two: rows before `at`, and from it on."""

    id: str
    at: int


class Undo(_Request):
    """Take an edit back: the newest by default."""

    edit: int | None = None


def add(api: FastAPI, library: Library) -> None:
    """Add the addresses to the application."""

    @api.post("/api/edits/delete")
    def delete(request: Delete) -> dict[str, Any]:
        edit = library.edit(lambda store: store.delete(request.ids))
        return {"done": str(edit.op), "ids": []}

    @api.post("/api/edits/relabel")
    def relabel(request: Relabel) -> dict[str, Any]:
        edit = library.edit(lambda store: store.relabel(request.ids, **request.labels))
        return {"done": str(edit.op), "ids": request.ids}

    @api.post("/api/edits/trim")
    def trim(request: Trim) -> dict[str, Any]:
        edit = library.edit(lambda store: store.trim(request.id, request.start, request.stop))
        return {"done": str(edit.op), "ids": [request.id]}

    @api.post("/api/edits/split")
    def split(request: Split) -> dict[str, Any]:
        ids = library.edit(lambda store: store.split(request.id, request.at))
        return {"done": f"split {request.id} into {' and '.join(ids)}", "ids": list(ids)}

    @api.post("/api/edits/undo")
    def undo(request: Undo) -> dict[str, Any]:
        edit = library.edit(lambda store: store.undo(request.edit))
        return {"done": f"undid: {edit.op}", "ids": _episodes(edit.op)}

    @api.get("/api/edits")
    def newest() -> list[dict[str, Any]]:
        """The newest edits, newest first. can_undo: neither undone nor made final."""
        catalog = library.store.catalog
        taken_back = undone(catalog.edits)
        return [
            {
                "number": edit.number,
                "time": edit.time,
                "by": edit.by,
                "what": str(edit.op),
                "undone": edit.number in taken_back,
                "can_undo": edit.number not in taken_back | catalog.state.final,
            }
            for edit in reversed(catalog.edits[-SHOWN:])
            if not isinstance(edit.op, edit_ops.Undo)
        ]


def _episodes(op: edit_ops.Op) -> list[str]:
    """The episodes that an edit was made on."""
    match op:
        case edit_ops.Delete() | edit_ops.Relabel() | edit_ops.Merge():
            return [name for name, _ in op.episodes]
        case edit_ops.Trim() | edit_ops.Split() | edit_ops.RelabelSource():
            return [op.episode[0]]
        case _:
            return []
