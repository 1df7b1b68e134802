"""What stands out, by numbers whose median and deviation are known."""

from typing import Any

import pytest

from robot_stack.quality.extraneous import Segment
from robot_stack.quality.figures import EpisodeQuality
from robot_stack.quality.worst import reasons


def episode(number: int, **figures: Any) -> EpisodeQuality:
    """An episode like all others, but for these figures."""
    usual = dict.fromkeys(("path_length", "jerk", "action_variance", "state_similarity", "tq", "saco", "compatibility"))
    known: dict[str, Any] = {"duration": 10.0, "idle": 0.0, "suspicious": [], **usual, **figures}
    return EpisodeQuality(id=f"ep-{number}", operator="ada", verdict="success", **known)


def test_an_episode_far_from_the_median_is_named_in_deviations_and_a_near_one_is_not() -> None:
    found = reasons([episode(number, duration=9.0 + number) for number in range(5)] + [episode(5, duration=20.0)])
    # median 11.5, median absolute deviation 1.5: a deviation is 2.22 s, and 20 s is 3.8 of them away
    assert [reason.episode for reason in found] == ["ep-5"]
    assert found[0].what == "takes 20.0 s, the median 11.5 s"
    assert found[0].deviations == pytest.approx(8.5 / (1.4826 * 1.5))


def test_only_the_bad_side_counts() -> None:
    jerks = [-15.0, -15.1, -14.9, -15.2, -14.8]
    smooth, rough = [*jerks, -5.0], [*jerks, -25.0]
    assert reasons([episode(number, jerk=jerk) for number, jerk in enumerate(smooth)]) == []
    assert [r.figure for r in reasons([episode(n, jerk=jerk) for n, jerk in enumerate(rough)])] == ["jerk"]


def test_a_rare_but_small_pause_is_not_worth_a_word() -> None:
    others = [episode(number) for number in range(20)]
    assert reasons([*others, episode(20, idle=0.05)]) == []
    assert [reason.episode for reason in reasons([*others, episode(20, idle=0.3)])] == ["ep-20"]


def test_segments_that_others_do_not_have_are_named_and_the_least_supported_first() -> None:
    few, none = Segment(3, 9, 0.4), Segment(20, 30, 0.0)
    found = reasons([episode(0, suspicious=[few]), episode(1, suspicious=[none]), episode(2)])
    assert [reason.what for reason in found] == [
        "rows 20 to 30 are in 0% of the others: trim?",
        "rows 3 to 9 are in 40% of the others: trim?",
    ]


def test_figures_that_nobody_knows_name_nobody() -> None:
    assert reasons([episode(number) for number in range(10)]) == []
    assert reasons([]) == []
