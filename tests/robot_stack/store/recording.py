"""Rows of which each is known again by its step."""

import numpy as np

from robot_stack.spec import Field, Record, Spec

SPEC = Spec([Field("time"), Field("step", dtype="i8"), Field("q", (6,)), Field("image.front", (40, 40, 3), "u1")])
STATION = {"name": "cell", "rate": 10.0}


def row(step: int) -> Record:
    """A row whose every value follows from its step."""
    record = SPEC.record(time=step / 10, step=step)
    record["q"] = step
    record["image.front"] = np.arange(4800).reshape(40, 40, 3) + step
    return record
