"""What a client commands, with the derivatives that its controller sees: backward differences over one millisecond."""

import numpy as np

from robot_stack.emulators.franka.plant import STEP
from robot_stack.types import Array


class Signal:
    """A commanded quantity (n,) with its rate, change of rate, and jerk, each one step's backward difference."""

    def __init__(self, value: Array) -> None:
        self.value: Array = value
        self.rate: Array = np.zeros(len(value))
        self.change: Array = np.zeros(len(value))
        self.jerk: Array = np.zeros(len(value))

    def take_value(self, value: Array) -> None:
        """The next value was commanded."""
        self._differentiate((value - self.value) / STEP)
        self.value = value

    def take_rate(self, rate: Array) -> None:
        """The next rate was commanded."""
        self._differentiate(rate)
        self.value = self.value + STEP * rate

    def coast(self) -> None:
        """Nothing was commanded: go on with constant change of rate, as the real controllers do."""
        self.take_rate(self.rate + STEP * self.change)

    def _differentiate(self, rate: Array) -> None:
        change = (rate - self.rate) / STEP
        self.jerk = (change - self.change) / STEP
        self.rate, self.change = rate, change
