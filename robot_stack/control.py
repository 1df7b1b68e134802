"""The control step, pure. Here it is decided who flies, and what is sent to the arm; `loop` calls it."""

from math import inf

import numpy as np

from robot_stack import pose as se3
from robot_stack.kinematics import Kinematics
from robot_stack.robots import robot as robot_named
from robot_stack.safety import Limits, Safety
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.trajectory import Target, sample
from robot_stack.types import ArmState, Array, DeviceError, GripperState, Mode, Source, TargetKind

SLOWEST = 0.02
"""Smallest speed override: UR controllers answer slower ones with a protective stop."""

MODES = {int(mode): mode for mode in Mode}

ITERATIONS = 1
"""Of inverse kinematics a tick: a reference that moved a millimetre is met to two micrometres, closer the next tick."""

AT_HOME_POSE = (0.002, 0.02)
"""This near the home pose [m, rad] the way home changes from a straight line of the TCP to one of the joints."""

AT_HOME = 1e-3
"""This near home every joint is home [rad]."""

LEANING = 0.03
"""A stopped arm that is further from its setpoint leans on something, and is relieved of it [rad]."""


class Controller:
    """One step of control: no clock, no I/O, the same outputs for the same inputs.

    The person flies when engaged, else the policy or a script, else nobody and the arm holds. Whoever it is moves one
    joint goal, which a jerk-limited follower tracks. The follower goes on from where it is when another takes over, so
    position, velocity and acceleration are continuous in every hand-over. Only where something else than this moves the
    arm, a hand that leads it or its own controller that stopped it, is the setpoint wherever the arm is.
    """

    def __init__(self, robot: str, station: Station, limits: Limits, autonomy: bool = True) -> None:
        self.robot = robot_named(robot)
        self.limits = limits
        self.autonomy = autonomy
        self.stopped = ""  # why the arm is stopped; empty when it is not
        self.reached_home = False
        self._guided = False  # in the tick before
        self._dtype = station.control.spec.dtype
        self._kinematics = Kinematics(robot)
        self._safety = Safety(self._kinematics, limits, 1.0 / station.control_rate)
        self._follower = self._safety.follower()
        self._home_pose, _ = self._safety.clamp_pose(self._kinematics.forward(self.robot.home))
        self._stopped_at = 0.0

    def seed(self, state: ArmState) -> None:
        """Start at rest where the arm is, not stopped. Only here does the setpoint jump."""
        self._safety.forget()
        wrong = self._safety.check(state.time, state, state.q)
        if wrong:
            raise DeviceError(f"cannot start from this measurement: {wrong}")
        self._state = state  # the last one that passed every check
        self.stopped, self._stopped_at, self.reached_home = "", 0.0, False
        self._follow(state)
        self._at_home_pose = self._relieves = False
        self._grip: float | None = None
        self._operator_flew = -inf  # when a person last flew [s]

    def _follow(self, state: ArmState) -> None:
        """Be at rest where the arm is."""
        self._follower.seed(state.q)
        self._goal = state.q.copy()
        self._reference: Array | None = None  # the pose whose joints the goal is, while poses are asked for

    @property
    def at_rest(self) -> bool:
        """Whether the setpoint stands still."""
        return self._follower.at_rest

    def step(
        self,
        now: float,
        state: ArmState,
        grip: GripperState | None,
        request: Record | None,
        operator: Record | None,
        chunk: Record | None,
    ) -> Record:
        """The station's control record at `now` [s], from the newest of each stream; servo its "target.q"."""
        speed = _speed(request)
        self._measure(now, state, request)
        mode, reason = self._obey(now, request)
        proposal = sample(chunk, _plan_time(chunk, now, speed)) if chunk is not None else None
        unfit = "" if proposal is None else self._safety.refuse(proposal)
        source, target, why = self._choose(now, mode, operator, chunk, proposal)
        by_hand = source is Source.OPERATOR
        refused = unfit if target is proposal else "" if target is None else self._safety.refuse(target, by_hand)
        if refused:
            self._stop(now, f"{source.name.lower()}: {refused}")
            mode, reason, source, target, why = Mode.STOP, self.stopped, Source.NOBODY, None, ""
        if source is Source.OPERATOR:
            self._operator_flew = now
        self._hold_grip(target, grip)
        limited = self._move(target, speed)
        record = self._report(mode, source, target, None if unfit else proposal)
        record["speed"] = speed
        if state.fault:
            record["fault"] = state.fault.encode("ascii", "replace")
        if limited:
            record["limited"] = 1
        if reason or why or limited:
            record["reason"] = "; ".join(filter(None, (reason, why, limited))).encode("ascii", "replace")
        return record

    # --- whether ------------------------------------------------------------------------------------------------------

    def _measure(self, now: float, state: ArmState, request: Record | None) -> None:
        """Take in the arm's state: stop when it cannot be trusted, start again from it on a reset."""
        if self.stopped and request is not None and self._resets(request):
            if self._relieves:
                self._relieves = False  # and brake: at rest, the next reset is obeyed
            elif not self._follower.at_rest:
                self.stopped = ""
            elif not (state.fault or self._safety.check(now, state, state.q)):
                held = self._grip
                self.seed(state)
                self._grip = held  # or a reset drops it
        aside = bool(state.fault) or self._guided  # something else moves the arm: the setpoint only follows
        wrong = self._safety.check(now, state, state.q if aside else self._follower.motion.q)
        if state.fault or wrong:
            self._stop(now, f"arm: {state.fault}" if state.fault else wrong)
        if not wrong:
            self._state = state
            if aside:
                self._follow(state)

    def _resets(self, request: Record) -> bool:
        asked = bool(request["reset"]) and int(request["mode"]) == Mode.HOLD
        return asked and float(request["time"]) > self._stopped_at

    def _stop(self, now: float, reason: str) -> None:
        if not self.stopped:
            self.stopped, self._stopped_at = reason, now

    def _obey(self, now: float, request: Record | None) -> tuple[Mode, str]:
        """The mode that the parent asks for, or another and why."""
        if request is None:
            return (Mode.STOP, self.stopped) if self.stopped else (Mode.HOLD, "no request yet")
        mode = int(request["mode"])
        if mode == Mode.STOP:
            self._stop(now, "stop requested")
        if self.stopped:
            return Mode.STOP, self.stopped
        age = now - float(request["time"])
        if not abs(age) <= self.limits.request_age:
            return Mode.HOLD, f"parent silent for {age:.2f} s, limit {self.limits.request_age:.2f} s"
        return (MODES[mode], "") if mode in MODES else (Mode.HOLD, f"mode {mode} is none of {tuple(MODES)}")

    # --- who ----------------------------------------------------------------------------------------------------------

    def _choose(
        self, now: float, mode: Mode, operator: Record | None, chunk: Record | None, proposal: Target | None
    ) -> tuple[Source, Target | None, str]:
        """Who flies, what is asked, and why it is not someone else.

        A person who fell silent while engaged did not hand back: nobody flies until it is known what they want.
        """
        if mode == Mode.HOME:
            return self._way_home()
        self.reached_home = self._at_home_pose = False
        if mode != Mode.RUN:
            return Source.NOBODY, None, ""
        if operator is not None and bool(operator["engaged"]):
            age = now - float(operator["time"])
            if abs(age) <= self.limits.operator_age:
                apart = self._apart(now, operator)
                return (Source.NOBODY, None, apart) if apart else (Source.OPERATOR, _asked(operator), "")
            return Source.NOBODY, None, f"operator silent for {age:.2f} s, limit {self.limits.operator_age:.2f} s"
        missing = self._missing(now, chunk, proposal) if self.autonomy else "operator not engaged"
        if missing or chunk is None:
            return Source.NOBODY, None, missing
        return Source.SCRIPT if int(chunk["source"]) == Source.SCRIPT else Source.POLICY, proposal, ""

    def _apart(self, now: float, operator: Record) -> str:
        """Why a person may not begin to fly: a leader arm that stands elsewhere would pull the arm there."""
        if int(operator["kind"]) != TargetKind.JOINTS or now - self._operator_flew <= self.limits.operator_age:
            return ""
        away = np.abs(operator["q"] - self._follower.motion.q)
        joint = int(away.argmax())
        if away[joint] <= self.limits.engage:
            return ""
        name = self.robot.joints[joint]
        limit = self.limits.engage
        return f"operator: {name} of the leader is {away[joint]:.2f} rad from the arm's, limit {limit:.2f} rad"

    def _missing(self, now: float, chunk: Record | None, proposal: Target | None) -> str:
        """Why the chunk cannot be flown, empty when it can."""
        if chunk is None:
            return "no chunk yet"
        observed = float(chunk["observed"])
        age, behind = now - observed, observed - float(chunk["pictured"])
        if not abs(age) <= self.limits.chunk_age:
            return f"chunk observed {age:.2f} s ago, limit {self.limits.chunk_age:.2f} s"
        if not abs(behind) <= self.limits.frame_age:
            return f"chunk made from pictures {behind:.2f} s old, limit {self.limits.frame_age:.2f} s"
        if observed < self._operator_flew:
            return "chunk from before the hand-back"
        return "chunk ran out" if proposal is None or proposal.kind == TargetKind.NONE else ""

    def _way_home(self) -> tuple[Source, Target | None, str]:
        """Straight to the home pose, which stays inside the box; from there with the joints; there the fingers open.

        Every episode so begins as it does in lockstep; what is held is not dropped on the way.
        """
        home = self.robot.home
        if not self._at_home_pose:
            metres, radians = se3.distance(self._kinematics.forward(self._goal), self._home_pose)
            self._at_home_pose = metres < AT_HOME_POSE[0] and radians < AT_HOME_POSE[1]
        if self._follower.at_rest and np.abs(home - self._follower.motion.q).max() < AT_HOME:
            self.reached_home = True
        if self.reached_home:
            self._grip = self.robot.opening
            return Source.NOBODY, None, "home"
        kind = TargetKind.JOINTS if self._at_home_pose else TargetKind.POSE
        return Source.SCRIPT, Target(kind, self._home_pose, home, self._held()), ""

    # --- how ----------------------------------------------------------------------------------------------------------

    def _move(self, target: Target | None, speed: float) -> str:
        """Move the follower by one period, and say what limits it. Without a target: brake, and hold."""
        self._guided = target is not None and target.kind == TargetKind.GUIDE
        if target is None and self._is_to_relieve():
            self._safety.limit(self._follower, self._state.q, SLOWEST)
            return ""
        if target is None:
            self._follower.brake()
            self._goal, self._reference = np.array(self._follower.motion.q), None
            return ""
        if self._guided:
            self._follow(self._state)
            return ""
        aim = (
            self._aim_pose(target.pose, speed) if target.kind == TargetKind.POSE else self._aim_joints(target.q, speed)
        )
        return self._safety.limit(self._follower, self._goal, speed) or aim

    def _is_to_relieve(self) -> bool:
        """Whether a stopped arm leans on what blocked it: then the setpoint goes slowly back to where the arm is."""
        ahead = float(np.abs(self._state.q - self._follower.motion.q).max()) if self.stopped else 0.0
        if self._follower.at_rest:
            self._relieves = ahead > LEANING
        elif ahead < 0.5 * LEANING:
            self._relieves = False
        return self._relieves

    def _aim_pose(self, pose: Array, speed: float) -> str:
        pose, clamped = self._safety.clamp_pose(pose)
        here = self._kinematics.forward(self._goal) if self._reference is None else self._reference
        self._reference, late = self._safety.advance_pose(here, pose, speed)
        self._goal = self._kinematics.inverse(self._reference, self._goal, ITERATIONS)
        return clamped or late

    def _aim_joints(self, q: Array, speed: float) -> str:
        q, clamped = self._safety.clamp_joints(q)
        self._goal, late = self._safety.advance_joints(self._goal, q, speed)
        self._reference = None
        return clamped or late

    def _hold_grip(self, target: Target | None, grip: GripperState | None) -> None:
        """Keep what was last asked of the gripper; before anyone asked, what it was measured at."""
        if target is not None:
            self._grip = min(max(target.grip, 0.0), self.robot.opening)
        elif self._grip is None and grip is not None and np.isfinite(grip.opening):
            self._grip = grip.opening

    def _held(self) -> float:
        return self.robot.opening if self._grip is None else self._grip

    def _report(self, mode: Mode, source: Source, target: Target | None, proposal: Target | None) -> Record:
        record: Record = np.ndarray((), self._dtype, bytearray(self._dtype.itemsize))  # zeroed, faster than np.zeros
        state, motion = self._state, self._follower.motion
        record["time"], record["q"], record["dq"] = state.time, state.q, state.dq
        record["pose"], record["wrench"] = state.base_from_tcp, state.wrench
        q = np.array(motion.q)
        setpoint = Target(TargetKind.NONE, self._kinematics.forward(q), q, self._held())
        record["target.q"], record["target.dq"] = q, motion.dq
        record["target.pose"], record["target.grip"] = setpoint.pose, setpoint.grip
        record["source"], record["mode"] = source, Mode.HOLD if self.reached_home else mode
        self._fill(record, "requested", target or setpoint, self._goal)
        self._fill(record, "proposed", proposal or setpoint, self._goal if proposal is target else q)
        return record

    def _fill(self, record: Record, who: str, target: Target, q: Array) -> None:
        """Both kinds of one target: of joints their pose, for a pose the joints `q`."""
        kind, pose, joints, grip = target
        if kind == TargetKind.JOINTS:
            pose = self._kinematics.forward(joints)
        elif kind == TargetKind.POSE:
            joints = q
        elif kind == TargetKind.GUIDE:
            pose, joints = self._kinematics.forward(q), q
        record[who + ".kind"], record[who + ".pose"] = kind, pose
        record[who + ".q"], record[who + ".grip"] = joints, grip


def _plan_time(chunk: Record, now: float, speed: float) -> float:
    """The time on a plan's own clock, which runs slower with the override: the path stays what was planned."""
    observed = float(chunk["observed"])
    return observed + speed * (now - observed)


def _asked(operator: Record) -> Target | None:
    kind = int(operator["kind"])
    return Target(kind, operator["pose"], operator["q"], float(operator["grip"])) if kind != TargetKind.NONE else None


def _speed(request: Record | None) -> float:
    """The override, from `SLOWEST` to 1; what is no number is slow."""
    speed = 0.0 if request is None else float(request["speed"])
    return min(1.0, speed) if speed >= SLOWEST else SLOWEST
