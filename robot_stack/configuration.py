"""Configs: composed by Hydra from `configs/` and `key=value`; what is wrong is said with what would be right."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robot_stack.types import ConfigError


def compose(folder: Path, name: str, overrides: list[str]) -> DictConfig:
    """The config `folder/name.yaml` with the overrides applied; raises ConfigError, which lists what would be valid."""
    parsed = [_parse(name, override) for override in overrides]
    with initialize_config_dir(str(folder.resolve()), version_base=None):
        groups = [group for group in hydra_compose(name, return_hydra_config=True).hydra.runtime.choices if "/" not in group]
        choices = [override for override in parsed if override.key_or_group in groups]
        for choice in choices:
            _check("choice for " + choice.key_or_group, str(choice.value()), _files(folder / choice.key_or_group))
        defaults = hydra_compose(name, [str(choice.input_line) for choice in choices])
        for override in parsed:
            if override not in choices:
                _check(f"key in {name}", override.key_or_group, [*_keys(defaults), *groups])
        config = hydra_compose(name, overrides)
    _check_values(name, defaults, config)
    return config


def _parse(name: str, text: str) -> Override:
    try:
        override: Override = OverridesParser.create().parse_override(text)
    except OverrideParseException as error:
        raise ConfigError(f"cannot read {text!r}: expected key=value; keys: robot-stack {name} --help") from error
    if override.value() is None and "=" not in text:
        raise ConfigError(f"cannot read {text!r}: expected key=value; keys: robot-stack {name} --help")
    return override


def _files(group: Path) -> list[str]:
    return sorted(file.stem for file in group.glob("*.yaml"))


def _check(what: str, given: str, valid: list[str]) -> None:
    if given in valid:
        return
    close = get_close_matches(given, valid)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(f"There is no {what} named {given!r}.{meant} There are: {', '.join(valid)}.")


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        yield f"{prefix}{key}"
        if not OmegaConf.is_missing(node, key) and isinstance(node[key], DictConfig):
            yield from _keys(node[key], f"{prefix}{key}.")


def _check_values(name: str, defaults: DictConfig, config: DictConfig) -> None:
    if missing := sorted(OmegaConf.missing_keys(config)):
        wanted = " ".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{name} needs {wanted}; see robot-stack {name} --help")
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"the config of {name} cannot be resolved: {error}") from error
    for key in _keys(defaults):
        expected, given = OmegaConf.select(defaults, key, throw_on_missing=False), OmegaConf.select(config, key)
        if (kind := _expected(expected, given)) is not None:
            raise ConfigError(f"{key}={given}: expected {kind}, as in {key}={expected}")


def _expected(default: Any, given: Any) -> str | None:
    """What kind of value the default says it should be, when `given` is not."""
    if isinstance(default, bool):
        return None if isinstance(given, bool) else "true or false"
    if isinstance(default, int) and not isinstance(given, int):
        return "a whole number"
    if isinstance(default, float) and (isinstance(given, bool) or not isinstance(given, int | float)):
        return "a number"
    return None
