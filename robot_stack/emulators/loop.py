"""Sockets, timers and the controller's cycle in one thread."""

import select
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from robot_stack.clock import now

CATCH_UP = 0.1
"""A loop that is later than this gives the lost cycles up: the controller stood still that long [s]."""


class Loop:
    """Calls a cycle at absolute deadlines, and serves sockets and timers in between.

    Late cycles are made up for, one right after the other, so that the controller's clock stays that of its clients.
    lost: cycles that were given up so far.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._readers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever there is something to read, until `forget`."""
        self._readers[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; one that is not watched is none the worse."""
        self._readers.pop(descriptor, None)

    def call_at(self, time: float, action: Callable[[], None]) -> None:
        """Call `action` once, at `time` of `clock.now` [s]."""
        heappush(self._timers, (time, next(self._numbers), action))

    def run(self, hertz: float, cycle: Callable[[float], None], stop: Callable[[], bool]) -> None:
        """Call `cycle(due)` `hertz` times a second, with the time at which it was due [s], until `stop`."""
        period = 1.0 / hertz
        deadline = now() + period
        while not stop():
            self._serve(deadline)
            cycle(deadline)
            deadline += period
            behind = int((now() - deadline) / period)
            if behind * period > CATCH_UP:
                self.lost += behind
                deadline += behind * period

    def _serve(self, deadline: float) -> None:
        """Until the deadline; once when it is over. `select`, because epoll of Python waits in whole milliseconds."""
        while True:
            until = min(deadline, self._timers[0][0]) if self._timers else deadline
            readable, _, _ = select.select(list(self._readers), (), (), max(0.0, until - now()))
            for descriptor in readable:
                if (ready := self._readers.get(descriptor)) is not None:  # not forgotten by the one before
                    ready()
            time = now()
            while self._timers and self._timers[0][0] <= time:
                heappop(self._timers)[2]()
            if time >= deadline:
                return
