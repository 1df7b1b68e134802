"""Meta-World (Yu et al. 2019, arXiv:1910.10897), flown by the same evaluation as the robot: tasks with an expert each.

Its scripted experts see what a policy on states sees, so that a person who demonstrates, watches and takes over can be
had by the thousand. A control step is 12.5 ms; an action is a step of the hand and how hard the fingers close.
"""

import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS as ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP as EXPERTS

from robot_stack.spec import Field, Record, Spec
from robot_stack.station import CHUNK_STEPS, Topic
from robot_stack.types import Array, ConfigError, Source

RATE = 80.0
"""Control steps a second [Hz]."""

ACTION = 4
"""Numbers of an action, -1..1: a step of the hand along x, y, z [cm], and the effort of the fingers, 1 closes."""

_WELD = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0]
"""How Meta-World hangs the hand on its target: anchor (3,), position (3,), quaternion (4,), torque scale."""


@dataclass(frozen=True)
class MetaWorldStation:
    """What a policy must know to fly it: the layouts of rows and chunks."""

    rate: float = RATE

    @property
    def row(self) -> Spec:
        """The hand, its fingers (0 closed, 1 open), the object and where it must go, as the experts see them."""
        return Spec(
            [
                Field("time", unit="s"),
                Field("hand", (3,), unit="m", frame="world"),
                Field("opening", unit="1"),
                Field("object", (3,), unit="m", frame="world"),
                Field("goal", (3,), unit="m", frame="world"),
                Field("requested.action", (ACTION,), unit="1"),
                Field("source", dtype="u1"),
            ]
        )

    @property
    def chunk(self) -> Topic:
        """As `Station.chunk`, with actions in place of poses."""
        head = [Field(name, unit="s") for name in ("time", "observed", "pictured")]
        kinds = [Field("source", dtype="u1"), Field("kind", dtype="u1"), Field("count", dtype="i8")]
        steps = [Field("times", (CHUNK_STEPS,), unit="s"), Field("action", (CHUNK_STEPS, ACTION), unit="1")]
        return Topic("chunk", Spec([*head, *kinds, *steps]), 8)


class MetaWorld:
    """A `robot_stack.lockstep.Rollout`. task: Meta-World's name of it, as `assembly-v3`. limit: steps after which an
    attempt has failed. cameras: none, it is seen as numbers only."""

    def __init__(self, task: str, limit: int, cameras: Mapping[str, tuple[int, int]] | None = None) -> None:
        if task not in ENVIRONMENTS:
            raise ConfigError(f"Meta-World has no task {task!r}; there are: {', '.join(sorted(ENVIRONMENTS))}")
        if cameras:
            raise ConfigError(f"metaworld has no camera here, not {', '.join(cameras)}: use a policy on states")
        self.station = MetaWorldStation()
        self.row, self.rate = self.station.row, self.station.rate
        self.limit = limit
        self._env = _environment(task)()
        self._env._set_task_called, self._env._partially_observable = True, False
        self._env._freeze_rand_vec, self._env.seeded_rand_vec = False, True
        vars(self._env).pop("sawyer_observation_space", None)  # it would clip the goal that is now to be seen to zero
        expert: type[Any] = EXPERTS[task]
        self._expert = expert()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start from the state that Meta-World draws for `seed`."""
        self._env.seed(seed)
        self._steps, self.success = 0, False
        self._rows: deque[Record] = deque(maxlen=CHUNK_STEPS)
        self._see(self._env.reset()[0])

    def observe(self, steps: int) -> list[Record]:
        """The last rows, oldest first; before the start, the first one repeated."""
        rows = list(self._rows)[-steps:]
        return [rows[0]] * (steps - len(rows)) + rows

    def advance(self, chunk: Record | None) -> Record:
        """One step with the action that is due; without a chunk, hand and fingers stay. Returns the row after it."""
        if chunk is None:
            return self.fly(np.zeros(ACTION), Source.NOBODY)
        return self.fly(self.due(chunk), Source.POLICY)

    def fly(self, action: Array, source: Source) -> Record:
        """One step with an action (4,) by `source`. Returns the row after it."""
        self._row["requested.action"], self._row["source"] = action, source
        observation, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
        self.success = self.success or bool(info["success"])
        self._steps += 1
        return self._see(observation)

    def due(self, chunk: Record) -> Array:
        """The action (4,) of a chunk that is due now."""
        times = chunk["times"][: int(chunk["count"])]
        due = int(np.searchsorted(times, self.time + 1e-6, side="right")) - 1
        return np.asarray(chunk["action"][max(due, 0)])

    def advice(self) -> Array:
        """What Meta-World's scripted expert would do now (4,), within -1..1; whoever flew before.

        Where it leaves the fingers alone it takes for granted that they are open, as they are at the start: here it
        opens them, since a policy that it takes over from may have closed them on nothing.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it asks for more than can be done, which is clipped
            wanted = self._expert.get_action(self._observation)
        action: Array = np.clip(wanted, -1.0, 1.0).astype(float)
        action[3] = action[3] or -1.0
        return action

    @property
    def time(self) -> float:
        """Since the start [s]."""
        return self._steps / self.rate

    @property
    def score(self) -> float:
        """One for a success."""
        return float(self.success)

    @property
    def done(self) -> bool:
        """Solved, or out of time."""
        return self.success or self._steps >= self.limit

    def _see(self, observation: Array) -> Record:
        """Make the newest row from Meta-World's observation (39,): now (18,), before (18,), goal (3,)."""
        self._observation = observation
        hand, opening, thing, goal = observation[:3], observation[3], observation[4:7], observation[-3:]
        self._row = self.row.record(time=self.time, hand=hand, opening=opening, object=thing, goal=goal)
        self._rows.append(self._row)
        return self._row


@cache
def _environment(task: str) -> type[Any]:
    """Meta-World's class, made to fit this MuJoCo, in which a weld has twelve numbers, and relieved of half its work.

    What is left out is seen by nobody here, neither experts nor `success`: how the object is turned, and marks that are
    drawn where the goal is.
    """

    def reset_mocap_welds(env: Any) -> None:
        welds = env.model.eq_type == mujoco.mjtEq.mjEQ_WELD
        env.model.eq_data[welds, : len(_WELD)] = _WELD

    def turned(_: Any) -> Array:
        return np.array([1.0, 0.0, 0.0, 0.0])

    changes = {"reset_mocap_welds": reset_mocap_welds, "_get_quat_objects": turned, "_target_site_config": ()}
    return type(task, (ENVIRONMENTS[task],), changes)
