"""What came out: every number as JSON, and as tables in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from policies.experiment.arms import UNIFORM
from policies.experiment.laboratory import Fit
from policies.experiment.paired import crossed_bootstrap, verdict
from policies.experiment.rounds import Course

Result = dict[str, Any]

RULE = (
    "An arm helps on a task if the lower end of the 95 % interval of its success minus that of uniform (paired by "
    "training seed and start state, bootstrapped over both) is above 0; it hurts if the upper end is below 0; "
    "otherwise nothing is shown. Written before the first run."
)


def summarise_task(courses: Sequence[Mapping[str, Course]]) -> Result:
    """Of one task. courses: by arm, one a seed. Round 0 is the policy from demonstrations alone."""
    arms = list(courses[0])
    rounds = len(courses[0][UNIFORM].fits)
    control = [_outcomes([seed[UNIFORM].fits[number] for seed in courses]) for number in range(rounds)]
    return {
        "base": _fit_figures([seed[UNIFORM].fits[0] for seed in courses]),
        "arms": {
            name: [
                {
                    "round": number,
                    **_fit_figures(fits := [seed[name].fits[number] for seed in courses]),
                    **_against(_outcomes(fits), control[number]),
                    "watched": _means([asdict(seed[name].watched[number - 1]) for seed in courses]),
                }
                for number in range(1, rounds)
            ]
            for name in arms
        },
    }


def markdown(result: Result) -> str:
    """Tables of all tasks."""
    config = result["config"]
    lines = [
        f"# Sirius on Meta-World, policy {config['policy']}",
        "",
        f"{result['seeds']} training seeds (demonstrations, deployments and network of their own), "
        f"{config['deployments']} watched deployments a round, "
        f"{config['episodes']} evaluation episodes without help, from the same start states for all.",
        "",
        RULE,
    ]
    for task, figures in result["tasks"].items():
        lines += ["", f"## {task}", "", _base(config["demonstrations"][task], figures["base"]), ""]
        lines += _success_table(figures["arms"])
        lines += ["", *_weights_table(figures["arms"])]
    return "\n".join([*lines, ""])


def _base(demonstrations: int, base: Result) -> str:
    return f"From {demonstrations} demonstrations alone: {_interval(base['success'])}."


def _success_table(arms: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    yield "| arm | round | success | minus uniform | shown | flown by the person | takeovers an attempt | with help |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, numbers in arms.items():
        for of in numbers:
            seen = of["watched"]
            control = name == UNIFORM
            yield (
                f"| {name} | {of['round']} | {_interval(of['success'])} "
                f"| {'' if control else _points(of['difference'])} | {'' if control else of['verdict']} "
                f"| {seen['intervened']:.0%} | {seen['takeovers']:.1f} | {seen['success']:.0%} |"
            )


def _weights_table(arms: Mapping[str, Sequence[Result]]) -> Iterator[str]:
    labels = list(dict.fromkeys(label for numbers in arms.values() for label in numbers[-1]["classes"]))
    yield f"| share × weight, last round | {' | '.join(labels)} |"
    yield f"|---|{'---|' * len(labels)}"
    for name, numbers in arms.items():
        classes = numbers[-1]["classes"]
        cells = [f"{classes[n]['share']:.1%} × {classes[n]['weight']:.3g}" if n in classes else "" for n in labels]
        yield f"| {name} | {' | '.join(cells)} |"


def _fit_figures(fits: Sequence[Fit]) -> Result:
    """Success with its interval and of each seed; of each class its mean share, and its mean weight where it occurs."""
    outcomes = _outcomes(fits)
    labels = dict.fromkeys(label for fit in fits for label in fit.classes)
    return {
        "success": asdict(crossed_bootstrap(outcomes)),
        "success_of_seeds": outcomes.mean(axis=1).tolist(),
        "classes": {label: _class([fit.classes.get(label) for fit in fits]) for label in labels},
    }


def _class(rows: Sequence[Mapping[str, float] | None]) -> dict[str, float]:
    present = [row for row in rows if row is not None]
    share = sum(row["share"] for row in present) / len(rows)
    return {"share": share, "weight": float(np.mean([row["weight"] for row in present]))}


def _against(outcomes: np.ndarray[Any, Any], control: np.ndarray[Any, Any]) -> Result:
    difference = crossed_bootstrap(outcomes - control)
    return {
        "difference": asdict(difference),
        "difference_of_seeds": (outcomes - control).mean(axis=1).tolist(),
        "verdict": verdict(difference),
    }


def _outcomes(fits: Sequence[Fit]) -> np.ndarray[Any, Any]:
    """(seeds, states), 1 for a success."""
    return np.array([fit.outcomes for fit in fits], float)


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _interval(of: Mapping[str, float]) -> str:
    return f"{of['mean']:.1%} [{of['low']:.1%}, {of['high']:.1%}]"


def _points(of: Mapping[str, float]) -> str:
    return f"{100 * of['mean']:+.1f} [{100 * of['low']:+.1f}, {100 * of['high']:+.1f}] points"
