"""What the emulated arms say of themselves is true of the arm that moves: URDF, model library, masses."""

import ctypes
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from robot_stack.emulators.franka.frames import Frames, Skeleton, columns
from robot_stack.emulators.franka.limits import FR3
from robot_stack.emulators.franka.masses import hand
from robot_stack.emulators.franka.model_library import model_library
from robot_stack.emulators.franka.urdf import urdf
from robot_stack.robots import arm_spec
from robot_stack.sim.scene import load
from robot_stack.sim.tasks import task
from robot_stack.types import Array, DeviceError

Q = np.array([0.3, -0.4, 0.5, -2.0, 0.2, 1.9, -0.7])
DQ = np.array([0.5, -0.3, 0.8, 0.2, -0.6, 0.4, 1.0])
DOWN = np.array([0.0, 0.0, -9.81])
STRETCHED = [0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4]


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return load("fr3", task("lift"))


class Library:
    """The shared object as libfranka calls it: arrays in and out, numbers as they are."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def __call__(self, symbol: str, size: int, *arguments: Array | float) -> Array:
        out = np.zeros(size)
        pointers = [ctypes.c_double(a) if isinstance(a, float) else _pointer(a) for a in arguments]
        getattr(self._library, symbol)(*pointers, _pointer(out))
        return out


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@pytest.fixture(scope="module")
def library(model: mujoco.MjModel, tmp_path_factory: pytest.TempPathFactory) -> Library:
    path = tmp_path_factory.mktemp("library") / "model.so"
    path.write_bytes(model_library(model))
    return Library(path)


def test_flange_is_where_franka_says_for_their_own_start_pose(model: mujoco.MjModel) -> None:
    skeleton = Skeleton(model)
    skeleton.place(np.array(STRETCHED))
    np.testing.assert_allclose(skeleton.flange()[:3, 3], [0.3069, 0.0, 0.5903], atol=1e-4)


def test_library_puts_the_frames_where_the_arm_has_them(model: mujoco.MjModel, library: Library) -> None:
    skeleton, F_T_EE = Skeleton(model), Frames().F_T_EE
    skeleton.place(Q)
    tool = skeleton.flange() @ F_T_EE
    np.testing.assert_allclose(library("O_T_J8", 16, Q), columns(skeleton.flange()), atol=1e-12)
    np.testing.assert_allclose(library("O_T_J9", 16, Q, columns(F_T_EE)), columns(tool), atol=1e-12)


def test_librarys_jacobians_are_those_of_the_arm(model: mujoco.MjModel, library: Library) -> None:
    skeleton, F_T_EE = Skeleton(model), Frames().F_T_EE
    skeleton.place(Q)
    tool = skeleton.flange() @ F_T_EE
    expected = skeleton.jacobian(tool[:3, 3])
    in_base = library("O_J_J9", 42, Q, columns(F_T_EE)).reshape(7, 6).T
    np.testing.assert_allclose(in_base, expected, atol=1e-12)
    in_tool = library("Ji_J_J9", 42, Q, columns(F_T_EE)).reshape(7, 6).T
    np.testing.assert_allclose(tool[:3, :3] @ in_tool[:3], expected[:3], atol=1e-12)
    np.testing.assert_allclose(library("O_J_J1", 42)[:6], [0, 0, 0, 0, 0, 1], atol=1e-12)


def test_librarys_dynamics_are_those_of_the_arm_without_its_hand(library: Library) -> None:
    model = _bare_arm()
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = Q, DQ
    mujoco.mj_forward(model, data)
    mass = np.zeros((7, 7))
    mujoco.mj_fullM(model, data, mass)
    nothing = np.zeros(9), 0.0, np.zeros(3)
    rotors = np.diag(model.dof_armature)
    np.testing.assert_allclose(library("M_NE", 49, Q, *nothing).reshape(7, 7), mass - rotors, atol=1e-12)
    gravity = library("g_NE", 7, Q, DOWN, 0.0, np.zeros(3))
    coriolis = library("c_NE", 7, Q, DQ, *nothing)
    np.testing.assert_allclose(gravity + coriolis, data.qfrc_bias, atol=1e-10)


def test_a_load_weighs_in_the_librarys_gravity_what_it_weighs(library: Library, model: mujoco.MjModel) -> None:
    load_at = np.array([0.01, 0.02, 0.05])
    with_load, without = (library("g_NE", 7, Q, DOWN, mass, load_at) for mass in (0.5, 0.0))
    skeleton = Skeleton(model)
    skeleton.place(Q)
    point = (skeleton.flange() @ [*load_at, 1.0])[:3]
    np.testing.assert_allclose(with_load - without, 0.5 * -DOWN @ skeleton.jacobian(point)[:3], atol=1e-12)


def test_library_is_refused_with_the_reason_where_there_is_no_compiler(
    model: mujoco.MjModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no C compiler .* Install gcc or clang"):
        model_library(model)


def test_urdf_describes_the_arm_that_moves(model: mujoco.MjModel) -> None:
    """MuJoCo reads the URDF; its flange and its weight are compared with the scene's."""
    text = urdf(model, FR3)
    spec = mujoco.MjSpec.from_string(text)
    spec.compiler.fusestatic = False
    described = spec.compile()
    data = mujoco.MjData(described)
    data.qpos[:] = Q
    mujoco.mj_forward(described, data)
    skeleton = Skeleton(model)
    skeleton.place(Q)
    np.testing.assert_allclose(data.body("link8").xpos, skeleton.flange()[:3, 3], atol=1e-9)
    bare = _bare_arm()
    other = mujoco.MjData(bare)
    other.qpos[:] = Q
    mujoco.mj_forward(bare, other)
    np.testing.assert_allclose(data.qfrc_bias, other.qfrc_bias, atol=1e-6)


def test_urdf_has_the_limits_that_the_controller_holds_the_arm_to(model: mujoco.MjModel) -> None:
    joints = [joint for joint in ElementTree.fromstring(urdf(model, FR3)).iter("joint") if joint.get("type") != "fixed"]
    assert [joint.get("name") for joint in joints] == [f"joint{i}" for i in range(1, 8)]
    upper = [float(limit.get("upper", "")) for joint in joints for limit in joint.iter("limit")]
    np.testing.assert_allclose(upper, FR3.upper)
    assert all(joint.find("position_based_velocity_limits") is not None for joint in joints)


def test_hand_weighs_what_the_scenes_hand_and_fingers_do(model: mujoco.MjModel) -> None:
    link = hand(model)
    assert link.mass == pytest.approx(0.76)
    assert 0.0 < link.center[2] < 0.1
    assert (np.linalg.eigvalsh(link.inertia) > 0.0).all()


def _bare_arm() -> mujoco.MjModel:
    spec = arm_spec("fr3")
    for part in [*spec.actuators, *spec.tendons, *spec.equalities, *spec.excludes]:
        spec.delete(part)
    spec.delete(spec.body("hand"))
    return spec.compile()
