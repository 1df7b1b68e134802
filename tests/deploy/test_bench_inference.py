"""`bench inference`: the same weights on both sides, and that its judges can say no."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from deploy.bench import inference as bench
from deploy.bench import inference_rivals
from robot_stack.cli import CONFIGS
from robot_stack.configuration import compose
from robot_stack.types import ConfigError, RobotStackError

TINY = ["calls=2", "rounds=2", "steps=2", "channels=[8,16,16]", "device=cpu"]


def test_a_chunk_is_timed_beside_lerobots_with_the_same_weights() -> None:
    config = compose(CONFIGS, "bench_inference", [*TINY, "only=[lerobot]"])
    ours, theirs, ratio = bench.measure(config, Console(quiet=True))
    assert ours.what.startswith("a chunk by the pilot")
    assert 0.0 < ours.values["p50"] <= ours.values["p99"]
    assert theirs.values["p50"] > 0.0
    assert ratio.target == "<= 0.5 x"
    assert ratio.values["min"] <= ratio.values["median"] <= ratio.values["max"]


def test_our_policies_are_timed_in_turn() -> None:
    config = compose(CONFIGS, "bench_inference", [*TINY, "only=[policies]"])
    whats = [figure.what for figure in bench.measure(config, Console(quiet=True))]
    assert {"a chunk of policy=bc", "a chunk of policy=diffusion 16 steps", "a chunk of policy=beso 3 steps"} <= set(
        whats
    )
    assert "beso 3 steps / diffusion_mlp 16 steps" in whats


def test_other_weights_are_found_out(tmp_path: Path) -> None:
    given = {"channels": [8, 16, 16], "steps": 2, "device": "cpu"}
    policy, _ = inference_rivals._save(tmp_path / "ours", "diffusion", ["policy.net.channels=[8,16,16]"])
    theirs = inference_rivals._Theirs(policy, given)
    inference_rivals.check_same(policy, theirs.policy)
    with torch.no_grad():
        theirs.policy.diffusion.unet.final_conv[1].register_forward_hook(lambda _, __, out: out + 1e-2)
    with pytest.raises(RobotStackError, match=r"answers otherwise, by 0\.01"):
        inference_rivals.check_same(policy, theirs.policy)


def test_a_share_is_judged_by_the_median_of_its_rounds() -> None:
    figure = bench.share("time", [[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]], [[4.0], [4.0], [4.0]], most=0.5)
    assert figure.values == {"median": 0.5, "min": 0.25, "max": 2.25}
    assert figure.met is True
    assert bench.share("time", [[3.0]], [[4.0]], most=0.5).met is False


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no part both .* there are: lerobot, policies"):
        bench.measure(compose(CONFIGS, "bench_inference", ["only=[both]"]), Console(quiet=True))
