"""Episodes in zarr: recorded as they happen, committed by one rename, read by any zarr v3 reader."""

from robot_stack.store.episode import Episode
from robot_stack.store.store import Store
from robot_stack.store.writer import EpisodeWriter

__all__ = ["Episode", "EpisodeWriter", "Store"]
