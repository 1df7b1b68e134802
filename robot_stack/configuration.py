"""Configs: composed by Hydra from `configs/` and `key=value`; what is wrong is said with what would be right."""

import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robot_stack.types import ConfigError

TEXTS = ("where", "language")
"""Keys whose value is a text, whatever signs are in it: `where="rows > 5"` needs no second pair of quotes."""


def compose(folder: Path, name: str, overrides: list[str]) -> DictConfig:
    """The config `folder/name.yaml` with the overrides applied, or a ConfigError that lists what would be valid."""
    overrides = [_as_text(override) for override in overrides]
    parsed = [_parse(name, override) for override in overrides]
    try:
        with hydra.initialize_config_dir(str(folder.resolve()), version_base=None):
            groups = _groups(name)
            choices = [override for override in parsed if override.key_or_group in groups]
            for choice in choices:
                valid = sorted(file.stem for file in (folder / choice.key_or_group).glob("[!_]*.yaml"))
                _check(choice.key_or_group, str(choice.value()), valid)
            defaults = hydra.compose(name, [str(choice.input_line) for choice in choices])
            for override in parsed:
                if override.key_or_group not in groups:
                    _check("key", override.key_or_group, _siblings(override.key_or_group, defaults, groups))
            named = [override for override in parsed if _names_a_folder(override, folder, groups)]
            config: DictConfig = hydra.compose(name, [str(one.input_line) for one in parsed if one not in named])
            for override in named:
                config[override.key_or_group] = override.value()
        _check_values(name, defaults, config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{_command(name)}: {' '.join(str(error).split())}") from error
    return config


def sweep(folder: Path, name: str, overrides: list[str], run: Callable[[DictConfig], float]) -> None:
    """Call `run` with each config that Hydra's sweeper makes of the overrides: `seed=0,1,2`, searches, clusters.

    Each gets a folder of its own in `runs/sweep-...`, which is its `out` unless an override says otherwise.
    """
    if not any(override.startswith("out=") for override in overrides):
        overrides = ["out=${hydra:sweep.dir}/${hydra:sweep.subdir}", *overrides]
    if not any(override.startswith("hydra.sweep.dir=") for override in overrides):
        overrides = ["hydra.sweep.dir=runs/sweep-${now:%Y-%m-%d-%H%M%S}", *overrides]
    flags = [override for override in overrides if override.startswith("-")]
    keys = [override for override in overrides if override not in flags]
    sys.argv = [f"robot-stack {_command(name)}", *flags, *keys]  # where Hydra reads them
    hydra.main(version_base=None, config_path=str(folder.resolve()), config_name=name)(run)()


def _as_text(override: str) -> str:
    """The override; the value of one of TEXTS in the quotes that Hydra wants, if it is not in them already."""
    key, _, value = override.partition("=")
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    if key not in TEXTS or value == "null" or is_quoted:
        return override
    return f"{key}={QuotedString(value, Quote.double).with_quotes()}"


def _command(name: str) -> str:
    """The words on the command line that a config belongs to: data_check.yaml is `data check`."""
    return name.replace("_", " ")


def _groups(name: str) -> list[str]:
    """The config groups that this config takes a choice from."""
    choices = hydra.compose(name, return_hydra_config=True).hydra.runtime.choices
    return sorted(str(group) for group in choices if not str(group).startswith("hydra/"))


def _names_a_folder(override: Override, folder: Path, groups: list[str]) -> bool:
    """Whether Hydra would take a plain key for a group, because there is a folder of its name: `data relabel task=`."""
    return override.key_or_group not in groups and (folder / override.key_or_group).is_dir()


def _parse(name: str, text: str) -> Override:
    how = f"cannot read {text!r}: expected key=value; the keys: robot-stack {_command(name)} --help"
    if "=" not in text or text[0] in "+~":
        raise ConfigError(how)
    try:
        override = _read(text)
    except HydraException as error:
        raise ConfigError(f"{how} (put a value with signs in it between quotes: 'key=\"...\"')") from error
    return override


def _read(text: str) -> Override:
    """Read `key=value` as Hydra does; a value that it cannot read, and that is no list, is a text: `store=größe`."""
    parser = OverridesParser.create()
    key, _, value = text.partition("=")
    try:
        override: Override = parser.parse_override(text)
    except HydraException:
        if not value or value[0] in "[{'\"":
            raise
        override = parser.parse_override(f"{key}={QuotedString(value, Quote.double).with_quotes()}")
    return override


def _check(what: str, given: str, valid: list[str]) -> None:
    if given not in valid:
        close = get_close_matches(given, valid)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"There is no {what} {given!r}.{meant} There are: {', '.join(valid)}.")


def _siblings(key: str, defaults: DictConfig, groups: list[str]) -> list[str]:
    """What a key could have been: any in the same group, or any at the top; nodes as well as their leaves."""
    keys = [path for path in _paths(defaults) if "_target_" not in path]
    group = key.split(".")[0]
    if "." in key and group in defaults:
        return [path for path in keys if path.startswith(f"{group}.")]
    return [*groups, *(path for path in keys if "." not in path and path not in groups)]


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key of a config with the keys above it, as it would be written on the command line."""
    for key in map(str, node):
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            yield from _paths(node[key], f"{prefix}{key}.")


def _check_values(name: str, defaults: DictConfig, config: DictConfig) -> None:
    if missing := sorted(OmegaConf.missing_keys(config)):
        needed = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{_command(name)} needs {needed}; see robot-stack {_command(name)} --help")
    OmegaConf.resolve(config)
    for key in _paths(defaults):
        default, given = OmegaConf.select(defaults, key), OmegaConf.select(config, key)
        if kind := _kind_expected(default, given):
            raise ConfigError(f"{key}={given}: expected {kind}, as in {key}={default}")


def _kind_expected(default: Any, given: Any) -> str:
    """What kind of value the default says it should be, or nothing when `given` is of that kind."""
    if isinstance(default, bool):
        return "" if isinstance(given, bool) else "true or false"
    if isinstance(default, int):
        return "" if isinstance(given, int) and not isinstance(given, bool) else "a whole number"
    if isinstance(default, float):
        return "" if isinstance(given, int | float) and not isinstance(given, bool) else "a number"
    return ""
