"""What the simulated world and its simulated devices say to each other: the wire between a driver and its machine."""

from robot_stack.spec import Field, Spec
from robot_stack.station import POSE, Topic

GRIP = Topic("sim.gripper", Spec([Field("time", unit="s"), Field("opening", unit="m")]), 8)
"""The opening asked of the simulated gripper."""


def servo(joints: int) -> Topic:
    """The joints asked of the simulated arm."""
    return Topic("sim.arm", Spec([Field("time", unit="s"), Field("q", (joints,), unit="rad")]), 8)


def state(joints: int) -> Topic:
    """What the simulated arm and gripper measure, 500 times a second."""
    return Topic(
        "sim.state",
        Spec(
            [
                Field("time", unit="s"),
                Field("q", (joints,), unit="rad"),
                Field("dq", (joints,), unit="rad/s"),
                Field("pose", (7,), unit="m,1", frame=POSE),
                Field("wrench", (6,), unit="N,Nm", frame="base"),
                Field("opening", unit="m"),
            ]
        ),
        64,
    )


def scene(size: int) -> Topic:
    """All that a picture shows, as in `World.scene`; size: of that."""
    return Topic("sim.scene", Spec([Field("time", unit="s"), Field("scene", (size,))]), 16)
