"""PushT, the benchmark of Diffusion Policy (Chi et al. 2023), flown by the same evaluation as the robot.

The simulation is gym-pusht (a disc pushes a T on a 512 px square); the rows are those of the imported demonstrations.
Its score is the largest reward so far: coverage of the mark over 0.95, at most one. Demonstrators stop near 0.90, so a
perfect imitator scores about 0.93.
"""

import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robot_stack.spec import Field, Record, Spec
from robot_stack.station import CHUNK_STEPS, Topic
from robot_stack.store.formats.replay_layout import PUSHT, PUSHT_RATE
from robot_stack.types import Array, ConfigError, Source

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pygame reads its data through pkg_resources, which is deprecated
    from gym_pusht.envs.pusht import PushTEnv

LIMIT = 300
"""Steps after which an episode is over."""

PICTURE = "image.top"

KEYPOINTS = np.array(
    [
        [9.2698, 90.041],
        [-60.9835, -1.1867],
        [60.9128, -1.3934],
        [-0.2705, 25.5436],
        [-14.0649, 122.8159],
        [39.0027, 32.8574],
        [-39.9664, 32.7297],
        [-16.8243, 62.8632],
        [23.5415, -1.7003],
    ]
)
"""The nine points of the T that the demonstrations record, in the frame of the block (9, 2) [px]. Fitted to all 25,650
rows of pusht_cchi_v7: half of them agree to 1e-5 px, 99 % to 0.02 px."""


@dataclass(frozen=True)
class PushTStation:
    """What a policy must know to fly it: the layouts of rows and chunks. pictures: whether rows have any."""

    pictures: bool
    rate: float = PUSHT_RATE

    @property
    def row(self) -> Spec:
        """As imported from the demonstrations."""
        return Spec(field for field in PUSHT if self.pictures or field.name != PICTURE)

    @property
    def chunk(self) -> Topic:
        """As `Station.chunk`, with a position in place of a pose."""
        return Topic(
            "chunk",
            Spec(
                [
                    Field("time", unit="s"),
                    Field("observed", unit="s"),
                    Field("pictured", unit="s"),
                    Field("source", dtype="u1"),
                    Field("kind", dtype="u1"),
                    Field("count", dtype="i8"),
                    Field("times", (CHUNK_STEPS,), unit="s"),
                    Field("position", (CHUNK_STEPS, 2), unit="px", frame="image"),
                ]
            ),
            8,
        )


class PushT:
    """A `robot_stack.lockstep.Rollout`. cameras: {"top": (96, 96)} for pictures, or none, which is ten times faster."""

    def __init__(self, cameras: Mapping[str, tuple[int, int]] | None = None) -> None:
        cameras = dict(cameras or {})
        if cameras not in ({}, {"top": (96, 96)}):
            raise ConfigError(f"pusht has one camera, top of 96x96, not {cameras}")
        self.station = PushTStation(bool(cameras))
        self.row, self.rate = self.station.row, self.station.rate
        self._env = PushTEnv(obs_type="state")
        self.score, self.success = 0.0, False
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start from the state that gym-pusht draws for `seed`."""
        self._env.reset(seed=seed)
        self._begin()

    def restore(self, agent: Array, block: Array) -> None:
        """Start from a recorded state: agent (2,) [px], block (3,) [px, px, rad].

        Angle first: turning the block moves it, since it turns about its centre of mass. gym-pusht's own option
        `reset_to_state` does it the other way round and arrives elsewhere.
        """
        self._env.reset(seed=0)
        self._env.agent.position = agent.tolist()
        self._env.block.angle = float(block[2])
        self._env.block.position = block[:2].tolist()
        self._env.space.reindex_shapes_for_body(self._env.block)
        self._begin()

    def observe(self, steps: int) -> list[Record]:
        """The last rows, oldest first; before the start, the first one repeated."""
        rows = list(self._rows)[-steps:]
        return [rows[0]] * (steps - len(rows)) + rows

    def advance(self, chunk: Record | None) -> Record:
        """One row period towards the newest waypoint that is due; without a chunk, the disc stays. Returns the row."""
        target = self._row["agent"] if chunk is None else self._due(chunk)
        self._row["requested.position"] = self._row["target.position"] = target
        self._row["source"] = Source.NOBODY if chunk is None else Source.POLICY
        _, reward, self.success, _, _ = self._env.step(np.clip(target, 0.0, 512.0))
        self.score = max(self.score, float(reward))
        self._steps += 1
        return self._observe()

    @property
    def time(self) -> float:
        """Since the start [s]."""
        return self._steps / self.rate

    @property
    def done(self) -> bool:
        """Solved, or out of time."""
        return self.success or self._steps >= LIMIT

    def _begin(self) -> None:
        self._steps = 0
        self.score, self.success = 0.0, False
        self._rows: deque[Record] = deque(maxlen=CHUNK_STEPS)
        self._observe()

    def _observe(self) -> Record:
        agent_block = self._env.get_obs()
        x, y, angle = agent_block[2:]
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        row = self.row.record(time=self.time, agent=agent_block[:2], block=agent_block[2:])
        row["keypoints"] = KEYPOINTS @ rotation.T + (x, y)
        if self.station.pictures:
            row[PICTURE] = self._env._render()
        self._rows.append(row)
        self._row = row
        return row

    def _due(self, chunk: Record) -> Array:
        times = chunk["times"][: int(chunk["count"])]
        due = int(np.searchsorted(times, self.time + 1e-6, side="right")) - 1
        return np.asarray(chunk["position"][max(due, 0)])
