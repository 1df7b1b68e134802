"""The clutch: what a hand does while engaged moves the arm; nothing that it did before, and no jump at either end."""

import numpy as np

from robot_stack.pose import compose, distance, interpolate, inverse
from robot_stack.types import Array


class Clutch:
    """Turns poses of a hand into targets of the arm. The hand's axes are parallel to the base's.

    scale: metres of the arm per metre of the hand. dead_band: the hand drags the target behind it by this play [m,
    rad], so that a trembling hand is a resting target. leash: the target is never further than this from where the
    arm is sent [m, rad]; without it a target that was pushed against a limit would have to be wound all the way back.
    """

    def __init__(
        self,
        scale: float = 1.0,
        dead_band: tuple[float, float] = (0.0, 0.0),
        leash: tuple[float, float] = (0.1, 0.5),
    ) -> None:
        self.scale = scale
        self.dead_band = dead_band
        self.leash = leash
        self._engaged = False
        self._hand: Array = np.zeros(7)  # where the play holds the hand
        self._hand_anchor: Array = np.zeros(7)
        self._arm_anchor: Array = np.zeros(7)

    def target(self, engage: bool, hand: Array, arm: Array) -> Array | None:
        """base_from_tcp (7,) to ask for, None while not engaged. hand: base_from_hand. arm: where the arm is sent
        now."""
        if engage and not self._engaged:
            self._anchor(hand, arm)
        self._engaged = engage
        if not engage:
            return None
        self._hand = self._dragged(self._hand, hand)
        wanted = self._displaced(self._hand)
        held = _nearest(arm, wanted, self.leash)
        if held is not wanted:
            self._anchor(self._hand, held)
        return held

    def _anchor(self, hand: Array, arm: Array) -> None:
        self._hand = self._hand_anchor = np.array(hand)
        self._arm_anchor = np.array(arm)

    def _dragged(self, held: Array, hand: Array) -> Array:
        """The held pose, pulled along where the hand left the play around it."""
        metres, radians = distance(held, hand)
        play, angle = self.dead_band
        result = np.array(held)
        if metres > play:
            result[:3] += (1.0 - play / metres) * (hand[:3] - held[:3])
        if radians > angle:
            result[3:] = interpolate(held, hand, 1.0 - angle / radians)[3:]
        return result

    def _displaced(self, hand: Array) -> Array:
        """The arm's anchor moved and turned, about base axes, as the hand was since it was anchored."""
        still = np.zeros(3)
        turn = compose(np.append(still, hand[3:]), inverse(np.append(still, self._hand_anchor[3:])))
        turned = compose(turn, np.append(still, self._arm_anchor[3:]))
        return np.append(self._arm_anchor[:3] + self.scale * (hand[:3] - self._hand_anchor[:3]), turned[3:])


def _nearest(centre: Array, pose: Array, leash: tuple[float, float]) -> Array:
    """`pose` itself when within the leash of `centre`, else the pose on the way where the leash ends."""
    metres, radians = distance(centre, pose)
    if metres <= leash[0] and radians <= leash[1]:
        return pose
    result = np.array(pose)
    if metres > leash[0]:
        result[:3] = centre[:3] + leash[0] / metres * (pose[:3] - centre[:3])
    if radians > leash[1]:
        result[3:] = interpolate(centre, pose, leash[1] / radians)[3:]
    return result
