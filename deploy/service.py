"""The service: one session of workers around one robot, its page, and the person or policy who flies.

`collect`, `deploy` and `replay` are this one service with other configurations; only who proposes differs: nobody, a
policy, a stored episode. Keys that it reads (null where nothing is meant):

    robot:                    # configs/robot/<cell>.yaml: one cell, constructor arguments of its drivers
      name: ur5e              # robot_stack.robots: kinematics, home, joint limits
      arm: {_target_: …}      # robot_stack.arms.*
      gripper: {_target_: …}  # robot_stack.grippers.*
      cameras:                # robot_stack.cameras.*, each with at least height and width [px]
        front: {_target_: …, height: 240, width: 320}
      world: {_target_: …}    # simulation only, else null: a class with run(stop); has its own process
      limits: {_target_: robot_stack.safety.Limits, …}
      hardware: true          # only a person clears a stop, and nothing moves before a person said so
      speed: 0.1              # override at the start, 0..1 of the limits; the page raises it
    teleop: {_target_: …}     # configs/teleop/<device>.yaml: teleop.*; null: nobody can take over
    task: {name: lift}        # of the simulation, or a word of yours; stored with each episode
    rate: 10                  # rows a second [Hz]
    store: data/lift          # where episodes are recorded; null: nothing is recorded
    episodes: 20              # end after so many episodes; 0: until Ctrl-C
    auto: true                # true: episodes start and end by themselves; false: by the page or the keys
    time_limit: 20            # longest episode [s]
    success_hold: 0.5         # auto: the task's own success must last this long [s]
    seed: 0                   # start state of episode k in simulation is seed + k
    operator: scripted        # name of the person, stored with each episode
    host: 127.0.0.1           # address and port of the page; port 0 takes a free one
    port: 8000
    checkpoint: runs/bc       # deploy: the policy that flies
    execute: null             # deploy: rows between two plans; null: the policy's own
    source: data/lift         # replay: store and id of the episode to fly
    episode: null             # replay: null is the newest

A driver whose constructor has a parameter `bus`, `station`, `robot` or `task` gets this session's and need not name it.

The main thread decides, ten times a second and at every order, end of a worker or signal: the director says what is
to be, requests and episodes are published; the page's server runs in a thread beside it. The request is also the
heartbeat: when this process is silent for half a second, control brings the arm to rest.
"""

import json
import os
import queue
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deploy import cell
from deploy.api import app
from deploy.board import Board
from deploy.director import Commands, Director, Order, Phase, Rules
from deploy.replay import find
from deploy.server import Server
from deploy.supervisor import Job, Supervisor
from robot_stack.bus import SharedBus, clean_dead_nodes
from robot_stack.clock import now
from robot_stack.station import EPISODE, KEYS, REQUEST, Station
from robot_stack.types import ConfigError, Mode, RobotStackError
from teleop import terminal

PERIOD = 0.1
"""Of the heartbeat [s]."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it."""
ENDING = 5.0
"""After Ctrl-C an open episode is given this long to be written; later it is left to be salvaged [s]."""
PROPOSERS = {"inference", "replay"}
"""Kinds of workers that publish chunks."""
PRIORITY = 40
"""Of the main thread: behind control, ahead of all that computes. A stop waits for nobody's pictures or networks."""
KEYBOARDS = ("teleop.keyboard.", "teleop.browser.", "teleop.guide.")


class ServiceError(RobotStackError):
    """A session that could not go on: which worker ended, how, and the end of its log."""


def collect(cfg: DictConfig) -> int:
    """The verb `collect`: whoever is at the teleoperation device flies; episodes go to a store."""
    return Service("collect", _plain(cfg)).run()


def deploy(cfg: DictConfig) -> int:
    """The verb `deploy`: a checkpoint flies; whoever is at the teleoperation device can take over."""
    config = _plain(cfg)
    keys = ("checkpoint", "execute", "steps", "sampler", "guidance", "precision", "goal", "language")
    policy = {key: config[key] for key in keys}
    return Service("deploy", config, ("inference", policy), {"checkpoint": str(config["checkpoint"])}).run()


def replay(cfg: DictConfig) -> int:
    """The verb `replay`: a stored episode is flown again, in simulation from the start state that it had."""
    config = _plain(cfg)
    episode = find(Path(config["source"]), config["episode"])
    script = {"source": config["source"], "episode": episode.id}
    config["seed"] = episode.attrs.get("seed", config["seed"])
    return Service("replay", config, ("replay", script), {"replayed": episode.id}).run()


class Service:
    """One session. proposer: kind and config of the worker that publishes chunks. attrs: stored with each episode."""

    def __init__(
        self,
        verb: str,
        config: dict[str, Any],
        proposer: tuple[str, dict[str, Any]] | None = None,
        attrs: dict[str, Any] | None = None,
    ) -> None:
        self.verb, self.config = verb, config
        self.session = f"{verb}-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
        self.folder = Path(tempfile.gettempdir()) / f"robot-stack-{os.getuid()}" / "logs" / self.session
        self.station = cell.station(config)
        self.store = None if config["store"] is None else Path(config["store"]).absolute()
        self.director = Director(_rules(verb, config))
        self.status: dict[str, Any] = {"phase": Phase.IDLE.value}
        self._jobs = _jobs(verb, config, self.station, self.store, proposer, attrs or {})
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._wake, self._waker = socket.socketpair()
        self._commands: Commands | None = None
        self._speed = float(config["robot"]["speed"])
        self._interrupted_at: float | None = None
        self._phase = Phase.IDLE

    def order(self, order: Order) -> None:
        """Obey, as soon as the main thread wakes; may be called from any thread."""
        self._orders.put(order)
        self._waker.send(b"\0")

    def override(self, speed: float) -> None:
        """Fly at this part of the limits from now on, 0..1; may be called from any thread."""
        self._speed = speed

    def run(self) -> int:
        """The whole session; returns the exit code. Raises what is wrong, after everything has been stopped."""
        server = Server(self.config["host"], self.config["port"])
        try:
            clean_dead_nodes()
            with self._signals(), _ahead(PRIORITY), SharedBus(self.session) as bus:
                return self._serve(bus, server)
        finally:
            server.stop()
            self._wake.close()
            self._waker.close()

    def _serve(self, bus: SharedBus, server: Server) -> int:
        self._requests, self._episodes = bus.publisher(REQUEST), bus.publisher(EPISODE)
        self._chunks = bus.publisher(self.station.chunk)
        self._board = Board(bus, self.station, self.config["robot"]["name"])
        self._supervisor = Supervisor(self._jobs, self.session, self.folder, bus)
        self._decide()
        server.start(app(self, bus, self.station, self.store))
        self._say(f"{self.verb}: page at {server.url}, logs in {self.folder}")
        try:
            self._supervisor.start()
            with self._terminal(bus):
                self._loop()
        finally:
            self._supervisor.stop()
            server.stop()  # before the bus is closed that its pages listen to
        self._say(f"ended: {self.director.finished} episodes{f' in {self.store}' if self.store else ''}")
        if self.director.error is not None:
            raise ServiceError(f"{self.director.error}; logs in {self.folder}")
        return 0 if self._interrupted_at is None else INTERRUPTED

    def _loop(self) -> None:
        """Until the director is done, or cannot be waited for any longer."""
        due = now()
        while self.director.phase is not Phase.DONE:
            self._supervisor.wait(due - now(), self._wake.fileno())
            if now() >= due:
                due = max(due + PERIOD, now())
            self._supervisor.check()
            self._react()
            if self._supervisor.failure is not None:
                self._request(Mode.STOP)
                raise ServiceError(self._supervisor.failure)
            if self._interrupted_at is not None and now() - self._interrupted_at > ENDING:
                return
            self._decide()

    def _react(self) -> None:
        """Say what happened to workers. What a lost policy had planned is not flown on: nobody would mend it."""
        for event in self._supervisor.events:
            self._say(event.words)
            if event.kind == "control":
                self.director.lose_arm()
            if event.kind in PROPOSERS:
                self._chunks.send(cell.no_chunk(self.station, now()))
        self._supervisor.events.clear()

    def _decide(self) -> None:
        """One step of the director; publish what it wants."""
        time = now()
        self._board.update()
        whole = self._supervisor.missing <= PROPOSERS
        inputs = self._board.inputs(time, self._supervisor.ready, whole, self._new_orders())
        commands = self.director.step(time, inputs)
        self._request(commands.mode, commands.reset, commands.recover)
        self._publish_episode(commands)
        self._commands = commands
        self.status = self._board.status(time, self.director, commands) | {
            "verb": self.verb,
            "session": self.session,
            "station": self.station.name,
            "task": self.config["task"]["name"],
            "cameras": {name: list(size) for name, size in self.station.cameras.items()},
            "keys": _has_keys(self.config),
            "speed": self._speed,
            "workers": self._supervisor.status(),
        }
        if not inputs.alive and self.director.phase is Phase.IDLE and self._supervisor.waiting_for:
            self.status["note"] = f"starting {', '.join(self._supervisor.waiting_for)}"
        self._tell_phase()

    def _request(self, mode: Mode, reset: bool = False, recover: bool = False) -> None:
        self._requests.send(REQUEST.spec.record(time=now(), mode=mode, reset=reset, recover=recover, speed=self._speed))

    def _publish_episode(self, commands: Commands) -> None:
        said = self._commands
        if said is None or (said.number, said.recording) != (commands.number, commands.recording):
            self._episodes.send(
                EPISODE.spec.record(
                    time=now(),
                    number=commands.number,
                    recording=commands.recording,
                    verdict=commands.verdict,
                    seed=commands.seed,
                )
            )

    def _new_orders(self) -> list[Order]:
        orders = []
        while not self._orders.empty():
            orders.append(self._orders.get())
        self._wake.setblocking(False)
        with suppress(BlockingIOError):
            self._wake.recv(4096)
        return orders

    def _tell_phase(self) -> None:
        """A line on the terminal when something has changed."""
        phase, self._phase = self._phase, self.director.phase
        if phase is self._phase:
            return
        if phase is Phase.RECORDING:
            self._say(self.director.note)
        elif self._phase is Phase.IDLE:
            reason = f": {self.status['reason']}" if self.status["mode"] == "stop" else ""
            self._say(self.director.note + reason)
        elif phase is Phase.IDLE and self._phase is not Phase.DONE:
            self._say("all streams are there")

    def _say(self, words: str) -> None:
        print(words, flush=True)

    def _terminal(self, bus: SharedBus) -> AbstractContextManager[object]:
        """The keys of this terminal, where the operator flies by keys and there is a terminal."""
        if not (_has_keys(self.config) and terminal.available()):
            return nullcontext()
        self._say(f"keys here too: {terminal.HELP}")
        return terminal.Terminal(bus.publisher(KEYS).send, lambda: self.order(Order.STOP))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the session in order, the second time at once."""

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._interrupted_at is not None:
                raise KeyboardInterrupt
            self._interrupted_at = now()
            self.order(Order.QUIT)

        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _ahead(priority: int) -> Iterator[None]:
    """This thread in real-time priority, if the system grants it; not the threads and processes that it starts."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _plain(cfg: DictConfig) -> dict[str, Any]:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return {"teleop": None, **config}  # Hydra leaves out a group whose choice is null


def _rules(verb: str, config: dict[str, Any]) -> Rules:
    return Rules(
        auto=config["auto"],
        simulated=config["robot"]["world"] is not None,
        hardware=config["robot"]["hardware"],
        recorded=config["store"] is not None,
        episodes=config["episodes"],
        time_limit=config["time_limit"],
        success_hold=config["success_hold"],
        seed=config["seed"],
        same_start=verb == "replay",
    )


def _jobs(
    verb: str,
    config: dict[str, Any],
    station: Station,
    store: Path | None,
    proposer: tuple[str, dict[str, Any]] | None,
    attrs: dict[str, Any],
) -> list[Job]:
    """The workers of a session, those first that take longest to start."""
    robot = config["robot"]
    shared = {"station": cell.to_json(station), "robot": robot["name"], "task": config["task"]["name"]}
    jobs = []
    if robot["world"] is not None:
        jobs.append(Job("world", "world", {**shared, "driver": robot["world"]}))
    if proposer is not None:
        kind, own = proposer
        jobs.append(Job(kind, kind, {**shared, **own}))
    for name, driver in robot["cameras"].items():
        jobs.append(Job("camera", f"camera.{name}", {**shared, "camera": name, "driver": driver}))
    jobs.append(Job("control", "control", {**shared, "driver": robot["arm"], "limits": robot["limits"]}))
    jobs.append(Job("gripper", "gripper", {**shared, "driver": robot["gripper"]}))
    if config["teleop"] is not None:
        jobs.append(Job("operator", "operator", {**shared, "driver": config["teleop"]}))
    if store is not None:
        whole = {"kind": verb, "task": config["task"]["name"], **_said(config), **attrs}
        recorder = {"store": str(store), "codec": config["codec"], "attrs": whole}
        jobs.append(Job("recorder", "recorder", {**shared, **recorder}))
    return jobs


def _said(config: dict[str, Any]) -> dict[str, Any]:
    """What the person who starts a session says of it, for each of its episodes."""
    said = {name: config[name] for name in ("operator", "language", "scene")}
    if config["calibration"] is None:
        return said
    path = Path(config["calibration"])
    try:
        return {**said, "calibration": json.loads(path.read_text())}
    except (OSError, ValueError) as error:
        raise ConfigError(f"calibration={path}: expected a file of JSON, found: {error}") from error


def _has_keys(config: dict[str, Any]) -> bool:
    return config["teleop"] is not None and config["teleop"]["_target_"].startswith(KEYBOARDS)
