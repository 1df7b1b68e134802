"""The action `robot-stack data quality`: figures of demonstrations and what stands out; it writes nothing."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from rich.table import Table

from robot_stack.progress import bar
from robot_stack.quality.demonstrations import Demonstration, demonstration, has_state, normalized
from robot_stack.quality.figures import EpisodeQuality, GroupQuality, Quality, measure
from robot_stack.quality.filters import REPEATS, Comparison, compare_filter
from robot_stack.quality.heldout import action_error
from robot_stack.quality.scaling import DRAWS, HELD_OUT, LESS, SIZES, Interval, Promise, Scaling, scaling
from robot_stack.quality.summary import coverage
from robot_stack.quality.worst import BADNESS, reasons
from robot_stack.store import Store
from robot_stack.store.episode import Episode
from robot_stack.terminal import console, count, table
from robot_stack.types import ConfigError

_SCORED = "error of predicted actions of held-out demonstrations, 1 is no better than the mean action"


def run(cfg: Mapping[str, Any]) -> int:
    """Measure the store `cfg.store` and print what `cfg` asks for."""
    if cfg["by"] not in ("", "operator"):
        raise ConfigError(f"by={cfg['by']}: there is no such group; there is: operator")
    if cfg["filter"] not in ("", *BADNESS):
        raise ConfigError(f"filter={cfg['filter']}: there is no such figure; there are: {', '.join(BADNESS)}")
    if not 0.0 < cfg["keep"] < 1.0:
        raise ConfigError(f"keep={cfg['keep']}: expected a share between 0 and 1, as in keep=0.8")
    store = Store.open(str(cfg["store"]))
    if cfg["scaling"]:
        _print_scaling(_scaling(store))
        return 0
    with bar("measuring episodes", len(store.episodes)) as progress:
        quality = measure(store.episodes, progress.update, cfg["base"])
    if cfg["filter"]:
        _print_comparison(cfg["filter"], cfg["keep"], _comparison(store, quality, cfg["filter"], cfg["keep"]))
        return 0
    _print_groups(quality, by_operator=cfg["by"] == "operator")
    _print_starts(store.episodes)
    _print_worst(quality.episodes, cfg["worst"])
    return 0


def _scaling(store: Store) -> Scaling:
    demonstrations = _demonstrations(store)
    with bar("scoring subsets", SIZES * DRAWS) as progress:
        return scaling(demonstrations, action_error, progress=progress.update)


def _comparison(store: Store, quality: Quality, figure: str, keep: float) -> Comparison:
    badness = {episode.id: _badness(episode, figure) for episode in quality.episodes}
    demonstrations = _demonstrations(store)
    return compare_filter(demonstrations, [badness[d.id] for d in demonstrations], action_error, keep)


def _demonstrations(store: Store) -> list[Demonstration]:
    if not len(store) or not has_state(store.spec):
        raise ConfigError(f"{store.name} has no episodes with a state to learn from; `robot-stack data info` says more")
    found = [demonstration(episode) for episode in store.episodes]
    return normalized([one for one in found if len(one)])


def _badness(episode: EpisodeQuality, figure: str) -> float:
    value = getattr(episode, figure)
    return float("nan") if value is None else BADNESS[figure] * float(value)


def _print_groups(quality: Quality, by_operator: bool) -> None:
    heads = ["episodes", "steps", "median [s]", "path", "jerk", "idle"]
    heads += ["action variance", "state similarity", "TQ", "SACo", "entropy", "compatible", "extraneous"]
    shown = table("operator" if by_operator else "", *heads)
    for group in quality.operators if by_operator else []:
        _add_group(shown, group.name or "not named", group)
    if quality.store:
        _add_group(shown, "all", quality.store)
        console().print(shown)
    for note in quality.notes:
        console().print(f"- {note}", soft_wrap=True)


def _add_group(shown: Table, name: str, group: GroupQuality) -> None:
    shown.add_row(
        name,
        f"{group.episodes}",
        f"{group.rows:,}",
        f"{group.duration:.1f}",
        _figure(group.path_length, ",.2f" if (group.path_length or 0) < 100 else ",.0f"),
        _figure(group.jerk, ".1f"),
        _figure(group.idle, ".1%"),
        " / ".join(f"{_figure(value, '.2f')} (k={k})" for k, value in group.action_variance.items()),
        " / ".join(f"{_figure(value, '.2%')} ({radius:g})" for radius, value in group.state_similarity.items()),
        _figure(group.tq, ".2f"),
        _figure(group.saco, ".2f"),
        _figure(group.entropy, ".2f"),
        _figure(group.compatibility, ".2f"),
        _figure(group.suspicious, ".1%"),
    )


def _print_starts(episodes: list[Episode]) -> None:
    covered = coverage(episodes)
    if covered is not None:
        x, y = covered.extent
        console().print(
            f"- starts of {covered.field} cover {x:.3g} x {y:.3g}; they are {covered.index:.2f} times as far apart as "
            "random ones (1: evenly random, 0: all alike)",
            soft_wrap=True,
        )


def _print_worst(episodes: list[EpisodeQuality], most: int) -> None:
    found = reasons(episodes)
    names = list(dict.fromkeys(reason.episode for reason in found))
    if not names:
        console().print("No episode stands out.")
        return
    shown = table("worth a look", "why")
    for name in names[:most]:
        shown.add_row(name, "; ".join(reason.what for reason in found if reason.episode == name))
    console().print(shown)
    if len(names) > most:
        console().print(
            f"and {count(len(names) - most, 'episode', 'episodes')} more that stand out; worst={len(names)}"
        )


def _print_scaling(found: Scaling) -> None:
    losses = table("demonstrations", "loss", "spread of draws")
    for size, draws in zip(found.sizes, found.losses, strict=True):
        mean = sum(draws) / len(draws)
        spread = (sum((loss - mean) ** 2 for loss in draws) / (len(draws) - 1)) ** 0.5
        losses.add_row(str(size), f"{mean:.3f}", f"{spread:.3f}")
    console().print(losses)
    double = f"loss with {2 * found.demonstrations}"
    curves = table("curve", "formula", "AICc", "p", double, f"more for a loss {LESS:.0%} lower")
    for promise in found.promises:
        curves.add_row(*_promise_row(promise))
    console().print(curves)
    plausible = ", ".join(promise.curve for promise in found.plausible)
    console().print(
        f"Loss: {_SCORED}; it is no success rate. Intervals are 95 % over {len(found.losses[0])} draws a size from "
        f"these demonstrations. Within 2 of the best AICc: {plausible}. No curve knows what is far beyond its points.",
        soft_wrap=True,
    )


def _promise_row(promise: Promise) -> list[str]:
    exponent = ""
    if promise.exponent is not None and promise.exponent_interval is not None:
        exponent = _with_interval(promise.exponent, promise.exponent_interval, ".2f")
    return [
        promise.curve,
        promise.formula,
        f"+{promise.aicc:.1f}",
        exponent,
        _with_interval(promise.doubled, promise.doubled_interval, ".3f"),
        _with_interval(promise.more, promise.more_interval, ".0f"),
    ]


def _print_comparison(figure: str, keep: float, found: Comparison) -> None:
    verdict = "helps" if found.helps else "harms" if found.harms else "makes no difference that can be told from chance"
    console().print(
        f"Keeping the best {keep:.0%} by {figure}: loss {found.kept:.3f}; as many at random {found.random:.3f}; all of "
        f"them {found.everything:.3f}.\nBest - random: {_with_interval(found.difference, found.interval, '+.3f')}: it "
        f"{verdict}.\nLoss: {_SCORED}; {REPEATS} repeats, {HELD_OUT:.0%} held out in each. It is no success rate. "
        "Nothing was left out of the store.",
        soft_wrap=True,
    )


def _with_interval(value: float, interval: Interval, form: str) -> str:
    return f"{_number(value, form)} ({_number(interval[0], form)} to {_number(interval[1], form)})"


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if isfinite(value) else "never"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
