"""Labels follow from who flew: Sirius' classes, with idle steps passed over."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_stack.interventions import Label, labels
from robot_stack.types import ConfigError

LETTERS = "nops"  # nobody, operator, policy, script: the numbers of Source


def label(sources: str, kind: str = "deploy", pre: float = 0.3) -> str:
    """Labels as letters, at 10 Hz: D, R, I, P and - for idle."""
    source = np.array([LETTERS.index(letter) for letter in sources], np.uint8)
    return "".join("DRIP-"[value] for value in labels(source, 10.0, kind, pre))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ("", ""),
        ("ppppp", "RRRRR"),
        ("pppppoo", "RRPPPII"),
        ("ppoo", "PPII"),  # the window stops at the start of the episode
        ("oopp", "IIRR"),
        ("opo", "IPI"),  # and at an earlier intervention
        ("ooppoo", "IIPPII"),
        ("pppppnnnoo", "RRPPP---II"),  # a pause before the take-over does not use it up
        ("pppnpnoo", "RPP-P-II"),
        ("ppppssoo", "RPPP--II"),  # nor does a script
        ("pnonpo", "P-I-PI"),
        ("nnpp", "--RR"),
    ],
)
def test_the_steps_before_a_take_over_are_marked(sources: str, expected: str) -> None:
    assert label(sources) == expected


def test_a_person_who_collects_demonstrates() -> None:
    assert label("nooso", kind="collect") == "-DD-D"
    assert label("oo", kind="import") == "DD"


def test_the_window_is_measured_in_seconds() -> None:
    source = np.array([2] * 30 + [1], np.uint8)
    for rate in (10.0, 20.0):
        assert (labels(source, rate, "deploy") == Label.PRE_INTERVENTION).sum() == round(0.75 * rate)


def test_without_a_window_nothing_is_marked() -> None:
    assert label("pppo", pre=0.0) == "RRRI"


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(ConfigError, match="collect, deploy, replay, import"):
        label("p", kind="fly")


@given(st.text(LETTERS, max_size=40), st.sampled_from([0.0, 0.3, 9.0]))
def test_only_steps_of_the_policy_change_their_label_and_only_before_an_intervention(sources: str, pre: float) -> None:
    got = label(sources, pre=pre)
    plain = "".join({"n": "-", "s": "-", "o": "I", "p": "R"}[letter] for letter in sources)
    for step, (before, after) in enumerate(zip(plain, got, strict=True)):
        assert before == after or (before == "R" and after == "P" and "I" in plain[step:])
    for piece in got.replace("-", "").split("I")[:-1]:
        assert len(piece) - len(piece.rstrip("P")) == min(len(piece), round(pre * 10))
