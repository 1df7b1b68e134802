"""One emulated UR5e for all tests that leave it as they found it: starting one takes seconds."""

from collections.abc import Iterator

import pytest

from robot_stack.emulators.process import EmulatorProcess
from tests.robot_stack.emulators.emulator import start_ur


@pytest.fixture(scope="package")
def shared_ur() -> Iterator[EmulatorProcess]:
    """A running emulator; a protective stop can be unlocked a second after it occurred."""
    with start_ur(unlock_after=1.0, polyscope="5.23.0.0") as emulator:
        yield emulator


@pytest.fixture
def ur(shared_ur: EmulatorProcess) -> EmulatorProcess:
    """An emulated UR5e as just switched on."""
    shared_ur.ask("reset")
    return shared_ur
