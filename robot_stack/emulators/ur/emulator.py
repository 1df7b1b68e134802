"""A whole UR robot on one address: controller, its servers, its gripper, and what can go wrong with all of them."""

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from robot_stack.clock import now
from robot_stack.emulators.admin import Admin
from robot_stack.emulators.body import Body, session
from robot_stack.emulators.journal import Events, Ring
from robot_stack.emulators.loop import Loop
from robot_stack.emulators.robotiq import RobotiqServer
from robot_stack.emulators.ur.arm import PERIOD
from robot_stack.emulators.ur.controller import Controller
from robot_stack.emulators.ur.dashboard import Dashboard, Identity
from robot_stack.emulators.ur.inputs import COMMANDS, Inputs
from robot_stack.emulators.ur.modes import SafetyMode
from robot_stack.emulators.ur.rtde import RtdeServer
from robot_stack.emulators.ur.script_ports import ScriptServer
from robot_stack.emulators.wire import Link
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

ROBOT = "ur5e"
CYCLES = Spec(
    [
        Field("time", unit="s"),  # when the cycle was done, of clock.now
        Field("due", unit="s"),  # when it should have begun: where they part, this machine stalled
        Field("timestamp", unit="s"),  # of the robot
        Field("commanded", (6,), unit="rad"),  # target_q of RTDE
        Field("q", (6,), unit="rad"),
        Field("dq", (6,), unit="rad/s"),
    ]
)
"""One row for each cycle of the controller."""


class UrEmulator:
    """The robot. config: the keys of configs/emulate_ur5e.yaml."""

    rate = 1.0 / PERIOD

    def __init__(self, loop: Loop, config: Mapping[str, Any]) -> None:
        self.host, self.loop = str(config["host"]), loop
        self.session = session(ROBOT, self.host)
        self.identity = Identity(str(config["polyscope"]), str(config["model"]), str(config["serial"]))
        self.happened = Events()
        self.link = Link(loop)
        self.body = Body(ROBOT, str(config["task"]), self.host, self.rate)
        self.controller = Controller(self.body, self.happened, float(config["unlock_after"]))
        self.controller.remote = bool(config["remote"])
        rows = round(float(config["log_seconds"]) * self.rate)
        self._tables = {"cycles": Ring(CYCLES, rows), "commands": Ring(COMMANDS, rows)}
        inputs = Inputs(self.controller, self._tables["commands"])
        self._frozen, self._lost = False, 0
        self._work: list[float] = [0.0]
        self._serve(inputs)

    def cycle(self, due: float) -> None:
        """One period of the controller; then everybody gets what is due to him."""
        begun = now()
        self.controller.skip(self.loop.lost - self._lost)
        self._lost = self.loop.lost
        if self._frozen:
            self.body.step()
        else:
            self.controller.cycle()
            self.gripper.cycle()
        self.rtde.cycle()
        arm, measured = self.controller.arm, self.controller.sense
        time = now()
        self._tables["cycles"].add((time, due, self.controller.timestamp, arm.q, measured.q, measured.qd))
        self._work.append(time - begun)
        del self._work[:-500]

    def serves(self) -> str:
        """What it serves and how to connect to it, in plain words."""
        return "\n".join(
            [
                f"A UR5e with PolyScope {self.identity.polyscope} and a Robotiq 2F-85, emulated on {self.host}:",
                "  30004 RTDE, 29999 dashboard, 30001-30003 scripts, 63352 gripper. Its arm moves in a simulated scene",
                f"  that this computer's processes see on the bus session {self.session}.",
                f"Connect as to a robot: robot-stack deploy robot=ur5e_emulated robot.arm.host={self.host}",
                f'  or in Python: rtde_control.RTDEControlInterface("{self.host}").',
            ]
        )

    def offer(self, admin: Admin) -> None:
        """Add the commands that tests and a person may give."""
        admin.offer(self.state, self.events, self.save, self.reset)
        admin.offer(
            self.pstop,
            self.estop,
            self.safeguard,
            self.power_off,
            self.remote,
            self.identify,
            self.drop,
            self.silence,
            self.delay,
            self.reboot,
            self.freeze,
        )
        admin.offer(self.push, self.block, self.slider, *self.gripper.faults())

    def close(self) -> None:
        """Leave the bus."""
        self.body.close()

    # --- commands ----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What the controller is doing."""
        controller = self.controller
        work = sorted(self._work)
        return {
            "time": now(),
            "timestamp": controller.timestamp,
            "robot_mode": controller.mode.name,
            "safety_mode": controller.safety.name,
            "runtime": controller.runtime.name,
            "remote": controller.remote,
            "program": controller.program.name if controller.program else None,
            "q": controller.sense.q,
            "qd": controller.sense.qd,
            "target_q": controller.arm.q,
            "tcp_pose": controller.sense.tcp_pose(),
            "wrench": controller.sense.wrench,
            "opening": self.body.opening,
            "objects": {name: pose.tolist() for name, pose in self.body.world.objects().items()},
            "packages": self.rtde.counts,
            "steps": self.body.steps,
            "lost_cycles": self.loop.lost,
            "work_p50": work[len(work) // 2],
            "work_max": work[-1],
        }

    def events(self, since: float = -inf) -> list[dict[str, Any]]:
        """What happened, with times of the monotonic clock."""
        return self.happened.since(since)

    def save(self, table: str, path: str) -> int:
        """Write the newest rows of a table (cycles, commands) to a .npy file; answers how many there ever were."""
        if table not in self._tables:
            raise ConfigError(f"no table {table!r}; there are: {', '.join(self._tables)}")
        return self._tables[table].save(Path(path))

    def reset(self) -> None:
        """All as at the start: connections ended, no fault, no program, the arm at home."""
        self.link.silent, self.link.delay, self.link.jitter = False, 0.0, 0.0
        self.link.cut(reset=False)
        self._frozen = self.rtde.frozen = False
        self.body.restart()
        self.controller.restart()
        self.gripper.gripper.set("ACT", 0)

    def pstop(self, reason: str = "on demand") -> None:
        """Protective stop."""
        self.controller.protective_stop(reason)

    def estop(self, pressed: bool = True) -> None:
        """Press the emergency stop button (pressed=false: pull it out)."""
        self.controller.emergency_stop(pressed)

    def safeguard(self, open: bool = True) -> None:
        """Open the safeguard input (open=false: close it)."""
        self.controller.safeguard_stop(open)

    def power_off(self) -> None:
        """Take the arm's power away."""
        self.controller.power_off()

    def remote(self, on: bool = True) -> None:
        """Switch between remote (on) and local control."""
        self.controller.remote = on
        self.happened.add("remote-control" if on else "local-control")

    def identify(self, polyscope: str = "", model: str = "", serial: str = "") -> None:
        """Be another controller from the next connection on."""
        self.identity.polyscope = polyscope or self.identity.polyscope
        self.identity.model = model or self.identity.model
        self.identity.serial = serial or self.identity.serial
        self.rtde.version[:] = self.identity.version

    def drop(self, reset: bool = False) -> None:
        """End all connections with FIN, or with RST."""
        self.link.cut(reset)
        self.happened.add("link-dropped", reset=reset)

    def silence(self, on: bool = True) -> None:
        """Pull the network cable (on=false: plug it in)."""
        self.link.silent = on
        self.happened.add("link-silent" if on else "link-restored")

    def delay(self, seconds: float = 0.0, jitter: float = 0.0) -> None:
        """Send everything later, and by up to `jitter` more."""
        self.link.delay, self.link.jitter = seconds, jitter

    def reboot(self, seconds: float = 10.0) -> None:
        """End all connections and programs, refuse new ones for a time, then come up powered and ready."""
        self.happened.add("reboot", seconds=seconds)
        self.link.refuse()
        self.controller.stop("reboot")
        self.loop.call_at(now() + seconds, self._come_up)

    def freeze(self, on: bool = True) -> None:
        """Stand still: packages go on, with the same old contents."""
        self._frozen = self.rtde.frozen = on
        self.happened.add("frozen" if on else "thawed")

    def push(self, force: list[float], seconds: float = 1.0) -> None:
        """Push the tool: three forces [N], and three torques [Nm] if wanted, in the base frame."""
        self.body.push(force, seconds)

    def block(self, on: bool = True) -> None:
        """Hold the tool where it is with something stiff (on=false: let go)."""
        self.body.block(on)

    def slider(self, fraction: float) -> None:
        """Set the speed slider, 0 to 1."""
        self.controller.slider = min(1.0, max(0.0, fraction))

    def _come_up(self) -> None:
        if self.controller.safety is SafetyMode.PROTECTIVE_STOP:
            self.controller.restart_safety()
        self.controller.power_on()
        self.controller.release_brakes()
        self.link.accept()
        self.happened.add("booted")

    def _serve(self, inputs: Inputs) -> None:
        version = self.identity.version
        fastest = 125 if version[0] < 5 else 500
        self.rtde = RtdeServer(self.link, self.host, self.controller, version, fastest, inputs.apply)
        self.controller.tell = self.rtde.tell
        self.scripts = ScriptServer(self.link, self.host, self.controller, inputs)
        if version[0] < 10:  # PolyScope X has no dashboard
            self.dashboard = Dashboard(self.link, self.host, self.controller, self.identity)
        self.gripper = RobotiqServer(self.link, self.host, self.body, self.happened)
