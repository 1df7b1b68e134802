"""What a run is trained on: the usable episodes of one or more stores, split, labelled and weighted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from policies import Window
from policies.conditioning import Conditioning
from policies.pictures import Pictures, find_pictures
from policies.weights import Labels, Weighting, class_shares, step_weights
from policies.windows import Windows
from robot_stack.interventions import PRE_INTERVENTION, Label, labels
from robot_stack.spec import Spec
from robot_stack.store import Episode, Store, provenance
from robot_stack.types import ConfigError, StoreError

SOURCE = "source"
KINDS = ("collect", "import", "deploy")
"""Kinds of episodes that are trained on; a replay teaches nothing new."""


@dataclass(frozen=True)
class Dataset:
    """spec: of the fields in use. validation: held-out episodes, None without. rate: rows a second [Hz].
    classes: label -> its share of the steps and its weight. stores: which episodes are in use, by content, as
    `provenance.record` notes them. pictures: where they come from."""

    spec: Spec
    training: Windows
    validation: Windows | None
    rate: float
    classes: dict[str, dict[str, float]]
    stores: list[dict[str, Any]]
    pictures: Pictures

    def foresee(self, fields: Sequence[str]) -> None:
        """Have batches say what these fields are after the last action: `Policy.future`."""
        for windows in (self.training, self.validation):
            if windows is not None:
                windows.foresee(fields)

    def describe(self, console: Console) -> None:
        """Print the class shares and the weights that they got."""
        table = Table("class", "share of steps", "weight", "share of loss", title="Who flew, and how much it counts")
        for name, row in self.classes.items():
            share, weight = row["share"], row["weight"]
            table.add_row(name, f"{share:.1%}", f"{weight:.3g}", f"{share * weight:.1%}")
        console.print(table)
        megabytes = (self.training.bytes + (self.validation.bytes if self.validation else 0)) / 1e6
        episodes = sum(map(len, provenance.learned_from(self.stores)))
        console.print(f"{episodes} episodes, {megabytes:.0f} MB on {self.training.action.device}")
        if self.pictures.said:
            console.print(self.pictures.said, highlight=False, soft_wrap=True)


def load_dataset(config: Mapping[str, Any], weighting: Weighting, device: torch.device) -> Dataset:
    """Read `config.store` (a path or several) as `config.policy` wants it. Raises StoreError."""
    paths = [config["store"]] if isinstance(config["store"], str) else list(config["store"])
    stores = [Store.open(path) for path in paths]
    policy = config["policy"]
    _check_robot(stores, config.get("robot"))
    told: Conditioning | None = instantiate(policy.get("conditioning"), _convert_="all")
    seen = list(dict.fromkeys([*policy["observe"], *(told.fields if told is not None else ())]))
    spec = _common_spec(stores, paths, list(dict.fromkeys([*seen, *policy["act"]])))
    found = [store.episodes for store in stores]
    episodes = [e for of in found for e in of if _usable(e, config["verdicts"])]
    if not episodes:
        raise StoreError(f"no episode in {', '.join(map(str, paths))} has one of the verdicts {config['verdicts']}")
    _check_fields(episodes, spec)
    kept, held_out = split(episodes, config["validation"], config["seed"])
    pre = config.get("pre", PRE_INTERVENTION)  # runs of older versions do not say
    tags = [_labels(episode, pre) for episode in kept]
    weights = step_weights(np.concatenate(tags), weighting)
    parts = np.split(weights, np.cumsum([len(tag) for tag in tags])[:-1])
    window = Window(**{key: value for key, value in policy["window"].items() if key != "_target_"})
    pictures = find_pictures(config, seen, episodes, device)

    def windows(chosen: Sequence[Episode], weight: Sequence[np.ndarray[Any, Any]] | None) -> Windows:
        return Windows(chosen, policy["observe"], policy["act"], window, weight, pictures, device, told)

    return Dataset(
        spec,
        windows(kept, parts),
        windows(held_out, None) if held_out else None,
        float(episodes[0].attrs["rate"]),
        _classes(np.concatenate(tags), weights),
        [provenance.record(path, of, kept, held_out) for path, of in zip(paths, found, strict=True)],
        pictures,
    )


def split(episodes: Sequence[Episode], share: float, seed: int) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes, drawn by `seed`; at least one held out if share > 0 and there are several."""
    count = max(1, round(share * len(episodes))) if share > 0.0 and len(episodes) > 1 else 0
    chosen = set(np.random.default_rng(seed).permutation(len(episodes))[:count].tolist())
    kept = [episode for i, episode in enumerate(episodes) if i not in chosen]
    return kept, [episode for i, episode in enumerate(episodes) if i in chosen]


def _common_spec(stores: Sequence[Store], paths: Sequence[str], names: Sequence[str]) -> Spec:
    for store, path in zip(stores, paths, strict=True):
        if absent := [name for name in names if name not in store.spec]:
            there = ", ".join(store.spec.fields)
            raise StoreError(f"{path} has no {', '.join(absent)}, which the policy wants; it has: {there}")
    specs = [store.spec.select(names) for store in stores]
    for spec, path in zip(specs, paths, strict=True):
        if sentences := specs[0].difference(spec):
            raise StoreError(f"stores of different schema cannot be mixed; in {path}: {'; '.join(sentences)}")
    return specs[0]


def _check_fields(episodes: Sequence[Episode], spec: Spec) -> None:
    """Raise StoreError if an episode lacks a field that others have, such as a camera that was not plugged in."""
    for name in spec.fields:
        if lacking := [episode.id for episode in episodes if name not in episode.spec]:
            named = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10} more" if len(lacking) > 10 else "")
            raise StoreError(
                f"{len(lacking)} of {len(episodes)} episodes have no {name}: {named}; leave them out with `robot-stack "
                f"data filter`, or train without it: policy.observe=[…]"
            )


def _check_robot(stores: Sequence[Store], robot: Mapping[str, Any] | None) -> None:
    """Raise ConfigError if the policy would be evaluated on another robot than it learns from."""
    for store in stores:
        recorded = store.station.get("robot")
        if recorded and robot is not None and recorded != robot["name"]:
            raise ConfigError(
                f"{store.name} was recorded on {recorded}, but robot is {robot['name']}: add robot=sim_{recorded}"
            )


def _usable(episode: Episode, verdicts: Sequence[str]) -> bool:
    return episode.attrs["kind"] in KINDS and episode.attrs["verdict"] in verdicts


def _labels(episode: Episode, pre: float) -> Labels:
    """Who flew each step; in a foreign data set that does not say, a person demonstrated. pre: before takeovers [s]."""
    if SOURCE not in episode.spec:
        return np.full(len(episode), Label.DEMONSTRATION, np.uint8)
    return labels(episode[SOURCE], float(episode.attrs["rate"]), episode.attrs["kind"], pre)


def _classes(tags: Labels, weights: np.ndarray[Any, Any]) -> dict[str, dict[str, float]]:
    return {
        label.name.lower(): {"share": share, "weight": float(weights[tags == label][0])}
        for label, share in class_shares(tags).items()
    }
