"""The one importer: brings any `Source` into a store, episode by episode, and can be killed anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robot_stack.store.formats.construct import construct
from robot_stack.store.formats.protocol import Imported, Source
from robot_stack.store.formats.recognise import recognise
from robot_stack.types import ConfigError

SOURCES = {
    "lerobot": "robot_stack.store.formats.lerobot_source:LeRobotSource",
    "diffusion_policy": "robot_stack.store.formats.diffusion_policy:ReplayBuffer",
    "robomimic": "robot_stack.store.formats.robomimic:RobomimicSource",
    "mcap": "robot_stack.store.formats.mcap_source:McapSource",
}
"""Format -> module:class of the protocol `Source`. The module is imported when it is needed."""

NAN = ("refuse", "keep", "skip")


def open_source(path_or_id: str | Path, format: str = "auto", **options: Any) -> Source:
    """Open something to import from; its format is recognised by looking. options: of that format, None: default."""
    name = recognise(str(path_or_id)) if format == "auto" else format
    if name not in SOURCES:
        raise ConfigError(f"no format {name!r} to import; there are: auto, {', '.join(SOURCES)}")
    source: Source = construct(SOURCES[name], (str(path_or_id),), options, f"format {name}")
    return source


def import_source(
    source: Source,
    store_path: str | Path,
    progress: Callable[[float], None] = lambda done: None,
    codec: str = "zstd",
    nan: str = "refuse",
) -> Imported:
    """Bring all episodes in; each is read back from disk and compared. An interrupted import continues.

    progress: called with the number of episodes done. codec: of images in a store that is made here; lossless unless
    it is asked for. nan: what to do with an episode that holds values that are not finite: refuse it with its place,
    keep it as it is, or skip it and say so.
    """
    if nan not in NAN:
        raise ConfigError(f"no nan={nan}; there are: {', '.join(NAN)}")
    raise NotImplementedError  # in work
