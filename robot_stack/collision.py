"""How near the arm comes to the table, to boxes it must keep out of, to itself and to other arms.

One MuJoCo model holds the capsules of `shapes` for every arm, and everything around. Looking at one posture takes ten
microseconds, and most ticks need no look: no point of an arm moves further for a radian of a joint than the stretched
chain from that joint on is long, so that after one look the arm is free to move as far as there was room.
"""

from collections.abc import Iterable
from itertools import combinations, product
from math import inf
from operator import mul, sub
from typing import Any, NamedTuple

import mujoco
import numpy as np

from robot_stack.kinematics import bare_arm, stretch
from robot_stack.limits import Box, Limits, Neighbour
from robot_stack.robots import TCP, robot
from robot_stack.shapes import SHAPES, Capsule
from robot_stack.types import Array, ConfigError

HORIZON = 0.15
"""What is further beyond its limit than this is not measured [m]: the arm is looked at again before it matters."""

CURVE = 0.001
"""A way to rest bends by less than this between the instants at which it is looked at [m]; added to each limit."""

LOWEST = 2
"""The first link that can come nearer to the table: the one before it only turns about the vertical."""


class Part(NamedTuple):
    """A geom of the model. Its name says `zone|what|number`, the zone empty for our own arm. link: as in `Capsule`."""

    geom: str
    link: int


class Gap(NamedTuple):
    """Between two parts of the model, negative when they overlap, and the least that it should be [m]."""

    distance: float
    limit: float


FAR = Gap(inf, inf)

GHOST = {"contype": 0, "conaffinity": 0, "density": 0.0}
"""Of a geom that meets only those it is paired with."""


class Surroundings:
    """What is around one arm that stands at the origin."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._model = _build(name, limits)
        self._data = mujoco.MjData(self._model)
        n = len(robot(name).joints)
        self._q = self._data.qpos[:n]  # a view of MuJoCo's own memory
        reach = np.max([_reach(self._model, geom) for geom in range(self._model.ngeom)], axis=0)
        self._reach: list[float] = reach[:n].tolist()
        self._neighbours: dict[str, tuple[Array, Array]] = {}
        self._unseen: dict[str, str] = {}  # those of which it is not known where they are, and why
        for key, other in limits.neighbours.items():
            first, n = n, n + len(robot(other.robot).joints)
            self._neighbours[key] = self._data.qpos[first:n], reach[first:n]
            self._neighbours[key][0][:] = robot(other.robot).home if other.q is None else other.q
            if other.q is None:
                self._unseen[key] = "not seen yet"
        self._oldest = limits.state_age
        self._posture: list[float] = robot(name).home.tolist()  # that was looked at last,
        self._room = self._drift = 0.0  # the room there was [m], and how much neighbours took of it since
        for pair, gap in self._gaps(self._posture).items():
            if gap.distance < gap.limit and "neighbour" not in self._words(pair, gap):
                raise ConfigError(f"the {name} at home: {self._words(pair, gap)}; change robot.limits to what is there")

    def see_neighbour(self, name: str, q: Array, age: float) -> None:
        """A neighbour was at joints (n,) [rad] `age` seconds ago. While it is not known where it is, nothing moves."""
        if name not in self._neighbours:
            raise ConfigError(f"no neighbour {name!r}; there are: {', '.join(self._neighbours) or 'none'}")
        place, reach = self._neighbours[name]
        if q.shape != place.shape or not np.isfinite(q).all():
            self._unseen[name] = f"at {q}, expected {len(place)} joints"
        elif not abs(age) <= self._oldest:
            self._unseen[name] = f"seen {age:.3f} s ago, limit {self._oldest:.3f} s"
        else:
            self._unseen.pop(name, None)
            self._drift += float(reach @ np.abs(q - place))
            place[:] = q

    def near(self, now: list[float], ahead: Iterable[list[float]]) -> str:
        """What the arm would come too near to with any of the joints `ahead` (n,), and nearer than it is `now`."""
        for name, why in self._unseen.items():
            return f"neighbour {name}: {why}"
        for q in ahead:
            if not sum(map(mul, self._reach, map(abs, map(sub, q, self._posture)))) < self._room - self._drift:
                reason = self._look(now, q)
                if reason:
                    return reason
        return ""

    def room(self, q: Array | list[float]) -> float:
        """How much further away than its limit the nearest thing is at joints (n,), at most `HORIZON`; negative when it
        is nearer [m]."""
        self._q[:] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        contact = self._data.contact
        return float((contact.dist - contact.includemargin).min(initial=HORIZON))

    def _look(self, now: list[float], q: list[float]) -> str:
        room = self.room(q)
        if room > 0.0:
            self._posture, self._room, self._drift = q, room, 0.0
            return ""
        ahead, here = self._gaps(q), self._gaps(now)
        nearer = {
            pair: gap for pair, gap in ahead.items() if gap.distance < min(gap.limit, here.get(pair, FAR).distance)
        }
        if not nearer:
            return ""
        pair = min(nearer, key=lambda pair: nearer[pair].distance - nearer[pair].limit)
        return self._words(pair, nearer[pair])

    def _gaps(self, q: list[float]) -> dict[tuple[int, int], Gap]:
        """Between the parts, by their geoms, that are no further apart than the horizon at joints (n,)."""
        self.room(q)
        gaps: dict[tuple[int, int], Gap] = {}
        contact = self._data.contact
        for pair, *gap in zip(
            contact.geom.tolist(), contact.dist.tolist(), contact.includemargin.tolist(), strict=True
        ):
            gaps[tuple(pair)] = min(gaps.get(tuple(pair), FAR), Gap(*gap))
        return gaps

    def _words(self, pair: tuple[int, int], gap: Gap) -> str:
        names = [self._model.geom(geom).name.split("|") for geom in pair]
        (_, part, _), (zone, other, _) = sorted(names, key=lambda name: name[0])
        return f"{zone or 'self'}: {part} {gap.distance:.3f} m from {other} ahead, limit {gap.limit - CURVE:.3f} m"


def _build(name: str, limits: Limits) -> Any:
    """The model. Nothing in it meets but the pairs that are to be kept apart, each with its own limit."""
    spec, shape = bare_arm(name), SHAPES[name]
    arm = _dress(spec, name, shape.arm)
    own = arm + _dress(spec, name, shape.fingers, first=len(arm))
    moving = [part for part in own if part.link > 0]
    near_table = [part for part in arm if part.link >= LOWEST] + [_hand_box(spec, shape.box)]
    itself = [(a, b) for a, b in combinations(own, 2) if b.link > a.link + 1 and (a.link, b.link) not in shape.apart]
    _keep(spec, itself, limits.self_distance)
    _keep(spec, product([_table(spec, limits.table)], near_table), limits.clearance)
    for key, box in limits.keep_out.items():
        _keep(spec, product([_block(spec, key, box)], moving), limits.clearance)
    for key, other in limits.neighbours.items():
        _keep(spec, product(_attach(spec, key, other), moving), limits.neighbour_distance)
    return spec.compile()


def _dress(spec: Any, name: str, capsules: Iterable[Capsule], zone: str = "", first: int = 0) -> list[Part]:
    """Put capsules on the links of an arm. zone: of a neighbour; begins the names of all its parts."""
    prefix, whose = (zone, "its ") if zone else ("", "")
    joints = robot(name).joints
    links = [spec.joint(prefix + joint).parent for joint in joints]
    bodies = [links[0].parent, *links[:-1], spec.body(prefix + TCP)]
    parts = []
    for number, capsule in enumerate(capsules, first):
        body = bodies[capsule.link]
        words = "hand" if capsule.link == len(joints) else body.name.removeprefix(prefix)
        part = Part(f"{zone}|{whose}{words}|{number}", capsule.link)
        kind, line = mujoco.mjtGeom.mjGEOM_CAPSULE, [*capsule.start, *capsule.end]
        body.add_geom(name=part.geom, type=kind, fromto=line, size=[capsule.radius, 0, 0], **GHOST)
        parts.append(part)
    return parts


def _hand_box(spec: Any, box: tuple[float, float, float, float]) -> Part:
    x, y, low, high = box
    place, size = [0, 0, 0.5 * (low + high)], [x, y, 0.5 * (high - low)]
    spec.body(TCP).add_geom(name="|fingers|", type=mujoco.mjtGeom.mjGEOM_BOX, pos=place, size=size, **GHOST)
    return Part("|fingers|", 0)


def _table(spec: Any, height: float) -> Part:
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="table|it|", type=plane, pos=[0, 0, height], size=[1, 1, 1], **GHOST)
    return Part("table|it|", 0)


def _block(spec: Any, name: str, box: Box) -> Part:
    low, high = np.array(box)
    part = Part(f"keep-out {name}|it|", 0)
    kind, middle = mujoco.mjtGeom.mjGEOM_BOX, 0.5 * (low + high)
    spec.worldbody.add_geom(name=part.geom, type=kind, pos=middle, size=0.5 * (high - low), **GHOST)
    return part


def _attach(spec: Any, name: str, other: Neighbour) -> list[Part]:
    zone = f"neighbour {name}"
    x, y, z, i, j, k, w = other.base
    frame = spec.worldbody.add_frame(pos=[x, y, z], quat=[w, i, j, k])
    guest = bare_arm(other.robot)
    guest.option.impratio, guest.option.cone = spec.option.impratio, spec.option.cone  # or MuJoCo warns of a conflict
    spec.attach(guest, prefix=zone, frame=frame)
    shape = SHAPES[other.robot]
    return _dress(spec, other.robot, shape.arm + shape.fingers, zone)


def _keep(spec: Any, pairs: Iterable[tuple[Part, Part]], limit: float) -> None:
    """Let MuJoCo measure these pairs within the horizon; a contact's `includemargin` is its limit."""
    for a, b in pairs:
        spec.add_pair(geomname1=a.geom, geomname2=b.geom, margin=limit + CURVE, gap=HORIZON)


def _reach(model: Any, geom: int) -> Array:
    """How much a radian of each joint can move any point of a geom [m]."""
    beyond = float(np.linalg.norm(model.geom_pos[geom]) + model.geom_rbound[geom])
    return stretch(model, int(model.geom_bodyid[geom]), beyond)
