"""The client library ur_rtde, fenced in: what its version 1.6.5 does when the link is lost must not reach the arm.

Its `RTDEControlInterface` then connects by itself, uploads its program again and repeats the command under way: motion
that nobody asked for, and after it a loop without end or a segmentation fault. `RTDEReceiveInterface` goes on returning
what it last heard. So the link is looked at before anything is sent, and whoever finds it lost ends the whole process,
before the library does anything: the controller's own watchdog brings the arm to rest, and the service starts anew.
"""

import faulthandler
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf, nan
from typing import Any, NoReturn

from robot_stack.arms.ur_sockets import Connections
from robot_stack.arms.ur_version import PORT
from robot_stack.clock import now
from robot_stack.types import DeviceError

RATE = 500.0
"""Measurements a second [Hz]: every cycle of an e-Series controller."""

VARIABLES = [
    "timestamp",
    "actual_q",
    "actual_qd",
    "actual_TCP_pose",
    "actual_TCP_force",
    "robot_mode",
    "safety_mode",
    "runtime_state",
    "target_speed_fraction",
]
"""What is measured; few, because the library unpacks all of them 500 times a second."""

SILENCE, READINGS = 0.5, 10
"""A stamp that stays the same so long [s] and in so many readings is a lost link: the control step has stopped before,
the library gives up after 2.5 s. A process that was itself held up sees an old stamp too, but only once."""

CONNECTING = 15.0
"""The library's constructors hold the interpreter's lock and wait without end when the link dies meanwhile [s]."""

NAP = 0.01
"""The watch over calls counts time in its own naps [s]: a machine that stood still delays both alike."""

PROMPT = 0.06
"""A servo command takes 30 us, 30 ms on a busy machine; the library's way to connect by itself takes 0.2 s [s]."""

log = logging.getLogger(__name__)


def leave(reason: str) -> NoReturn:
    """End this process where it stands, the reason last in its log: no cleaning up, which would talk to the library."""
    log.error("leaving at once, the controller's watchdog stops the arm: %s", reason)
    logging.shutdown()
    os._exit(1)


class Library:
    """Both connections. control: RTDEControlInterface, of one thread at a time; receive: RTDEReceiveInterface."""

    def __init__(self, host: str) -> None:
        self._host = host
        with _ended_by_force():
            self.receive = _receive(host)
            self.control = _control(host)
        self._connections = Connections(host, PORT)
        if len(self._connections) != 2:
            raise DeviceError(f"{len(self._connections)} connections of ur_rtde to {host}, port {PORT}, expected 2")
        self._stamp, self._since, self._readings = nan, inf, 0
        self._watch = _Watch()

    def check_link(self) -> float:
        """The stamp of the newest measurement [s]; does not return if the link is lost."""
        if self._connections.is_any_closed():
            leave(f"link to {self._host} lost: the controller ended the connection")
        stamp: float = self.receive.getTimestamp()
        if stamp != self._stamp:
            self._stamp, self._since, self._readings = stamp, now(), 0
        else:
            self._readings += 1
            silent = now() - self._since
            if self._readings > READINGS and silent > SILENCE:
                leave(f"link to {self._host} lost: nothing measured for {silent:.2f} s, limit {SILENCE:.2f} s")
        if not (self.receive.isConnected() and self.control.isConnected()):
            leave(f"link to {self._host} lost: the client library has given it up")
        return stamp

    def servo(self, q: list[float], seconds: float, lookahead: float, gain: float) -> None:
        """Send joints (n,) [rad]. What the library returns says nothing: it is true with the cable pulled out."""
        self._watch.begin(PROMPT)
        try:
            self.control.servoJ(q, 0.0, 0.0, seconds, lookahead, gain)
        except RuntimeError as error:
            self._leave_broken(error)
        self._watch.end()

    @contextmanager
    def patience(self, seconds: float) -> Iterator[Any]:
        """The control interface, for calls that together take no longer than this [s]."""
        self._watch.begin(seconds)
        try:
            yield self.control
        except RuntimeError as error:
            self._leave_broken(error)
        finally:
            self._watch.end()

    def _leave_broken(self, error: RuntimeError) -> NoReturn:
        leave(f"link to {self._host} lost: the client library fails with {error}")

    def close(self) -> None:
        """End both connections. Takes a second: so long the library sleeps."""
        self._watch.close()
        self._connections.release()
        del self.control, self.receive


class _Watch:
    """Ends the process when a call into the library does not come back."""

    def __init__(self) -> None:
        self._begun = self._ended = 0
        self._naps = 0.0  # that the call under way may take
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ur_rtde watch", daemon=True)
        self._thread.start()

    def begin(self, seconds: float) -> None:
        """A call is made that takes no longer than this [s]."""
        self._naps = seconds / NAP
        self._begun += 1

    def end(self) -> None:
        """It came back."""
        self._ended = self._begun

    def _run(self) -> None:
        watched, naps = 0, 0
        while not self._closed.wait(NAP):
            call = self._begun
            naps = naps + 1 if call == watched else 0
            watched = call
            if call != self._ended and naps > self._naps:
                leave("the client library does not return: it has lost the link and connects by itself")

    def close(self) -> None:
        """Watch no longer."""
        self._closed.set()
        self._thread.join()


@contextmanager
def _ended_by_force() -> Iterator[None]:
    """What takes too long ends the process, with a traceback in its log, whoever holds the interpreter's lock."""
    faulthandler.dump_traceback_later(CONNECTING, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _receive(host: str) -> Any:
    from rtde_receive import RTDEReceiveInterface

    try:
        return RTDEReceiveInterface(host, RATE, VARIABLES, False, False, -1)
    except RuntimeError as error:
        raise DeviceError(f"cannot read from the UR controller at {host}: {error}") from error


def _control(host: str) -> Any:
    from rtde_control import RTDEControlInterface

    try:
        return RTDEControlInterface(host, RATE, RTDEControlInterface.FLAG_UPLOAD_SCRIPT, 50002, -1)
    except RuntimeError as error:
        if "already in use" in str(error):
            raise DeviceError(
                f"somebody else controls the UR controller at {host}: its RTDE inputs are in use. Stop the other "
                "program, or the fieldbus (EtherNet/IP, PROFINET, MODBUS) in the installation"
            ) from error
        raise DeviceError(f"cannot take over the UR controller at {host}: {error}") from error
