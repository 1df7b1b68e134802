"""The episode state machine, without processes: every move, every order, every end of an episode."""

from dataclasses import replace

import pytest

from deploy.director import (
    DISCARD,
    FAILURE,
    HOMING_PATIENCE,
    MAX_INTERRUPTIONS,
    ORDERS,
    RECORDER_NOTICE,
    SETTLE,
    STOPPED_PAUSE,
    SUCCESS,
    TRANSITIONS,
    UNKNOWN,
    VERDICTS,
    WRITING_PATIENCE,
    Commands,
    Director,
    Inputs,
    Order,
    Phase,
    Rules,
    refusal,
)
from robot_stack.types import Mode

AUTO = Rules(auto=True, simulated=True, hardware=False, episodes=2, time_limit=10.0, success_hold=0.5, seed=100)
HARDWARE = replace(AUTO, simulated=False, hardware=True)
MANUAL = Rules(auto=False, simulated=False, hardware=True, time_limit=10.0)


class Session:
    """A director in a make-believe session: a recorder and a world that follow, and a clock."""

    def __init__(self, rules: Rules) -> None:
        self.director = Director(rules)
        self.inputs = Inputs()
        self.now = 0.0
        self.commands: Commands | None = None

    @property
    def phase(self) -> Phase:
        return self.director.phase

    def step(self, *orders: Order, after: float = 0.1, **changes: object) -> Commands:
        self.now += after
        self.inputs = replace(self.inputs, orders=orders, **changes)  # type: ignore[arg-type]
        self.commands = self.director.step(self.now, self.inputs)
        following = {"world": self.commands.number, "open": self.commands.number if self.commands.recording else -1}
        self.inputs = replace(self.inputs, **following)  # type: ignore[arg-type]
        return self.commands

    def until(self, phase: Phase, limit: float = 5.0) -> "Session":
        """Step with an arm that gets home at once."""
        start = self.now
        while self.phase is not phase:
            self.step(home=True)
            assert self.now - start < limit, f"stuck in {self.phase} on the way to {phase}: {self.director.note}"
        self.inputs = replace(self.inputs, home=False)
        return self


def test_auto_session_records_its_episodes_and_is_done() -> None:
    session = Session(AUTO)
    phases = []
    seeds = []
    while session.phase is not Phase.DONE:
        commands = session.step(home=True, success=session.phase is Phase.RECORDING)
        if commands.recording:
            seeds.append(commands.seed)
        if not phases or phases[-1] is not session.phase:
            phases.append(session.phase)
    episode = [Phase.HOMING, Phase.READY, Phase.RECORDING, Phase.ENDING]
    assert phases == [*episode, *episode, Phase.DONE]
    assert session.director.finished == 2
    assert set(seeds) == {100, 101}
    assert session.director.error is None


@pytest.mark.parametrize(
    ("phase", "mode"),
    [
        (Phase.HOMING, Mode.HOME),
        (Phase.READY, Mode.HOLD),
        (Phase.RECORDING, Mode.RUN),
        (Phase.ENDING, Mode.HOLD),
    ],
)
def test_each_phase_asks_control_for_its_mode(phase: Phase, mode: Mode) -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    if phase is Phase.ENDING:
        session.step(Order.SUCCESS)
    elif phase is not Phase.RECORDING:
        session = Session(AUTO)
        session.step()
        if phase is Phase.READY:
            session.step(home=True)
    assert session.phase is phase
    assert session.commands is not None
    assert session.commands.mode is mode


def test_nothing_begins_before_all_streams_are_there() -> None:
    session = Session(AUTO)
    for _ in range(100):
        commands = session.step(alive=False, home=True)
    assert session.phase is Phase.IDLE
    assert commands.mode is Mode.HOLD
    assert "waiting" in session.director.note


def test_episode_waits_until_the_world_is_reset_and_at_rest() -> None:
    session = Session(AUTO).until(Phase.READY)
    for _ in range(50):
        session.step(world=0)
    assert session.phase is Phase.READY
    session.step(world=session.director.number)
    assert session.phase is Phase.RECORDING
    fresh = Session(AUTO).until(Phase.READY)
    fresh.step(after=SETTLE / 2)
    assert fresh.phase is Phase.READY


def test_success_must_last_before_it_ends_an_auto_episode() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step(success=True)
    session.step(success=True, after=0.3)
    session.step(success=False)
    session.step(success=True, after=0.3)
    assert session.phase is Phase.RECORDING
    commands = session.step(success=True, after=0.6)
    assert session.phase is Phase.ENDING
    assert commands.verdict == SUCCESS
    assert not commands.recording


@pytest.mark.parametrize(("rules", "verdict"), [(AUTO, FAILURE), (MANUAL, UNKNOWN)])
def test_time_limit_is_a_failure_unless_a_person_is_to_judge(rules: Rules, verdict: int) -> None:
    session = Session(rules).until(Phase.READY)
    if not rules.auto:
        session.step(Order.START)
    session.until(Phase.RECORDING)
    assert session.step(after=rules.time_limit).verdict == verdict
    assert session.phase is Phase.ENDING


def test_manual_success_of_the_task_does_not_end_the_episode_for_the_person() -> None:
    session = Session(MANUAL).until(Phase.READY)
    session.step(Order.START)
    for _ in range(20):
        session.step(success=True)
    assert session.phase is Phase.RECORDING


@pytest.mark.parametrize("order", list(VERDICTS))
def test_person_ends_an_episode_with_a_verdict(order: Order) -> None:
    session = Session(MANUAL).until(Phase.READY)
    session.step(Order.START)
    assert session.phase is Phase.RECORDING
    assert session.step(order).verdict == VERDICTS[order]
    session.until(Phase.READY)
    assert session.director.finished == (0 if order is Order.DISCARD else 1)


def test_operator_ends_an_episode_but_not_with_the_verdict_of_the_one_before() -> None:
    session = Session(AUTO).until(Phase.READY)
    session.step(verdict=1, after=1.0)
    assert session.phase is Phase.RECORDING
    session.step(verdict=1)
    assert session.phase is Phase.RECORDING
    session.step(verdict=-1)
    assert session.step(verdict=0).verdict == FAILURE
    assert session.phase is Phase.ENDING


def test_end_waits_for_the_recorder() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    number = session.director.number
    session.step(Order.SUCCESS)
    for _ in range(30):
        session.step(open=number)
    assert session.phase is Phase.ENDING
    session.step(open=-1)
    assert session.phase is Phase.HOMING
    assert session.director.finished == 1


def test_end_gives_the_recorder_time_to_hear_of_it() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step(Order.SUCCESS)
    session.step(open=-1, after=RECORDER_NOTICE / 2)
    assert session.phase is Phase.ENDING


def test_recorder_that_never_finishes_is_an_interruption_not_an_episode() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step(Order.SUCCESS)
    session.step(open=session.director.number, after=WRITING_PATIENCE)
    assert session.phase is Phase.IDLE
    assert session.director.finished == 0
    assert "recorder" in session.director.note


def test_episode_that_the_recorder_lost_is_discarded() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step()
    assert session.step(open=-1).verdict == DISCARD
    assert session.phase is Phase.ENDING


@pytest.mark.parametrize(("before", "after", "finished"), [(3, 4, 1), (3, 3, 0), (3, 0, 0), (0, 0, 0), (0, 1, 1)])
def test_an_episode_counts_when_its_recorder_has_committed_it(before: int, after: int, finished: int) -> None:
    session = Session(AUTO)
    session.inputs = replace(session.inputs, committed=before)
    session.until(Phase.RECORDING).step()
    session.step(Order.SUCCESS)
    session.step(open=-1, committed=after, after=2 * RECORDER_NOTICE)
    assert session.director.finished == finished
    assert session.phase is (Phase.HOMING if finished else Phase.IDLE)
    assert finished or "the recorder died in it" in session.director.note


def test_without_a_recorder_nobody_is_waited_for() -> None:
    session = Session(replace(AUTO, recorded=False)).until(Phase.RECORDING)
    session.step(Order.SUCCESS, open=-1)
    session.step(open=-1)
    assert session.phase is Phase.HOMING


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DONE])
def test_stop_is_latched_in_every_phase_until_a_reset(phase: Phase) -> None:
    session = _in(phase)
    assert session.step(Order.STOP).mode is Mode.STOP
    for _ in range(20):
        assert session.step(mode=Mode.STOP).mode is Mode.STOP
    assert session.phase is Phase.IDLE
    for refused in (Order.RUN, Order.START, Order.HOME):
        assert session.step(refused).mode is Mode.STOP
    commands = session.step(Order.RESET)
    assert (commands.mode, commands.reset) == (Mode.HOLD, True)
    assert session.step(mode=Mode.HOLD).reset is False
    assert session.phase is Phase.HOMING


def test_safety_stop_ends_the_episode_as_a_failure_and_simulation_goes_on_by_itself() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    assert session.step(mode=Mode.STOP).verdict == FAILURE
    session.step(mode=Mode.STOP, after=1.0)
    assert session.phase is Phase.IDLE
    commands = session.step(mode=Mode.STOP, after=STOPPED_PAUSE)
    assert commands.reset
    assert commands.mode is Mode.HOLD
    session.step(mode=Mode.HOLD)
    assert session.phase is Phase.HOMING


def flying(rules: Rules) -> Session:
    """A session on hardware that a person let run."""
    session = Session(rules).until(Phase.READY)
    session.step(Order.RUN)
    return session.until(Phase.RECORDING)


def test_nothing_moves_on_hardware_before_a_person_says_so() -> None:
    session = Session(HARDWARE)
    for _ in range(100):
        assert session.step().mode is Mode.HOLD
    assert (session.phase, session.director.note) == (Phase.READY, "nothing moves: run to go on")
    assert session.step(Order.RUN).mode is Mode.HOME, "an episode begins at home"
    assert session.until(Phase.RECORDING).commands.mode is Mode.RUN  # type: ignore[union-attr]


def test_nothing_moves_on_hardware_after_a_reset() -> None:
    session = flying(HARDWARE)
    session.step(mode=Mode.STOP)
    session.step(Order.RESET, mode=Mode.STOP)
    for _ in range(100):
        assert session.step(mode=Mode.HOLD).mode is Mode.HOLD
    assert session.phase is Phase.READY


def test_a_fault_of_the_arms_controller_is_cleared_by_a_persons_word_once() -> None:
    session = flying(HARDWARE)
    for _ in range(20):
        assert not session.step(mode=Mode.STOP, fault=True).recover
    assert session.director.note == "stopped by the arm's own controller: look at the arm, then recover"
    assert session.step(Order.RECOVER).recover
    for _ in range(20):
        commands = session.step()
    assert not commands.recover
    assert not commands.reset
    session.step(fault=False)
    assert session.director.note == "stopped by safety: reset to go on"


@pytest.mark.parametrize("rules", [AUTO, HARDWARE])
def test_a_lost_driver_of_the_arm_ends_the_episode_and_on_hardware_waits_for_a_person(rules: Rules) -> None:
    session = flying(rules) if rules.hardware else Session(rules).until(Phase.RECORDING)
    session.director.lose_arm()
    commands = session.step(alive=False)
    assert (session.phase, commands.verdict) == (Phase.ENDING, UNKNOWN if rules.hardware else FAILURE)
    for _ in range(20):
        commands = session.step(alive=False)
    assert commands.mode is (Mode.STOP if rules.hardware else Mode.HOLD)
    for _ in range(20):
        commands = session.step(alive=True)
    if rules.hardware:
        assert (session.phase, commands.mode) == (Phase.IDLE, Mode.STOP)
        assert session.director.note == "stopped by the loss of the arm's driver: reset to go on"
        session.step(Order.RESET)
    assert session.until(Phase.READY)


@pytest.mark.parametrize("rules", [AUTO, HARDWARE])
def test_nobody_flies_on_without_a_worker_and_on_hardware_a_person_lets_it_go_on(rules: Rules) -> None:
    session = flying(rules) if rules.hardware else Session(rules).until(Phase.RECORDING)
    assert session.step().mode is Mode.RUN
    assert session.step(whole=False, alive=False).mode is Mode.HOLD
    assert session.phase is Phase.RECORDING
    assert session.step(whole=True, alive=True).mode is (Mode.HOLD if rules.hardware else Mode.RUN)
    assert session.step(Order.RUN).mode is Mode.RUN


def test_safety_stop_on_hardware_waits_for_a_person() -> None:
    session = flying(HARDWARE)
    for _ in range(100):
        assert not session.step(mode=Mode.STOP).reset
    assert session.phase is Phase.IDLE
    assert "reset" in session.director.note
    assert session.step(Order.RESET).reset


def test_a_reset_that_did_not_succeed_is_forgotten() -> None:
    session = flying(HARDWARE)
    session.step(mode=Mode.STOP)
    assert session.step(Order.RESET).reset
    for _ in range(20):
        commands = session.step(mode=Mode.STOP)
    assert not commands.reset, "the arm would move as soon as the fault is mended, with a person at it"
    assert session.step(Order.RESET).reset


def test_an_episode_that_the_recorder_never_opened_does_not_count() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step(open=-1)
    session.step(Order.SUCCESS, open=-1)
    session.step(open=-1)
    session.step(open=-1, after=RECORDER_NOTICE)
    assert session.phase is Phase.IDLE
    assert session.director.finished == 0
    assert "recorder" in session.director.note


def test_stop_by_a_person_is_not_reset_by_the_machine() -> None:
    session = Session(AUTO).until(Phase.RECORDING)
    session.step(Order.STOP)
    for _ in range(100):
        assert not session.step(mode=Mode.STOP).reset


def test_auto_session_gives_up_after_many_interruptions_and_says_why() -> None:
    session = Session(AUTO)
    for _ in range(2 * MAX_INTERRUPTIONS):
        session.step()
        session.step(after=HOMING_PATIENCE)
    assert session.phase is Phase.DONE
    assert session.director.error is not None
    assert "not home" in session.director.error


def test_whole_episode_forgives_the_interruptions_before_it() -> None:
    session = Session(replace(AUTO, episodes=0))
    for _ in range(2 * MAX_INTERRUPTIONS):
        session.step()
        session.step(after=HOMING_PATIENCE)
        session.until(Phase.RECORDING)
        session.step(Order.SUCCESS)
        session.until(Phase.HOMING)
        session.inputs = replace(session.inputs, home=False)
    assert session.director.error is None


def test_hold_and_run_within_an_episode_are_what_control_is_asked() -> None:
    session = Session(MANUAL).until(Phase.READY)
    assert session.step(Order.RUN).mode is Mode.RUN
    assert session.step(Order.HOLD).mode is Mode.HOLD
    assert session.step(Order.START).mode is Mode.RUN
    assert session.step(Order.HOLD).mode is Mode.HOLD
    assert session.phase is Phase.RECORDING
    assert session.step(Order.RUN).mode is Mode.RUN


def test_person_sends_the_arm_home_and_holds_it_on_the_way() -> None:
    session = Session(MANUAL).until(Phase.READY)
    assert session.step(Order.HOME, home=False).mode is Mode.HOME
    assert session.step(Order.HOLD).mode is Mode.HOLD
    assert session.phase is Phase.READY


@pytest.mark.parametrize("phase", [Phase.HOMING, Phase.READY, Phase.RECORDING])
def test_who_says_hold_is_obeyed_in_auto_mode_too(phase: Phase) -> None:
    session = Session(AUTO)
    session.step()
    if phase is not Phase.HOMING:
        session.until(phase)
    assert session.step(Order.HOLD).mode is Mode.HOLD
    for _ in range(200):
        assert session.step(home=True).mode is Mode.HOLD
    assert session.phase is Phase.READY
    assert "held" in session.director.note
    assert session.step(Order.RUN).mode is Mode.RUN
    assert session.phase is Phase.RECORDING


def test_hardware_does_not_go_home_by_itself_in_manual_mode() -> None:
    session = Session(MANUAL)
    session.step(home=False)
    assert session.phase is Phase.READY


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DONE])
def test_quit_ends_the_session_from_every_phase_and_keeps_the_open_episode(phase: Phase) -> None:
    session = _in(phase)
    recording = phase is Phase.RECORDING
    commands = session.step(Order.QUIT)
    assert not commands.recording
    if recording:
        assert commands.verdict == UNKNOWN
    session.step()
    session.step(after=1.0)
    assert session.phase is Phase.DONE
    assert session.step().mode is Mode.HOLD


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("order", list(Order))
def test_order_that_means_nothing_is_refused_with_what_is_possible(phase: Phase, order: Order) -> None:
    words = refusal(phase, order)
    if order in ORDERS[phase]:
        assert words is None
    else:
        assert words is not None
        assert order.value in words
        assert phase.value in words
        assert "stop" in words
        session = _in(phase)
        before = session.director.phase
        session.director.step(session.now, replace(session.inputs, orders=(order,), home=False))
        assert session.director.phase in {before, *TRANSITIONS[before]}


def test_only_listed_moves_are_possible() -> None:
    for phase in Phase:
        for other in set(Phase) - TRANSITIONS[phase]:
            director = Director(AUTO)
            director.phase = phase
            with pytest.raises(ValueError, match="no way from"):
                director._go(0.0, other, "")


def _in(phase: Phase) -> Session:
    """A manual session in simulation, in that phase."""
    session = Session(Rules(auto=False, simulated=True, hardware=False, episodes=1 if phase is Phase.DONE else 0))
    if phase is Phase.IDLE:
        session.step(alive=False)
        session.inputs = replace(session.inputs, alive=True)
        return session
    session.step(home=False)
    if phase is Phase.HOMING:
        return session
    session.until(Phase.READY)
    session.inputs = replace(session.inputs, home=False)
    if phase is Phase.READY:
        return session
    session.step(Order.START, after=1.0)
    if phase is Phase.RECORDING:
        return session
    session.step(Order.SUCCESS)
    if phase is Phase.DONE:
        session.step(after=1.0)
    assert session.phase is phase
    return session
