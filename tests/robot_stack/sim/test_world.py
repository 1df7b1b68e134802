import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot_stack.robots import robot
from robot_stack.sim import scene, station
from robot_stack.sim.tasks import NAMES, task
from robot_stack.sim.world import World
from robot_stack.types import ConfigError

ROBOTS = ("ur5e", "fr3")


def test_an_unknown_task_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no task 'fly'; there are: lift, push_t, peg"):
        task("fly")


def test_an_unknown_camera_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no camera 'top' in the simulated scene; there are: front, wrist"):
        station("ur5e", "lift", {"top": (96, 96)})


def test_the_station_knows_the_objects_of_its_task() -> None:
    assert station("fr3", "peg").objects == ("peg", "hole")
    assert station("fr3", "peg").joints == 7


@pytest.mark.parametrize("robot_name", ROBOTS)
@pytest.mark.parametrize("task_name", NAMES)
def test_every_task_starts_unsolved_and_at_rest_wherever_the_seed_puts_it(robot_name: str, task_name: str) -> None:
    world = World(robot_name, task_name)
    for seed in range(5):
        world.reset(seed)
        before = world.objects()
        world.step(0.3)
        assert not world.success
        assert np.abs(world.arm(0.0).q - world.robot.home).max() < 1e-3
        for name, pose in world.objects().items():
            assert np.abs(pose - before[name])[:3].max() < 2e-3


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    world, twin = World("ur5e", "lift"), World("ur5e", "lift")
    for one in (world, twin):
        one.reset(5)
        one.servo(one.robot.home + 0.1)
        one.step(0.5)
    np.testing.assert_array_equal(world.scene, twin.scene)
    twin.reset(6)
    assert np.abs(world.objects()["cube"] - twin.objects()["cube"])[:2].max() > 0.01


@pytest.mark.parametrize("name", ROBOTS)
def test_joints_trail_their_targets_by_less_than_50_ms(name: str) -> None:
    world = World(name, "lift")
    speed = np.full(len(world.robot.joints), 0.3)
    for tick in range(300):
        world.servo(world.robot.home + speed * 0.002 * tick)
        world.step(0.002)
    trail = world.robot.home + speed * 0.002 * 299 - world.arm(0.0).q
    assert (trail / 0.3 < 0.05).all()


@pytest.mark.parametrize("name", ROBOTS)
def test_the_fingers_go_as_far_apart_as_asked(name: str) -> None:
    world = World(name, "lift")
    for asked in (0.0, 0.03, 0.06, robot(name).opening):
        world.move(asked)
        world.step(1.5)
        assert abs(world.gripper(0.0).opening - asked) < 0.002


def test_the_wrench_is_the_weight_of_what_is_held_and_zero_without() -> None:
    world = World("ur5e", "lift")
    world.reset(0)
    assert np.abs(world.arm(0.0).wrench).max() < 1e-6
    tool = world.arm(0.0).base_from_tcp
    world._place("cube", np.array([*tool[:3], 0, 0, 0, 1]))
    world.move(0.02)
    world.model.opt.gravity[:] = 0.0
    world.step(0.6)
    world.model.opt.gravity[:] = 0.0, 0.0, -9.81
    world.step(0.5)
    assert world.arm(0.0).wrench[2] == pytest.approx(-0.09 * 9.81, abs=0.05)


def test_success_is_to_hold_the_cube_up_for_a_while() -> None:
    world = World("ur5e", "lift")
    world.reset(0)
    world.model.opt.gravity[:] = 0.0
    world._place("cube", np.array([0.5, 0.3, 0.2, 0, 0, 0, 1]))
    world.step(0.2)
    assert not world.success
    world.step(0.2)
    assert world.success
    assert world.truth(1.0)["success"] == 1


def test_a_scene_that_was_read_can_be_drawn_elsewhere() -> None:
    cameras = {"front": (72, 96), "wrist": (72, 96)}
    world, elsewhere = World("ur5e", "peg", cameras), World("ur5e", "peg", cameras)
    world.reset(3)
    world.step(0.1)
    elsewhere.scene = world.scene
    for camera in cameras:
        picture = world.render(camera)
        assert picture.shape == (72, 96, 3)
        np.testing.assert_array_equal(picture, elsewhere.render(camera))
    world.close()
    elsewhere.close()


def test_scenes_are_built_once_even_by_processes_that_start_together(tmp_path: Path) -> None:
    load = """
import mujoco
from robot_stack.sim import scene
from robot_stack.sim.tasks import task
scene.build = lambda *_: mujoco.MjSpec.from_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
for _ in range(20):
    assert scene.load("fr3", task("lift")).ngeom == 1
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", load], env=environment) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert [path.suffix for path in tmp_path.rglob("*")] == ["", "", ".mjb"], (
        "two folders, one scene, nothing temporary"
    )


def test_a_damaged_scene_in_the_cache_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    xml = "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"
    monkeypatch.setattr(scene, "build", lambda *_: mujoco.MjSpec.from_string(xml))
    scene.load("fr3", task("lift"))
    (path,) = tmp_path.rglob("*.mjb")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert scene.load("fr3", task("lift")).ngeom == 1
    assert path.read_bytes() == whole
