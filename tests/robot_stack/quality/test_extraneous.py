"""Detours that were put in are found, at the rates stated here, and what cannot be known is not claimed."""

import numpy as np
import pytest

from robot_stack.quality.demonstrations import normalized
from robot_stack.quality.extraneous import ALIGNED, MAJORITY, Alignment, extraneous
from robot_stack.types import Array
from tests.robot_stack.quality.demonstrators import demonstrated, task, with_detour


def searched(paths: list[Array]) -> tuple[Alignment, list[Array]]:
    """The alignment, and which rows of each path it finds extraneous."""
    alignment = extraneous(normalized([demonstrated(path) for path in paths]))
    masks = [np.zeros(len(path), bool) for path in paths]
    for mask, segments in zip(masks, alignment.segments, strict=True):
        for segment in segments:
            assert 0 <= segment.start < segment.stop <= len(mask)
            assert segment.support < MAJORITY
            mask[segment.start : segment.stop] = True
    return alignment, masks


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_detours_at_random_times_are_found_even_when_most_have_one(share: float, seed: int) -> None:
    # Rule, before: of the rows named at least 90 % are detour, of the detour at least 70 % is named.
    rng = np.random.default_rng(seed)
    paths, truths = [], []
    for _ in range(40):
        path = task(rng)
        rows = round(len(path) * rng.uniform(0.1, 0.3)) if rng.random() < share else 0
        path, truth = with_detour(path, rng.uniform(0.05, 0.95), rows, rng)
        paths.append(path)
        truths.append(truth)
    _, found = searched(paths)
    named, truth = np.concatenate(found), np.concatenate(truths)
    assert (named & truth).sum() / named.sum() >= 0.9
    assert (named & truth).sum() / truth.sum() >= 0.7


def test_clean_demonstrations_of_different_speed_are_left_alone() -> None:
    rng = np.random.default_rng(2)
    alignment, found = searched([task(rng) for _ in range(40)])
    assert alignment.aligned > 0.95
    assert np.concatenate(found).mean() < 0.01


def test_a_detour_that_all_make_at_the_same_point_is_the_task_and_not_found() -> None:
    # The control: the data hold nothing by which anybody could know that it does not belong.
    rng = np.random.default_rng(3)
    paths, truths = zip(*(with_detour(task(rng, 100), 0.5, 24, rng) for _ in range(40)), strict=True)
    alignment, found = searched(list(paths))
    assert alignment.aligned > 0.9
    assert np.concatenate(found)[np.concatenate(truths)].mean() < 0.05


def test_demonstrations_that_differ_as_a_whole_are_not_judged() -> None:
    rng = np.random.default_rng(4)
    paths = [np.cumsum(rng.normal(0, 0.05, (100, 3)), axis=0) + rng.uniform(-1, 1, 3) for _ in range(30)]
    alignment, _ = searched(paths)
    assert alignment.aligned < ALIGNED
    assert not any(alignment.segments)


def test_two_demonstrations_are_no_majority() -> None:
    rng = np.random.default_rng(5)
    alignment, _ = searched([task(rng), task(rng)])
    assert np.isnan(alignment.aligned)
    assert alignment.segments == [[], []]
