"""The simulated world: the robot on its table, the task's objects, the cameras."""

import mujoco
import numpy as np

from robot_stack.robots import TCP
from robot_stack.robots import robot as find_robot
from robot_stack.sim import station
from robot_stack.sim.gripper import GRIPPERS
from robot_stack.sim.renderer import Renderer
from robot_stack.sim.scene import TIMESTEP, load
from robot_stack.sim.tasks import task as find_task
from robot_stack.spec import Record
from robot_stack.types import ArmState, Array, GripperState, Image

DWELL = 0.3
"""The task must stay solved for this long to count as success [s]."""
VERDICT_STEPS = 10
"""Physics steps between two looks at whether the task is solved."""
SCENE = int(mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT)
"""The part of MuJoCo's state that a picture shows."""


class World:
    """A robot at a task. cameras: name ('front', 'wrist') -> (height, width) [px]; none: nothing is ever drawn.
    timestep: of the physics [s].

    Time passes only in `step`. The caller says what time it is when it reads, so that one world serves a virtual clock
    and the real one.
    """

    def __init__(
        self,
        robot: str,
        task: str,
        cameras: dict[str, tuple[int, int]] | None = None,
        timestep: float = TIMESTEP,
    ) -> None:
        self.robot, self.task = find_robot(robot), find_task(task)
        self.station = station(robot, task, cameras)
        self.model = load(robot, self.task)
        self.model.opt.timestep = self.timestep = timestep
        self.data = mujoco.MjData(self.model)
        self._gripper = GRIPPERS[robot]
        self._grip = self.model.actuator(self._gripper.actuator).id
        tcp = self.model.site(TCP).id
        self._position, self._matrix = self.data.site_xpos[tcp], self.data.site_xmat[tcp]  # views of MuJoCo's memory
        self._quaternion = np.zeros(4)
        self._joints = slice(0, len(self.robot.joints))
        first = self.model.body(self._gripper.base).id
        self._root = self.model.body_rootid[first]
        self._hand = slice(first, 1 + int(np.flatnonzero(self.model.body_rootid == self._root)[-1]))
        self._bodies = {name: self.model.body(name).id for name in self.task.objects}
        self._renderers: dict[str, Renderer] = {}
        self.reset(0)

    def reset(self, seed: int, number: int = 0, keep_arm: bool = False) -> None:
        """Put the objects where `seed` says. keep_arm: the arm stays where its controller holds it."""
        if not keep_arm:
            self._home()
        for name, pose in self.task.start(np.random.default_rng(seed)).items():
            self._place(name, pose)
        self.number, self._steps, self._solved_for = number, 0, 0.0
        mujoco.mj_forward(self.model, self.data)

    def step(self, seconds: float) -> None:
        """Let time pass [s], a whole number of physics steps."""
        steps = round(seconds / self.timestep)
        while steps > 0:
            part = min(steps, VERDICT_STEPS - self._steps % VERDICT_STEPS)
            mujoco.mj_step(self.model, self.data, part)
            steps, self._steps = steps - part, self._steps + part
            if self._steps % VERDICT_STEPS == 0:
                mujoco.mj_kinematics(self.model, self.data)
                solved = self.task.solved(self.objects())
                self._solved_for = self._solved_for + VERDICT_STEPS * self.timestep if solved else 0.0
        mujoco.mj_kinematics(self.model, self.data)

    def arm(self, time: float) -> ArmState:
        """What the arm measures; `time` is now [s]."""
        qpos, qvel = self.data.qpos[self._joints], self.data.qvel[self._joints]
        return ArmState(time, qpos.copy(), qvel.copy(), self._pose(), self._wrench())

    def servo(self, q: Array) -> None:
        """Command the joints (n,) [rad]; they follow `scene.SERVO_LAG` later."""
        self.data.ctrl[self._joints] = q

    def gripper(self, time: float) -> GripperState:
        """How far the fingers are apart; `time` is now [s]."""
        return GripperState(time, self._gripper.opening(self.model, self.data))

    def move(self, opening: float) -> None:
        """Ask for a distance between the fingers [m]."""
        self.data.ctrl[self._grip] = self._gripper.control(opening)

    @property
    def success(self) -> bool:
        """Whether the task has been solved for `DWELL`."""
        return self._solved_for >= DWELL

    def objects(self) -> dict[str, Array]:
        """Where the task's objects are: base_from_object (7,)."""
        return {name: self._body_pose(body) for name, body in self._bodies.items()}

    def truth(self, time: float) -> Record:
        """The station's `world` record; `time` is now [s]."""
        record = np.zeros((), self.station.world.spec.dtype)
        record["time"], record["number"], record["success"] = time, self.number, self.success
        for name, pose in self.objects().items():
            record[f"objects.{name}"] = pose
        return record

    @property
    def scene(self) -> Array:
        """All that a picture shows, flat; setting it moves everything there without time passing."""
        state = np.zeros(mujoco.mj_stateSize(self.model, SCENE))
        mujoco.mj_getState(self.model, self.data, state, SCENE)
        return state

    @scene.setter
    def scene(self, state: Array) -> None:
        mujoco.mj_setState(self.model, self.data, np.asarray(state), SCENE)
        mujoco.mj_kinematics(self.model, self.data)

    def render(self, camera: str) -> Image:
        """A picture (height, width, 3) of what a camera sees."""
        if camera not in self._renderers:
            self._renderers[camera] = Renderer(self.model, camera, *self.station.cameras[camera])
        return self._renderers[camera].render(self.data)

    def close(self) -> None:
        """Give back what drawing needed."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _home(self) -> None:
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._joints] = self.robot.home
        self.servo(self.robot.home)
        self.move(self.robot.opening)
        mujoco.mj_step(self.model, self.data, 150)  # the fingers open

    def _place(self, name: str, pose: Array) -> None:
        body = self.model.body(name)
        if body.mocapid[0] >= 0:
            self.data.mocap_pos[body.mocapid[0]] = pose[:3]
            self.data.mocap_quat[body.mocapid[0]] = pose[[6, 3, 4, 5]]
            return
        joint = self.data.joint(int(body.jntadr[0]))
        joint.qpos[:3], joint.qpos[3:], joint.qvel[:] = pose[:3], pose[[6, 3, 4, 5]], 0.0

    def _body_pose(self, body: int) -> Array:
        return np.concatenate([self.data.xpos[body], self.data.xquat[body][[1, 2, 3, 0]]])

    def _pose(self) -> Array:
        mujoco.mju_mat2Quat(self._quaternion, self._matrix)
        w, *xyz = self._quaternion.tolist()
        return np.array([*self._position.tolist(), *xyz, w])

    def _wrench(self) -> Array:
        """What touches the gripper, as force and torque (6,) at the TCP: inside, equal and opposite forces cancel."""
        mujoco.mj_rnePostConstraint(self.model, self.data)
        total = self.data.cfrc_ext[self._hand].sum(axis=0)  # torque, force, about the robot's centre of mass
        x, y, z = (self.data.subtree_com[self._root] - self._position).tolist()
        a, b, c, fx, fy, fz = total.tolist()
        return np.array([fx, fy, fz, a + y * fz - z * fy, b + z * fx - x * fz, c + x * fy - y * fx])
