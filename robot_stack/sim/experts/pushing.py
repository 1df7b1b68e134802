"""What a person knows about pushing: where the T will go when it is pushed there, and so where to push next.

Quasi-static pushing with an ellipsoidal limit surface (Lynch, Maeda and Kanade 1992): the force f at contact point p,
both in the block's frame, moves it with velocity f and angular velocity (p x f) / c^2, up to one scale. The tool sticks
to the block as long as the force it needs stays inside the friction cone.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_stack.sim.tasks.push_t import BAR, BAR_Y, STEM, STEM_Y
from robot_stack.types import Array

TOOL = 0.016
"""Radius of the closed fingers, seen from above [m]."""
ARM = 0.075
"""c: how far from its centre the block's friction acts, on average [m]."""
FRICTION = 0.6
"""Of fingers on the block."""
STRIDE, STRIDES = 0.010, 16
"""A push is looked at after every stride [m], this many."""
TURN = 0.06
"""A radian of heading error counts like this many metres."""
EFFORT = 0.006
"""One more push must be worth at least this improvement [m]."""
BREADTH, LOOKS = 16, np.array([2, 5, 9, 14])
"""So many first pushes are looked at together with a second one, after each of these strides."""
SPACING, MARGIN = 0.012, 0.008
"""Of the points where the block may be pushed, and how far they keep from its corners [m]."""


class Push(NamedTuple):
    """One push. point, normal: where on the block, and out of it, in its frame (2,). direction: in the base frame (2,).

    length: from contact [m]. end: where the block should come to rest, x, y, yaw (3,).
    """

    point: Array
    normal: Array
    direction: Array
    length: float
    end: Array


def cost(error: Array) -> Array:
    """How bad errors (..., 3) of x, y [m] and yaw [rad] are [m]."""
    turn = (error[..., 2] + np.pi) % (2 * np.pi) - np.pi
    return np.hypot(error[..., 0], error[..., 1]) + TURN * np.abs(turn)


def plan(block: Array, mark: Array, reachable: tuple[Array, Array]) -> Push | None:
    """The push to do first of the best one or two. block, mark: x, y, yaw (3,). reachable: least and largest x, y."""
    paths = _paths(block[None])[0]  # (candidates, strides, 3)
    once = _badness(paths - mark) + EFFORT
    once[~_within(block, reachable)] = np.inf
    promising = np.argsort(once.min(axis=1))[:BREADTH]
    ends = paths[promising[:, None], LOOKS]  # (promising, looks, 3)
    twice = _badness(_paths(ends.reshape(-1, 3)) - mark).min(axis=(1, 2)).reshape(ends.shape[:2]) + 2 * EFFORT
    best = once.copy()
    best[promising[:, None], LOOKS] = np.minimum(once[promising[:, None], LOOKS], twice)
    best[np.isinf(once)] = np.inf
    candidate, stride = np.unravel_index(int(best.argmin()), best.shape)
    if best[candidate, stride] > cost(block - mark):
        return None
    direction = _rotation(block[2]) @ DIRECTIONS[candidate]
    length = float(stride + 1) * STRIDE
    return Push(POINTS[candidate], NORMALS[candidate], direction, length, paths[candidate, stride])


def _badness(error: Array) -> Array:
    return np.nan_to_num(cost(error), nan=np.inf)


def _paths(blocks: Array) -> Array:
    """Where each block (n, 3) is after each stride of each push: (n, candidates, strides, 3); NaN once it slips."""
    pose = np.repeat(blocks[:, None], len(POINTS), axis=1)
    world = np.einsum("nij,cj->nci", _rotation(blocks[:, 2]), DIRECTIONS)
    path = np.empty((*pose.shape[:2], STRIDES, 3))
    for stride in range(STRIDES):
        rotation = _rotation(pose[..., 2])
        velocity = np.einsum("ncji,ncj->nci", rotation, world)  # in the block's frame
        force = _force(velocity)
        slips = -(force * NORMALS).sum(-1) < np.linalg.norm(force, axis=-1) / np.hypot(1.0, FRICTION)
        turn = (POINTS[:, 0] * force[..., 1] - POINTS[:, 1] * force[..., 0]) / ARM**2
        pose[..., :2] += STRIDE * np.einsum("ncij,ncj->nci", rotation, force)
        pose[..., 2] += STRIDE * turn
        pose[slips] = np.nan
        path[:, :, stride] = pose
    return path


def _force(velocity: Array) -> Array:
    """The force (..., candidates, 2) that moves the contact points with this velocity: v = (1 + k k^T / c^2) f, k = p
    turned by a quarter; inverted by Sherman and Morrison."""
    along = (LEVERS * velocity).sum(-1, keepdims=True)
    force: Array = velocity - LEVERS * along / (ARM**2 + (LEVERS**2).sum(-1, keepdims=True))
    return force


def _within(block: Array, reachable: tuple[Array, Array]) -> NDArray[np.bool_]:
    """Where the tool can stand at the start of each candidate push: (candidates,)."""
    tool = block[:2] + (POINTS + (TOOL + 0.02) * NORMALS) @ _rotation(block[2]).T
    return np.asarray(((tool > reachable[0]) & (tool < reachable[1])).all(-1))


def _rotation(yaw: Array | float) -> Array:
    """Matrices (..., 2, 2) of angles [rad]."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def _candidates() -> tuple[Array, Array, Array]:
    """Points on the outline, normals out of it, and push directions into it, all (candidates, 2)."""
    top, under, foot = BAR_Y + BAR[1], BAR_Y - BAR[1], STEM_Y - STEM[1]
    corners = [  # counter-clockwise
        (BAR[0], top), (-BAR[0], top), (-BAR[0], under), (-STEM[0], under), (-STEM[0], foot),
        (STEM[0], foot), (STEM[0], under), (BAR[0], under),
    ]  # fmt: skip
    rows = []
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        side = np.subtract(end, start)
        length = np.hypot(*side)
        normal = np.array([side[1], -side[0]]) / length
        for along in np.arange(MARGIN, length - MARGIN + 1e-9, SPACING):
            point = start + side * along / length
            if _clear(point + TOOL * normal):
                rows += [(point, normal, -_rotation(angle) @ normal) for angle in (-0.35, 0.0, 0.35)]
    points, normals, directions = (np.array(column) for column in zip(*rows, strict=True))
    return points, normals, directions


def _clear(tool: Array) -> bool:
    """Whether the tool there touches the block at most."""
    for half, centre in ((BAR, BAR_Y), (STEM, STEM_Y)):
        gap = np.maximum(np.abs(tool - [0.0, centre]) - half, 0.0)
        if np.hypot(*gap) < TOOL - 1e-6:
            return False
    return True


POINTS, NORMALS, DIRECTIONS = _candidates()
LEVERS = np.stack([-POINTS[:, 1], POINTS[:, 0]], -1)
