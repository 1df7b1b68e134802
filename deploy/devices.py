"""The loops of the processes that own one device each: control (the arm), gripper, camera, operator; and the world.

Each makes its driver from the config, works at its rate, publishes what it measured, and reports health. A device that
fails ends its process with the reason in its log; the supervisor decides what that means.
"""

from collections.abc import Callable

from deploy import cell
from deploy.worker import Context
from robot_stack.arms import Arm
from robot_stack.cameras import Camera
from robot_stack.clock import Rate, now
from robot_stack.control import Controller
from robot_stack.grippers import Gripper
from robot_stack.loop import ControlLoop
from robot_stack.realtime import real_time
from robot_stack.spec import Record
from robot_stack.station import EPISODE, GRIPPER, KEYS, Station, Topic
from robot_stack.types import DeviceError, Frame
from teleop import TeleopDevice, View
from teleop.lockstep import message

CONTROL_PRIORITY = 60
WORLD_PRIORITY = 50  # in simulation it is the hardware, and as punctual
GRIPPER_RATE = 50.0  # [Hz]
OPERATOR_RATE = 100.0  # [Hz]
GRIP_STEP = 1e-4  # smallest change of opening that is sent to the gripper [m]


def control(context: Context) -> None:
    """Flies the arm. Config: station, robot, driver (of the arm), limits."""
    station, robot = cell.from_json(context.config["station"]), context.config["robot"]
    controller = Controller(robot, station, cell.driver(context.config["limits"]))
    arm: Arm
    with cell.driver(context.config["driver"], bus=context.bus, robot=robot, station=station) as arm:
        loop = ControlLoop(arm, controller, context.bus, station)
        real_time(CONTROL_PRIORITY)
        loop.run(_beating(context))


def world(context: Context) -> None:
    """The simulated world. Config: robot, task, driver (anything with `run(stop)`)."""
    config = context.config
    server = cell.driver(config["driver"], bus=context.bus, robot=config["robot"], task=config["task"])
    real_time(WORLD_PRIORITY)
    server.run(_beating(context))


def camera(context: Context) -> None:
    """One camera. Config: station, robot, task, camera (its name), driver."""
    config = context.config
    topic = cell.from_json(config["station"]).camera(config["camera"])
    publisher = context.bus.publisher(topic)
    device: Camera
    with cell.driver(config["driver"], bus=context.bus, robot=config["robot"], task=config["task"]) as device:
        while not context.stop():
            frame = device.read()
            publisher.send(_picture(frame, topic))
            context.health.beat(now() - frame.time)


def gripper(context: Context) -> None:
    """The gripper. Config: station, robot, driver."""
    station = cell.from_json(context.config["station"])
    publisher = context.bus.publisher(GRIPPER)
    controls = context.bus.subscriber(station.control)
    rate, sent = Rate(GRIPPER_RATE), float("inf")
    device: Gripper
    with cell.driver(context.config["driver"], bus=context.bus, robot=context.config["robot"]) as device:
        while not context.stop():
            late = rate.sleep()
            start = now()
            state, wanted = device.read(), controls.latest()
            publisher.send(GRIPPER.spec.record(time=state.time, opening=state.opening))
            if wanted is not None and abs(float(wanted["target.grip"]) - sent) > GRIP_STEP:
                sent = float(wanted["target.grip"])
                device.move(sent)
            context.health.beat(now() - start, late)


def operator(context: Context) -> None:
    """The operator's device. Config: station, robot, task, driver."""
    config = context.config
    station = cell.from_json(config["station"])
    publisher = context.bus.publisher(station.operator)
    eyes = _Eyes(context, station)
    rate = Rate(OPERATOR_RATE)
    device: TeleopDevice
    given = {"bus": context.bus, "station": station, "robot": config["robot"], "task": config["task"]}
    with cell.driver(config["driver"], **given) as device:
        while not context.stop():
            late = rate.sleep()
            start = now()
            publisher.send(message(device.read(start, eyes.view()), station, start))
            context.health.beat(now() - start, late)


class _Eyes:
    """What the operator sees: the newest record of each topic."""

    def __init__(self, context: Context, station: Station) -> None:
        bus = context.bus
        self._control, self._gripper = bus.subscriber(station.control), bus.subscriber(GRIPPER)
        self._world = bus.subscriber(station.world) if station.objects else None
        self._episode, self._keys = bus.subscriber(EPISODE), bus.subscriber(KEYS)

    def view(self) -> View:
        return View(
            control=self._control.latest(),
            gripper=self._gripper.latest(),
            world=self._world.latest() if self._world is not None else None,
            episode=self._episode.latest(),
            keys=self._keys.latest(),
        )


def _picture(frame: Frame, topic: Topic) -> Record:
    expected = topic.spec["image"].shape
    if frame.image.shape != expected:
        raise DeviceError(f"the camera gave a picture of {frame.image.shape}, its config says {expected}")
    return topic.spec.record(time=frame.time, sequence=frame.sequence, image=frame.image)


def _beating(context: Context) -> Callable[[], bool]:
    """`context.stop`, reporting health each time it is asked: for loops that know nothing of health."""

    def stop() -> bool:
        context.health.beat(0.0)
        return context.stop()

    return stop
