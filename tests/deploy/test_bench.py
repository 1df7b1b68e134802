import subprocess
import sys

import pytest

from deploy.bench.figure import Figure, count, distribution, duration
from deploy.bench.session import alive
from deploy.bench.spine import _after, _before
from robot_stack.cli import main


def test_a_distribution_is_judged_by_its_median() -> None:
    figure = distribution("work", [100e-6] * 99 + [1.0], "us", 150e-6)
    assert figure.values["p50"] == pytest.approx(100e-6)
    assert figure.values["max"] == 1.0
    assert figure.target == "<= 150 us"
    assert figure.met is True


def test_what_misses_its_target_says_so() -> None:
    assert duration("hold", 0.2, "ms", 0.1).met is False
    assert count("orphans", 1, 0).met is False
    assert count("orphans", 0, 0).met is True


def test_what_has_no_target_is_not_judged() -> None:
    assert distribution("late", [0.1], "ms").met is None


def test_a_figure_is_shown_in_its_unit() -> None:
    assert str(Figure("work", {"p50": 0.000123, "max": 0.002}, "us")) == "p50 123, max 2000 us"


def test_times_are_matched_with_the_events_around_them() -> None:
    assert _before([0.5, 2.5, 3.0], [1.0, 2.0, 3.0]) == [0.5, 0.0]
    assert _after([0.5, 3.5], [1.0, 2.0, 3.0]) == [0.5]


def test_a_process_is_alive_until_it_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert alive(process.pid)
    process.kill()
    process.communicate()
    assert not alive(process.pid)


def test_a_bench_that_does_not_exist_is_answered_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "spin"]) == 2
    assert "Did you mean spine?" in capsys.readouterr().err
