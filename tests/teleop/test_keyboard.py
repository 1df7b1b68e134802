"""Flying by keys: engaging, directions, the gripper, verdicts, and keys that nobody confirms."""

import numpy as np
import pytest

from robot_stack.pose import distance
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.types import TargetKind
from teleop import OperatorInput, View
from teleop.browser import KeysError, parse, record
from teleop.keyboard import CODES, DIRECTIONS, KEYS, STALE, KeyboardOperator

ARM = np.array([0.45, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
STATION = Station("test", 6)


def control(grip: float = 0.085) -> Record:
    return STATION.control.spec.record(target__pose=ARM, target__grip=grip)


def fly(
    device: KeyboardOperator, seconds: float, *pressed: str, engage: bool = True, start: float = 0.0
) -> OperatorInput:
    """Hold keys for a while at 100 Hz; what is asked at the end."""
    arm = control()
    for k in range(round(seconds * 100) + 1):
        now = start + k / 100
        asked = device.read(now, View(arm, keys=record(now, pressed, engage)))
        if asked.pose is not None:
            arm["target.pose"] = asked.pose  # an arm that follows at once
    return asked


def test_table_fits_the_topic() -> None:
    assert len(CODES) == 16
    assert record(0.0, [], False)["pressed"].shape == (16,)


@pytest.mark.parametrize("code", [code for code, (_, _, direction) in KEYS.items() if direction])
def test_each_key_moves_in_its_direction_at_the_speed_set(code: str) -> None:
    asked = fly(KeyboardOperator("ur5e", speed=0.15, turn=0.6), 1.0, code)
    assert asked.engaged
    assert asked.kind is TargetKind.POSE
    assert asked.pose is not None
    direction = DIRECTIONS[CODES.index(code)]
    np.testing.assert_allclose(asked.pose[:3] - ARM[:3], 0.15 * direction[:3], atol=1e-9)
    assert distance(asked.pose, ARM)[1] == pytest.approx(0.6 * np.linalg.norm(direction[3:]))


def test_shift_is_slow() -> None:
    asked = fly(KeyboardOperator("ur5e", speed=0.2, slow=0.25), 1.0, "KeyW", "ShiftLeft")
    assert asked.pose is not None
    assert asked.pose[0] - ARM[0] == pytest.approx(0.05)


def test_keys_without_engaging_move_nothing() -> None:
    assert fly(KeyboardOperator("ur5e"), 1.0, "KeyW", engage=False) == OperatorInput()


def test_keys_that_nobody_confirms_are_up_and_the_arm_is_not_handed_to_a_policy() -> None:
    device = KeyboardOperator("ur5e")
    keys = record(0.0, ["KeyW"], True)
    assert device.read(STALE * 0.9, View(control(), keys=keys)).kind == TargetKind.POSE
    assert device.read(STALE * 1.1, View(control(), keys=keys)) == OperatorInput(engaged=True)
    assert not device.read(STALE * 1.2, View(control(), keys=record(0.0, [], False))).engaged


def test_nothing_is_asked_before_the_arm_is_known() -> None:
    assert not KeyboardOperator("ur5e").read(0.0, View(None, keys=record(0.0, [], True))).engaged


def test_engaging_keeps_the_grip_and_each_press_toggles_it() -> None:
    device = KeyboardOperator("ur5e")
    assert fly(device, 0.1).grip == pytest.approx(0.085)
    assert fly(device, 0.1, "KeyG", start=1.0).grip == 0.0
    assert fly(device, 0.1, start=2.0).grip == 0.0
    assert fly(device, 0.1, "KeyG", start=3.0).grip == pytest.approx(0.085)


@pytest.mark.parametrize(("code", "verdict"), [("Enter", 1), ("Backspace", 0), ("KeyW", -1)])
@pytest.mark.parametrize("engage", [True, False])
def test_verdict_keys_work_engaged_or_not(code: str, verdict: int, engage: bool) -> None:
    assert fly(KeyboardOperator("ur5e"), 0.1, code, engage=engage).verdict == verdict


def test_long_pause_is_not_one_long_step() -> None:
    device = KeyboardOperator("ur5e", speed=0.1)
    device.read(0.0, View(control(), keys=record(0.0, ["KeyW"], True)))
    asked = device.read(0.25, View(control(), keys=record(0.25, ["KeyW"], True)))
    assert asked.pose is not None
    assert asked.pose[0] - ARM[0] <= 0.005 + 1e-9


def test_page_message_becomes_a_record() -> None:
    keys = parse('{"pressed": ["KeyW", "KeyG"], "engage": true}', 3.0)
    assert keys["time"] == 3.0
    assert keys["engage"] == 1
    assert [code for code, down in zip(CODES, keys["pressed"], strict=True) if down] == ["KeyW", "KeyG"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected"),
        ('{"pressed": []}', "expected"),
        ('{"pressed": 3, "engage": true}', "must be a list"),
        ('{"pressed": [], "engage": 1}', "true or false"),
        ('{"pressed": ["KeyP"], "engage": true}', "no key 'KeyP'; there are: KeyW"),
        ('{"pressed": [["KeyW"]], "engage": true}', "no key"),
    ],
)
def test_malformed_message_is_refused_with_words(text: str, words: str) -> None:
    with pytest.raises(KeysError, match=words):
        parse(text, 0.0)
