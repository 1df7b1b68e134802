"""Whether a store is what was recorded: structure, lengths and hashes; then what its data says (quality/checks.py)."""

from collections.abc import Iterator

import numpy as np

from robot_stack.quality.checks import inspect
from robot_stack.quality.finding import Finding, Severity
from robot_stack.spec import Field
from robot_stack.store import arrays
from robot_stack.store.episode import Episode, content_hash
from robot_stack.store.lock import is_locked
from robot_stack.store.store import Store
from robot_stack.types import StoreError

RESTORE = "restore this episode from a copy, or remove its folder"


def leftovers(store: Store) -> Iterator[Finding]:
    """Episodes that nobody committed, unless somebody is recording now."""
    if is_locked(store.path / "writing"):
        return
    for folder in sorted((store.path / "writing").glob("ep-*")):
        advice = "the next collect, deploy or import salvages it"
        yield Finding(folder.name, -1, Severity.WARNING, "recording was cut off before its commit", advice)


def check_episode(episode: Episode) -> list[Finding]:
    """All findings in one episode; what its data says only when it is whole on disk."""
    broken = list(_structure(episode))
    if broken:
        return broken
    return [*_provenance(episode), *inspect(episode)]


def _structure(episode: Episode) -> Iterator[Finding]:
    digests = {}
    try:
        rows = len(episode)
        for field in episode.spec:
            for what in _array_faults(episode, field, rows):
                yield _error(episode, what)
            digests[field.name] = episode.digest(field.name)
            if digests[field.name] != arrays.read_attributes(episode.path / field.name).get("sha256"):
                yield _error(episode, f"{field.name} is not what was recorded: its hash differs")
    except (StoreError, OSError, KeyError) as error:
        yield _error(episode, f"cannot be read: {error}")
        return
    if content_hash(episode.spec, digests) != episode.attrs.get("content"):
        yield _error(episode, "the hash of its content differs from the one it was committed with")


def _array_faults(episode: Episode, field: Field, rows: int) -> Iterator[str]:
    metadata = arrays.read_metadata(episode.path / field.name)
    if metadata["data_type"] != np.dtype(field.dtype).name or metadata["shape"][1:] != list(field.shape):
        yield f"{field.name} is {metadata['data_type']}{metadata['shape'][1:]}, the store's spec says otherwise"
    if metadata["shape"][0] != rows:
        yield f"{field.name} has {metadata['shape'][0]} rows, the episode {rows}"


def _provenance(episode: Episode) -> Iterator[Finding]:
    if episode.attrs["salvaged"]:
        what = f"salvaged after its recorder died: {len(episode)} rows were whole"
        yield Finding(episode.id, -1, Severity.ADVICE, what, "its end is missing: look at it and give it a verdict")


def _error(episode: Episode, what: str) -> Finding:
    return Finding(episode.id, -1, Severity.ERROR, what, RESTORE)
