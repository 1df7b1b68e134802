"""What a run is trained on: the usable episodes of one or more stores, split, labelled and weighted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from rich.console import Console

from policies import Window
from policies.conditioning import Conditioning
from policies.pictures import find_pictures
from policies.quality import Scoring
from policies.shares import Shares, share, table
from policies.weights import Labels, Uniform, Weighting, class_shares, mixed, step_weights
from policies.windows import Windows
from robot_stack.interventions import PRE_INTERVENTION, Label, labels
from robot_stack.spec import Spec
from robot_stack.store import Episode, Store, provenance
from robot_stack.types import Array, ConfigError, StoreError

SOURCE = "source"
HOLD_OUT = ("episode", "scene", "operator")
"""What is held out whole for the validation loss: attributes of an episode."""
KINDS = ("collect", "import", "deploy")
"""Kinds of episodes that are trained on; a replay teaches nothing new."""


@dataclass(frozen=True)
class Dataset:
    """spec: of the fields in use. validation: held-out episodes, None without. rate: rows a second [Hz].
    classes: label -> its share of the steps and its weight; shares: the same of the stores. stores: which episodes are
    in use, by content, as `provenance.record` notes them. notes: what else is to be known, as sentences."""

    spec: Spec
    training: Windows
    validation: Windows | None
    rate: float
    classes: Shares
    shares: Shares
    stores: list[dict[str, Any]]
    notes: list[str]

    def foresee(self, fields: Sequence[str]) -> None:
        """Have batches say what these fields are after the last action: `Policy.future`."""
        for windows in (self.training, self.validation):
            if windows is not None:
                windows.foresee(fields)

    def describe(self, console: Console) -> None:
        """Print the shares of classes and stores, and the weights that they got."""
        console.print(table("class", self.classes, "Who flew, and how much it counts"))
        if len(self.shares) > 1:
            console.print(table("store", self.shares, "Where it comes from, and how much it counts"))
        megabytes = (self.training.bytes + (self.validation.bytes if self.validation else 0)) / 1e6
        episodes = sum(map(len, provenance.learned_from(self.stores)))
        console.print(f"{episodes} episodes, {megabytes:.0f} MB on {self.training.action.device}")
        for note in self.notes:
            console.print(note, highlight=False, soft_wrap=True)


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
    rate = _rate(episodes)
    kept, held_out = split(episodes, config["validation"], config["seed"], config.get("hold_out", "episode"))
    pictures = find_pictures(config, seen, episodes, device)
    window = Window(**{key: value for key, value in policy["window"].items() if key != "_target_"})

    pre = config.get("pre", PRE_INTERVENTION)  # runs of older versions do not say

    def windows(chosen: Sequence[Episode], weight: Sequence[Array] | None) -> Windows:
        flown = [_labels(episode, pre) != Label.IDLE for episode in chosen]
        return Windows(chosen, policy["observe"], policy["act"], window, weight, pictures, device, told, flown)

    tags = [_labels(episode, pre) for episode in kept]
    number = {id(episode): number for number, of in enumerate(found) for episode in of}  # of its store
    source = np.repeat([number[id(episode)] for episode in kept], [len(tag) for tag in tags])
    labelled = np.concatenate(tags)
    weights = _weights(kept, labelled, source, weighting, config)
    training = windows(kept, np.split(weights, np.cumsum([len(tag) for tag in tags])[:-1]))
    return Dataset(
        spec,
        training,
        windows(held_out, None) if held_out else None,
        rate,
        {tag.name.lower(): share(labelled, weights, labelled == tag) for tag in class_shares(labelled)},
        {str(path): share(labelled, weights, source == n) for n, path in enumerate(paths)},
        [provenance.record(path, of, kept, held_out) for path, of in zip(paths, found, strict=True)],
        [*filter(None, [pictures.said]), *_notes(config, weighting, labelled, len(training), bool(held_out))],
    )


def split(
    episodes: Sequence[Episode], share: float, seed: int, by: str = "episode"
) -> tuple[list[Episode], list[Episode]]:
    """Training and held-out episodes, drawn by `seed`; at least one held out if share > 0 and there are several.

    by: HOLD_OUT; whole scenes or all of a person's episodes are held out, to measure what is new to the policy. Raises
    ConfigError if there is only one of them.
    """
    if by not in HOLD_OUT:
        raise ConfigError(f"hold_out={by!r}: choose one of {', '.join(HOLD_OUT)}")
    if share == 0.0 or len(episodes) < 2:
        return list(episodes), []
    groups = [str(i) if by == "episode" else str(e.attrs.get(by, "")) for i, e in enumerate(episodes)]
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise ConfigError(f"hold_out={by}: all episodes have the {by} {names[0]!r}; record others, or hold_out=episode")
    held: set[str] = set()
    for place in np.random.default_rng(seed).permutation(len(names))[:-1]:
        if held and sum(name in held for name in groups) + groups.count(names[place]) > round(share * len(episodes)):
            break
        held.add(names[place])
    kept = [episode for episode, name in zip(episodes, groups, strict=True) if name not in held]
    return kept, [episode for episode, name in zip(episodes, groups, strict=True) if name in held]


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


def _rate(episodes: Sequence[Episode]) -> float:
    """Rows a second [Hz]. Raises StoreError if episodes differ."""
    first, *others = sorted({float(episode.attrs["rate"]) for episode in episodes})
    if others:
        named = ", ".join(f"{rate:g}" for rate in (first, *others))
        raise StoreError(
            f"episodes of different rates cannot be mixed, a chunk would mean two things: there are some of {named} "
            "rows a second; train on stores of one rate"
        )
    return first


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


def _weights(
    episodes: Sequence[Episode],
    labelled: Labels,
    source: NDArray[np.int64],
    weighting: Weighting,
    config: Mapping[str, Any],
) -> Array:
    """How much each step of all episodes counts: by class, by quality within its class, and by store."""
    if (labelled == Label.IDLE).all():
        raise StoreError(
            f"nobody flew: {SOURCE} says so of every step of {config['store']}, so there is nothing to learn; "
            f"in an import, leave {SOURCE} out of the mapping, and all counts as demonstrated"
        )
    scoring: Scoring | None = instantiate(config.get("quality"), _convert_="all")
    quality: Array = np.ones(len(labelled))
    if scoring is not None:
        quality = np.repeat(scoring(episodes), [len(episode) for episode in episodes])
    mix = config.get("mix")
    if mix is None:
        return step_weights(labelled, weighting, quality)
    stores = 1 if isinstance(config["store"], str) else len(config["store"])
    inside = [source == number for number in range(stores)]
    parts = [step_weights(labelled[rows], weighting, quality[rows]) for rows in inside]
    return np.concatenate(mixed(parts, [labelled[rows] for rows in inside], mix))  # episodes are in this order


def _notes(
    config: Mapping[str, Any], weighting: Weighting, labelled: Labels, windows: int, is_held_out: bool
) -> Iterator[str]:
    """What is not as it was asked for, or cannot be."""
    if not isinstance(weighting, Uniform) and Label.INTERVENTION not in labelled:
        yield f"nobody took over in these episodes, so {type(weighting).__name__} has nothing to raise"
    if config["validation"] > 0.0 and not is_held_out:
        yield "there is one episode, and none is held out: no validation loss"
    if config["batch"] > windows:
        yield f"batch={config['batch']} is more than the {windows} windows there are: each batch is all of them"
