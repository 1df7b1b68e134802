"""One robot cell from its configuration: which streams there are, and its drivers."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hydra.utils import get_class, instantiate

from robot_stack.robots import robot as find_robot
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.types import ConfigError


def station(config: Mapping[str, Any]) -> Station:
    """The streams that a verb's config describes: a simulated station where there is a world, else a real one."""
    cell = config["robot"]
    cameras = {name: (camera["height"], camera["width"]) for name, camera in cell["cameras"].items()}
    if cell["world"] is not None:
        from robot_stack import sim  # MuJoCo is not loaded for a real robot

        return sim.station(cell["name"], config["task"]["name"], cameras, config["rate"])
    return Station(cell["name"], len(find_robot(cell["name"]).joints), cameras, config["rate"])


def to_json(station: Station) -> dict[str, Any]:
    """For the config of a worker."""
    return asdict(station)


def from_json(values: Mapping[str, Any]) -> Station:
    """The inverse of `to_json`."""
    cameras = {name: (height, width) for name, (height, width) in values["cameras"].items()}
    return Station(**{**values, "cameras": cameras, "objects": tuple(values["objects"])})


def no_chunk(station: Station, now: float) -> Record:
    """A chunk that asks for nothing: what was asked before is over."""
    return station.chunk.spec.record(time=now, observed=now, pictured=now)


def driver(config: Mapping[str, Any], **given: Any) -> Any:
    """Make what `_target_` names. Of `given` it gets what its constructor asks for and the config does not say."""
    try:
        wanted = inspect.signature(get_class(config["_target_"])).parameters
        missing = {name: value for name, value in given.items() if name in wanted and name not in config}
        return instantiate(dict(config), _convert_="all", **missing)
    except (ImportError, TypeError) as error:
        raise ConfigError(f"cannot make {config.get('_target_', 'a driver without _target_')}: {error}") from error
