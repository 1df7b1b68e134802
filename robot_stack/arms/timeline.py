"""When a measurement was made, on this machine's clock, from the time stamp that the robot gave it on its own."""

from math import inf

DRIFT = 1e-3
"""No two clocks of machines drift apart faster than this, by a factor of ten [s/s]."""


class Timeline:
    """The robot's clock in terms of ours.

    What arrives is late by its way through the network and by how long it lay unread, and never early. So the least
    difference between arrival and time stamp is that of the two clocks, up to the shortest way there is: the minimum
    filter of NTP (RFC 5905, 10), which here may rise no faster than clocks drift. A stream that falls behind therefore
    shows its age, and goes on showing it.
    """

    def __init__(self) -> None:
        self._stamp = self._time = self._arrival = -inf
        self._least = inf

    def add(self, device_time: float, arrival: float) -> float:
        """When that was measured which the robot stamped with `device_time` [s] and which came at `arrival` [s].

        Never after the arrival, and never before what was returned last. A clock that goes back is that of a robot
        that was restarted.
        """
        if device_time == self._stamp:
            return self._time
        if device_time < self._stamp:
            self._least = inf
        elif self._least < inf:
            self._least += DRIFT * (arrival - self._arrival)
        self._least = min(self._least, arrival - device_time)
        self._stamp, self._arrival = device_time, arrival
        self._time = max(self._time, min(arrival, device_time + self._least))
        return self._time
