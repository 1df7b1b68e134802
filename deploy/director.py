"""The episode state machine: what happens around the flying. Pure logic: newest messages and orders in, commands out.

    IDLE -> HOMING -> READY -> RECORDING -> ENDING -> HOMING or READY ... -> DONE

In auto mode episodes follow one another until `episodes` are recorded; in manual mode a person starts and ends each.
Whoever says "hold" between or in them is obeyed in auto mode too: nothing begins until "run", "start" or "home".
A stop, whoever made it, ends an open episode and leads back to IDLE, where only a reset leads on. When the arm's own
controller stopped it, a person first has that fault cleared: "recover", then "reset", then "run", and each is a word of
its own, because in between somebody stands at the arm.

On hardware nothing moves by itself: neither at the start of a session nor after a reset, before a person says so.
"""

from dataclasses import dataclass
from enum import Enum

from robot_stack.types import Mode


class Phase(Enum):
    """Where in its life the session's episode is."""

    IDLE = "idle"  # not all streams are there yet, or the robot is stopped
    HOMING = "homing"
    READY = "ready"
    RECORDING = "recording"
    ENDING = "ending"  # the recorder is writing
    DONE = "done"


class Order(Enum):
    """What a person can ask for, by a button or a key."""

    HOLD = "hold"
    RUN = "run"
    STOP = "stop"
    RESET = "reset"
    RECOVER = "recover"
    HOME = "home"
    START = "start"
    SUCCESS = "success"
    FAIL = "fail"
    DISCARD = "discard"
    QUIT = "quit"


TRANSITIONS = {
    Phase.IDLE: {Phase.HOMING, Phase.READY, Phase.DONE},
    Phase.HOMING: {Phase.IDLE, Phase.READY, Phase.DONE},
    Phase.READY: {Phase.IDLE, Phase.HOMING, Phase.RECORDING, Phase.DONE},
    Phase.RECORDING: {Phase.ENDING},
    Phase.ENDING: {Phase.IDLE, Phase.HOMING, Phase.READY, Phase.DONE},
    Phase.DONE: set(),
}
"""Every move there is."""

ALWAYS = {Order.STOP, Order.RESET, Order.RECOVER, Order.QUIT}
VERDICTS = {Order.SUCCESS: 1, Order.FAIL: 0, Order.DISCARD: -2}

ORDERS = {
    Phase.IDLE: ALWAYS,
    Phase.HOMING: ALWAYS | {Order.HOLD},
    Phase.READY: ALWAYS | {Order.HOLD, Order.RUN, Order.HOME, Order.START},
    Phase.RECORDING: ALWAYS | {Order.HOLD, Order.RUN, *VERDICTS},
    Phase.ENDING: ALWAYS,
    Phase.DONE: ALWAYS,
}
"""The orders that mean something in each phase; others are refused with words, see `refusal`."""

SUCCESS, FAILURE, UNKNOWN, DISCARD = 1, 0, -1, -2

SETTLE = 0.5
"""Rest between a reset of the simulated world and the start of an episode [s]."""
RECORDER_PATIENCE = 20.0
"""Longest wait for the recorder to open an episode [s]."""
WRITING_PATIENCE = 120.0
"""Longest wait for the recorder to write one: ten minutes of three cameras are gigabytes [s]."""
RECORDER_NOTICE = 0.3
"""The recorder has heard of the end of an episode for certain after this long [s]."""
HOMING_PATIENCE = 120.0
"""Longest way home [s]: at a tenth of the speed it takes most of a minute."""
RESET_TIME = 0.5
"""A reset or a recovery that did not begin within this long is forgotten: the arm must not wake up later [s]."""
STOPPED_PAUSE = 1.0
"""In auto mode in simulation a stop by safety is shown this long, then reset [s]."""
MAX_INTERRUPTIONS = 5
"""So many interruptions without one whole episode between them end an auto session."""


@dataclass(frozen=True)
class Rules:
    """What a session is meant to do.

    auto: episodes start and end by themselves. simulated: the world is reset before each episode. hardware: only a
    person clears a stop, and nothing moves before a person said so. recorded: there is a recorder to wait for.
    episodes: end after so many, 0 never. time_limit: longest episode [s]. success_hold: how long the task's own success
    must last to end an auto episode [s]. seed: of the first start state; the next episodes count on from it, unless
    same_start.
    """

    auto: bool
    simulated: bool
    hardware: bool
    recorded: bool = True
    episodes: int = 0
    time_limit: float = 60.0
    success_hold: float = 0.5
    seed: int = 0
    same_start: bool = False


@dataclass(frozen=True)
class Inputs:
    """What the newest messages say.

    alive: every stream has arrived and is fresh. whole: every worker runs, but for the one that proposes. mode: of the
    control loop. fault: the arm's own controller has one. home: the arm rests at its home. success: the task's own
    verdict now. world: number of the episode that the world stands ready for. verdict: the operator's. open: number of
    the episode that the recorder writes, -1 none. committed: how many this recorder has committed, -1 not known.
    orders: new ones since the last step.
    """

    alive: bool = True
    whole: bool = True
    mode: Mode = Mode.HOLD
    fault: bool = False
    home: bool = False
    success: bool = False
    world: int = 0
    verdict: int = UNKNOWN
    open: int = -1
    committed: int = -1
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True)
class Commands:
    """What to publish: the request to control, and the episode to recorder, operator and world."""

    mode: Mode
    reset: bool
    recover: bool
    number: int
    recording: bool
    verdict: int
    seed: int


def refusal(phase: Phase, order: Order) -> str | None:
    """Why this order means nothing now, or None if it does."""
    if order in ORDERS[phase]:
        return None
    valid = ", ".join(sorted(valid.value for valid in ORDERS[phase] - {Order.QUIT}))
    return f"{order.value} is not possible while {phase.value}; possible now: {valid}"


class Director:
    """Steps through episodes. To be read: `phase`, `number`, `finished` (whole episodes), `verdict`, `note` and
    `error` (sentences)."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.phase = Phase.IDLE
        self.number = 0
        self.finished = 0
        self.note = "waiting for all streams"
        self.error: str | None = None
        self.since = float("-inf")  # when this phase began [s]
        self.verdict = UNKNOWN
        self._wanted = Mode.HOLD
        self._stopped = ""  # by whom or what that only a person clears
        self._held = rules.hardware  # by a person
        self._lost = False  # the arm's driver ended, and is not back
        self._resetting, self._reset_at = False, float("-inf")
        self._recover_at = float("-inf")
        self._start = False
        self._quitting = False
        self._interruptions = 0
        self._opened = False  # the recorder has opened this episode
        self._committed = -1  # episodes that it had committed then
        self._undecided = False  # the operator's verdict of the episode before is gone
        self._success_since: float | None = None
        self._phases = {
            Phase.IDLE: self._idle,
            Phase.HOMING: self._homing,
            Phase.READY: self._ready,
            Phase.RECORDING: self._recording,
            Phase.ENDING: self._ending,
            Phase.DONE: self._done,
        }

    def step(self, now: float, inputs: Inputs) -> Commands:
        """One decision at `now` [s]; call it at least ten times a second and at each order."""
        for order in inputs.orders:
            if refusal(self.phase, order) is None:
                self._obey(now, order)
        if inputs.mode is not Mode.STOP or now - self._reset_at > RESET_TIME:
            self._resetting = False
        self._phases[self.phase](now, inputs)
        return self._commands(now, inputs)

    def _commands(self, now: float, inputs: Inputs) -> Commands:
        modes = {Phase.HOMING: Mode.HOME, Phase.READY: self._wanted, Phase.RECORDING: self._wanted}
        mode = Mode.STOP if self._stopped else modes.get(self.phase, Mode.HOLD)
        if self._resetting or (mode is Mode.RUN and not inputs.whole):
            mode = Mode.HOLD  # without a camera, the person's device or the record nobody flies on
        recording = self.phase is Phase.RECORDING
        seed = self.rules.seed + (0 if self.rules.same_start else max(0, self.number - 1))
        recover = now - self._recover_at < RESET_TIME
        return Commands(mode, self._resetting, recover, self.number, recording, self.verdict, seed)

    def lose_arm(self) -> None:
        """The arm's driver ended. The arm has come to rest by itself; where it is, on hardware, a person looks."""
        self._lost = True
        if self.rules.hardware:
            self._stopped = "the loss of the arm's driver"

    def _obey(self, now: float, order: Order) -> None:
        if order in VERDICTS:
            self._end(now, VERDICTS[order], f"{order.value}, said the person at the page")
        elif order is Order.STOP:
            self._stopped, self._resetting = "a person", False
        elif order is Order.RESET:
            self._stopped, self._held = "", self._held or self.rules.hardware
            self._reset(now)
        elif order is Order.RECOVER:
            self._recover_at = now
        elif order is Order.QUIT:
            self._quitting = True
        else:
            self._held = order is Order.HOLD
            self._fly(now, order)

    def _fly(self, now: float, order: Order) -> None:
        if order is Order.START:
            self._start = True
        elif order is Order.HOME:
            self._go(now, Phase.HOMING, "going home")
        elif self.phase is Phase.HOMING:
            self._prepare(now)
        else:
            self._wanted = Mode.RUN if order is Order.RUN else Mode.HOLD

    def _idle(self, now: float, inputs: Inputs) -> None:
        if self._quitting:
            self._go(now, Phase.DONE, "ended")
        elif inputs.fault:
            self.note = "stopped by the arm's own controller: look at the arm, then recover"
        elif self._stopped:
            self.note = f"stopped by {self._stopped}: reset to go on"
        elif inputs.mode is Mode.STOP:
            self.note = "stopped by safety: reset to go on"
            if self.rules.auto and not self.rules.hardware and now - self.since >= STOPPED_PAUSE:
                self._reset(now)
        elif not inputs.alive:
            self.note = "waiting for all streams"
        else:
            self._lost = False
            self._next(now)

    def _homing(self, now: float, inputs: Inputs) -> None:
        if self._quitting:
            self._go(now, Phase.DONE, "ended on the way home")
        elif self._halted(inputs):
            self._interrupt(now, "stopped on the way home")
        elif inputs.home:
            self._prepare(now)
        elif now - self.since >= HOMING_PATIENCE:
            self._interrupt(now, f"not home after {HOMING_PATIENCE:.0f} s")

    def _ready(self, now: float, inputs: Inputs) -> None:
        if self._quitting:
            self._go(now, Phase.DONE, "ended")
        elif self._halted(inputs):
            self._interrupt(now, "stopped")
        elif not self._set_up(now, inputs):
            self.note = "the world is being reset"
        elif not inputs.alive:
            self.note = "waiting for all streams"
        elif self._start:
            self._begin(now)
        elif self.rules.auto and self._held:
            self.note = "nothing moves: run to go on" if self.rules.hardware else "held by a person: run to go on"
        elif self.rules.auto and self.rules.hardware and not inputs.home:
            self._go(now, Phase.HOMING, "going home")
        elif self.rules.auto:
            self._begin(now)
        else:
            self.note = "ready: start an episode"

    def _recording(self, now: float, inputs: Inputs) -> None:
        ending = self._verdict(now, inputs)
        if ending is not None:
            self._end(now, *ending)
        elif not inputs.whole and self.rules.hardware and self._wanted is Mode.RUN:
            self._wanted, self.note = Mode.HOLD, "a worker was lost: run to go on"

    def _ending(self, now: float, inputs: Inputs) -> None:
        waited = now - self.since
        self._watch(inputs)
        writing = inputs.open == self.number or waited < RECORDER_NOTICE
        if self.rules.recorded and writing:
            if waited >= WRITING_PATIENCE:
                self._interrupt(now, "the recorder does not finish writing")
            return
        lost = self.rules.recorded and not self._is_written(inputs)
        if self.verdict != DISCARD and not lost:
            self.finished += 1
            self._interruptions = 0
        if self._quitting or 0 < self.rules.episodes <= self.finished:
            self._go(now, Phase.DONE, f"{self.finished} episodes")
        elif self._halted(inputs):
            self._interrupt(now, "stopped")
        elif lost:
            died = "the recorder died in it: what it had written comes in without a verdict"
            self._interrupt(now, died if self._opened else "the recorder wrote nothing")
        else:
            self._next(now)

    def _done(self, now: float, inputs: Inputs) -> None:
        """Nothing leads out of here."""

    def _verdict(self, now: float, inputs: Inputs) -> tuple[int, str] | None:
        """What ends this episode now, and why; None while it goes on."""
        length = now - self.since
        self._watch(inputs)
        self._undecided |= inputs.verdict == UNKNOWN
        self._success_since = (self._success_since or now) if inputs.success else None
        auto = self.rules.auto
        if self._quitting:
            return UNKNOWN, "the session ends"
        if self._halted(inputs):
            return (FAILURE if auto and not self._stopped else UNKNOWN), "stopped"
        if self.rules.recorded and inputs.open != self.number and (self._opened or length > RECORDER_PATIENCE):
            return DISCARD, "the recorder lost it"
        if self._undecided and inputs.verdict != UNKNOWN:
            return inputs.verdict, "said the operator"
        if auto and self._success_since is not None and now - self._success_since >= self.rules.success_hold:
            return SUCCESS, f"the task was done for {self.rules.success_hold:.1f} s"
        if length >= self.rules.time_limit:
            return (FAILURE if auto else UNKNOWN), f"over after {self.rules.time_limit:.0f} s"
        return None

    def _watch(self, inputs: Inputs) -> None:
        if inputs.open == self.number and not self._opened:
            self._opened, self._committed = True, inputs.committed

    def _is_written(self, inputs: Inputs) -> bool:
        """The recorder has committed this episode, or discarded it as it was told to; a new recorder has not."""
        if self.verdict == DISCARD or self._committed < 0:
            return self._opened
        return self._opened and inputs.committed == self._committed + 1

    def _reset(self, now: float) -> None:
        self._resetting, self._reset_at = True, now

    def _halted(self, inputs: Inputs) -> bool:
        return bool(self._stopped) or self._lost or inputs.mode is Mode.STOP

    def _set_up(self, now: float, inputs: Inputs) -> bool:
        """The simulated world stands at this episode's start, and has come to rest."""
        return not self.rules.simulated or (inputs.world == self.number and now - self.since >= SETTLE)

    def _next(self, now: float) -> None:
        if (self.rules.auto or self.rules.simulated) and not self._held:
            self._go(now, Phase.HOMING, "going home")
        else:
            self._prepare(now)

    def _prepare(self, now: float) -> None:
        """Ready for a new episode; its new number also resets a simulated world."""
        self._go(now, Phase.READY, "ready: start an episode")
        self.number += 1
        self.verdict = UNKNOWN
        self._start = False
        self._wanted = Mode.HOLD

    def _begin(self, now: float) -> None:
        self._go(now, Phase.RECORDING, "")
        self._wanted = Mode.RUN
        self._opened = self._undecided = False
        self._success_since = None

    def _end(self, now: float, verdict: int, why: str) -> None:
        word = {SUCCESS: "success", FAILURE: "failure", UNKNOWN: "no verdict", DISCARD: "discarded"}[verdict]
        self._go(now, Phase.ENDING, f"episode {self.number}: {word}, {why}")
        self.verdict = verdict
        self._wanted = Mode.HOLD

    def _interrupt(self, now: float, why: str) -> None:
        self._interruptions += 1
        if self.rules.auto and self._interruptions >= MAX_INTERRUPTIONS:
            self.error = f"given up after {self._interruptions} interruptions in a row, the last: {why}"
            self._go(now, Phase.DONE, self.error)
        else:
            self._go(now, Phase.IDLE, why)

    def _go(self, now: float, phase: Phase, note: str) -> None:
        if phase not in TRANSITIONS[self.phase]:
            raise ValueError(f"no way from {self.phase.value} to {phase.value}")
        self.phase, self.since, self.note = phase, now, note
