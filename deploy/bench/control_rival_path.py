"""The rival's interpolation: straight lines between timed waypoints of the tool, written anew after what
diffusion_policy's `PoseTrajectoryInterpolator` does (commit 0237379), limits of speed included."""

from bisect import bisect_right
from math import inf

from robot_stack import pose as se3
from robot_stack.types import Array


class RivalPath:
    """Poses (7,) at rising times [s]; before the first and after the last it stands still. Never changed: a new
    waypoint makes a new path."""

    def __init__(self, times: list[float], poses: list[Array]) -> None:
        self.times, self.poses = times, poses

    def at(self, time: float) -> Array:
        """The pose (7,) at a time: position on a straight line, rotation about one axis."""
        after = bisect_right(self.times, time)
        if after == 0 or after == len(self.times):
            return self.poses[min(after, len(self.times) - 1)]
        begin, end = self.times[after - 1], self.times[after]
        return se3.interpolate(self.poses[after - 1], self.poses[after], (time - begin) / (end - begin))

    def scheduled(
        self, pose: Array, time: float, now: float, last: float, speed: float = inf, rotation: float = inf
    ) -> "RivalPath":
        """The path from `now` on that is at `pose` at `time`, or later if that were faster than `speed` [m/s] or
        `rotation` [rad/s]. last: time of the waypoint that was scheduled before; earlier ones replace what follows."""
        if time <= now:
            return self
        end = min(now if time <= last else max(last, now), time)
        begin = min(max(now, self.times[0]), end)
        kept = self._between(begin, end)
        metres, radians = se3.distance(kept.poses[-1], pose)
        arrives = end + max(time - end, metres / speed, radians / rotation)
        if arrives <= kept.times[-1]:  # there already
            return kept
        return RivalPath([*kept.times, arrives], [*kept.poses, pose])

    def _between(self, begin: float, end: float) -> "RivalPath":
        inner = [(time, pose) for time, pose in zip(self.times, self.poses, strict=True) if begin < time < end]
        edges = [begin] if begin == end else [begin, end]
        times = [edges[0], *(time for time, _ in inner), *edges[1:]]
        poses = [self.at(edges[0]), *(pose for _, pose in inner), *(self.at(edge) for edge in edges[1:])]
        return RivalPath(times, poses)
