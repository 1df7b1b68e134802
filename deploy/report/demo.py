"""The report of `robot-stack demo`: what happened, chapter by chapter, from the files that the run left."""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.report import figures
from deploy.report.film import film
from deploy.report.page import page, paragraph, section, table
from policies.intervals import bootstrap_mean
from robot_stack.interventions import Label, labels
from robot_stack.quality.summary import summarize
from robot_stack.store import Episode, Store

TITLES = {
    "bc": "BC, demonstrations only",
    "diffusion": "Diffusion, demonstrations only",
    "bc-sirius": "BC, with take-overs, Sirius weights",
    "bc-uniform": "BC, with take-overs, uniform weights",
    "diffusion-sirius": "Diffusion, with take-overs, Sirius weights",
    "diffusion-uniform": "Diffusion, with take-overs, uniform weights",
}


def write(out: Path, results: Mapping[str, Any]) -> Path:
    """Make `report.html` in the folder of a run; returns its path."""
    store = Store.open(out / results["store"])
    collected = [episode for episode in store.episodes if episode.attrs["kind"] == "collect"]
    deployed = [episode for episode in store.episodes if episode.attrs["kind"] == "deploy"]
    evaluations = {entry["name"]: json.loads((out / entry["file"]).read_text()) for entry in results["evaluations"]}
    sections = [
        _summary(results, evaluations, deployed),
        _success(evaluations),
        _comparison(results["best"], evaluations),
        _demonstrations(collected, deployed),
        _takeovers(deployed),
        _training(out, results["runs"]),
        _chapters(results),
    ]
    path = out / "report.html"
    partial = out / ".report.html"
    partial.write_text(page(f"One round of learning on the job: {results['task']} with a {results['robot']}", sections))
    partial.replace(path)
    return path


def _summary(results: Mapping[str, Any], evaluations: Mapping[str, Any], deployed: Sequence[Episode]) -> str:
    best = results["best"]
    before, after = evaluations[best], evaluations[f"{best}-sirius"]
    helped = sum(bool((_labels(episode) == Label.INTERVENTION).any()) for episode in deployed)
    return paragraph(
        f"In simulation, through the real service: a scripted person gave demonstrations, two policies learned from "
        f"them, and {best} flew {len(deployed)} episodes, in {helped} of which the person took over. Trained again on "
        f"everything, it succeeds from {after['success']:.0%} of {after['episodes']} starts without help; "
        f"before, it was {before['success']:.0%}.",
        "lead",
    ) + paragraph(
        "Policies here see the pose of the cube from the simulation, not from pictures. One training seed a policy: "
        "the intervals count the luck of the start states, not the luck of training.",
        "muted",
    )


def _success(evaluations: Mapping[str, Any]) -> str:
    names = [TITLES[name] for name in evaluations]
    rates = [result["success"] for result in evaluations.values()]
    intervals = [tuple(result["success_95"]) for result in evaluations.values()]
    rows = [
        (
            TITLES[name],
            f"{round(result['success'] * result['episodes'])} of {result['episodes']}",
            f"{result['success']:.0%}",
            "{:.0%} to {:.0%}".format(*result["success_95"]),
            _duration(result),
        )
        for name, result in evaluations.items()
    ]
    header = ("policy", "succeeded", "share", "95 % interval (Wilson)", "mean time of a success")
    return section("How often it succeeds alone", figures.success_bars(names, rates, intervals), table(header, rows))


def _comparison(best: str, evaluations: Mapping[str, Any]) -> str:
    """Paired differences: the start states are the same, so each start is compared with itself."""
    pairs = [(f"{best}-sirius", best), (f"{best}-uniform", best), (f"{best}-sirius", f"{best}-uniform")]
    rows = []
    for one, other in pairs:
        difference = _successes(evaluations[one]) - _successes(evaluations[other])
        low, high = bootstrap_mean(difference.tolist())
        words = "says nothing either way" if low <= 0.0 <= high else "more than luck of the starts"
        wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
        rows.append(
            (
                TITLES[one],
                TITLES[other],
                f"{difference.mean():+.0%}",
                f"{low:+.0%} to {high:+.0%}",
                f"{wins} / {losses}",
                words,
            )
        )
    header = ("policy", "compared with", "difference", "95 % (paired bootstrap)", "starts won / lost", "the interval")
    return section("What the take-overs, and their weights, changed", table(header, rows))


def _demonstrations(collected: Sequence[Episode], deployed: Sequence[Episode]) -> str:
    summaries = [summarize(episode) for episode in collected]
    rows = [
        ("duration [s]", *_spread([s.duration for s in summaries])),
        ("path of the tool [m]", *_spread([s.path_length for s in summaries])),
        ("log dimensionless jerk", *_spread([s.jerk for s in summaries])),
        ("idle share of the rows", *_spread([s.idle for s in summaries])),
    ]
    starts = {"demonstrated": _starts(collected), "deployed": _starts(deployed)}
    words = f"{len(collected)} demonstrations, {sum(map(len, collected))} rows. Where the cube stood at the start:"
    picture = figures.start_states({name: points for name, points in starts.items() if len(points)})
    quality = table(("of the demonstrations", "median", "least", "most"), rows)
    return section("What was demonstrated", paragraph(words), f'<div class="pair">{picture}<div>{quality}</div></div>')


def _takeovers(deployed: Sequence[Episode]) -> str:
    tags = {episode.id: _labels(episode) for episode in deployed}
    rate = float(deployed[0].attrs["rate"])
    parts = [
        paragraph("Each bar is an episode that the policy flew; orange is the person, red the moments before."),
        figures.timelines(tags, rate),
    ]
    shown = next((e for e in deployed if (tags[e.id] == Label.INTERVENTION).any()), deployed[0])
    camera = next(
        (name for name in shown.spec.fields if name.startswith("image.") and not name.endswith(".time")), None
    )
    if camera is not None:
        parts += [
            paragraph(f"Episode {shown.id}, {camera.removeprefix('image.')} camera:"),
            figures.film_strip(shown[camera], tags[shown.id], rate),
            film(shown),
        ]
    return section("Who flew when", *parts)


def _training(out: Path, runs: Sequence[str]) -> str:
    curves = {TITLES[name]: _curve(out / name / "curve.jsonl") for name in runs}
    rows = [
        (
            TITLES[name],
            label.replace("_", "-"),
            f"{row['share']:.1%}",
            f"{row['weight']:.2f}",
            f"{row['share'] * row['weight']:.1%}",
        )
        for name in runs
        for label, row in _card(out / name)["classes"].items()
    ]
    weights = table(("run", "class of step", "share of the steps", "weight", "share of the loss"), rows)
    return section("How it was trained", figures.learning_curves(curves), weights)


def _chapters(results: Mapping[str, Any]) -> str:
    rows = [
        (chapter["title"], f"{chapter['seconds']:.0f}\u00a0s", "robot-stack " + " ".join(command))
        for chapter in results["chapters"]
        for command in chapter["commands"].values()
    ]
    words = f"{results['seconds'] / 60:.1f} minutes on {_cores()} cores ({platform.machine()}). The commands:"
    return section("How it was made", paragraph(words), table(("chapter", "took", "command"), rows))


def _labels(episode: Episode) -> NDArray[np.uint8]:
    return labels(episode["source"], float(episode.attrs["rate"]), episode.attrs["kind"])


def _starts(episodes: Sequence[Episode]) -> NDArray[np.float64]:
    """Where the first object stood, (n, 2) [m]."""
    fields = (
        [name for name in episodes[0].spec.fields if name.startswith("objects.") and not name.endswith(".time")]
        if episodes
        else []
    )
    return np.array([episode.read(fields[0], 0, 1)[0, :2] for episode in episodes]) if fields else np.zeros((0, 2))


def _successes(result: Mapping[str, Any]) -> NDArray[np.float64]:
    return np.array([float(outcome["success"]) for outcome in result["outcomes"]])


def _duration(result: Mapping[str, Any]) -> str:
    seconds = [outcome["seconds"] for outcome in result["outcomes"] if outcome["success"]]
    return f"{np.mean(seconds):.1f} s" if seconds else "–"


def _spread(values: Sequence[float]) -> tuple[str, str, str]:
    return tuple(f"{value:.2f}" for value in (np.median(values), np.min(values), np.max(values)))  # type: ignore[return-value]


def _curve(path: Path) -> dict[str, list[float]]:
    points = [json.loads(line) for line in path.read_text().splitlines()]
    held_out = [point for point in points if "validation" in point]
    return {
        "step": [point["step"] for point in points],
        "loss": [point["loss"] for point in points],
        "validation_step": [point["step"] for point in held_out],
        "validation": [point["validation"] for point in held_out],
    }


def _card(run: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads(max(run.glob("step-*[0-9]/card.json")).read_text())
    return card


def _cores() -> int:
    import psutil

    return int(psutil.cpu_count() or 1)
