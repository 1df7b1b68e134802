"""A scripted person, for simulation: shows how it is done, or watches a policy and takes over when it struggles."""

from types import TracebackType
from typing import Literal, Self

import numpy as np

from robot_stack.sim.experts import Expert, expert
from robot_stack.sim.tasks import task as find_task
from robot_stack.types import Mode, TargetKind
from teleop import OperatorInput, View

PROGRESS = 0.01
"""This much less to do is progress [m of hand movement, see `Expert.remaining`]."""
SETBACK = 0.06
"""This much more to do than before is a failure: the cube fell, the peg slipped [m]."""
OVERDUE = 0.6
"""Past this share of the task's time limit a watcher gives up on the policy."""


class ScriptedOperator:
    """One person at one task, a new attempt for each episode.

    mode: 'demonstrate' flies from the start; 'supervise' only watches, until there was no progress for `patience` [s],
    a setback, or time is running out. reaction: shortest time from seeing to doing [s]; one attempt needs up to a half
    more. recovery: hand back once so much less is to do than when the person took over [m of hand movement]; None: fly
    to the end. seed: of the person; the attempt also depends on the episode's.
    """

    def __init__(
        self,
        robot: str,
        task: str,
        mode: Literal["demonstrate", "supervise"] = "demonstrate",
        reaction: float = 0.3,
        patience: float = 3.0,
        recovery: float | None = None,
        seed: int = 0,
    ) -> None:
        self.robot, self.task = robot, find_task(task)
        self.mode, self.reaction, self.patience, self.recovery, self.seed = mode, reaction, patience, recovery, seed
        self._number: int | None = None
        self._engaged = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release."""

    def read(self, now: float, view: View) -> OperatorInput:
        """What this person does now; nothing before the arm may run and the world is in sight."""
        if view.control is None or view.gripper is None or view.world is None or view.control["mode"] != Mode.RUN:
            self._number = None
            return OperatorInput()
        if self._number != view.world["number"]:
            self._meet(now, int(view.world["number"]))
        objects = {name: view.world[f"objects.{name}"] for name in self.task.objects}
        seen = view.control["pose"], float(view.gripper["opening"]), objects
        success = bool(view.world["success"])
        verdict = 1 if self._after_reaction("success", now, success) else -1
        if not self._flies(now, self._expert.remaining(*seen), success):
            return OperatorInput(verdict=verdict)
        if not self._engaged:
            self._expert.begin(now, view.control["target.pose"], float(view.control["target.grip"]))
            self._engaged = True
        pose, grip = self._expert.act(now, *seen)
        return OperatorInput(engaged=True, kind=TargetKind.POSE, pose=pose, grip=grip, verdict=verdict)

    def _meet(self, now: float, number: int) -> None:
        """A new episode: a new attempt."""
        attempt = np.random.default_rng([self.seed, number])
        self._number, self._began, self._engaged = number, now, False
        self._delay = self.reaction * attempt.uniform(1.0, 1.5)
        self._expert: Expert = expert(self.robot, self.task.name, int(attempt.integers(2**31)))
        self._noticed: dict[str, float] = {}
        self._best, self._best_at = np.inf, now

    def _flies(self, now: float, remaining: float, success: bool) -> bool:
        if self._engaged:
            if self._recovered(remaining):
                self._watch_anew(now)
            return self._engaged
        struggles = self.mode == "demonstrate" or self._struggles(now, remaining)
        return self._after_reaction("struggle", now, struggles and not success)

    def _recovered(self, remaining: float) -> bool:
        return self.recovery is not None and remaining < self._best - self.recovery

    def _watch_anew(self, now: float) -> None:
        self._engaged, self._began, self._best, self._best_at = False, now, np.inf, now
        self._noticed.clear()

    def _struggles(self, now: float, remaining: float) -> bool:
        if remaining < self._best - PROGRESS:
            self._best, self._best_at = remaining, now
        overdue = now - self._began > OVERDUE * self.task.limit
        return overdue or now - self._best_at > self.patience or remaining > self._best + SETBACK

    def _after_reaction(self, what: str, now: float, true: bool) -> bool:
        """Whether something has been true for as long as this person needs to react to it."""
        if not true:
            self._noticed.pop(what, None)
            return False
        return now - self._noticed.setdefault(what, now) >= self._delay
