"""Looks for what is wrong with the episode that somebody looks at, behind everything else that the viewer does."""

import os
import threading
from collections import OrderedDict

from deploy.viewer.library import OpenEpisode
from robot_stack.quality.finding import Finding, Severity
from robot_stack.store.check import check_episode
from robot_stack.types import RobotStackError

KEPT = 200
"""Episodes whose findings are remembered."""

NICE = 10
"""Lower priority of the thread: a check reads every picture, and pictures that somebody waits for go first."""


class Checker:
    """One thread, which checks the episode that was asked for last; earlier ones that wait are forgotten."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: OpenEpisode | None = None
        self._found: OrderedDict[tuple[str, str], list[Finding]] = OrderedDict()
        self._thread: threading.Thread | None = None

    def findings(self, opened: OpenEpisode) -> list[Finding] | None:
        """What is wrong with an episode; None as long as it is being looked for: ask again."""
        with self._changed:
            if (found := self._found.get(opened.key)) is not None:
                return found
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checker", daemon=True)
                self._thread.start()
            self._wanted = opened
            self._changed.notify()
            return None

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # on Linux, of this thread alone
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None)
                opened, self._wanted = self._wanted, None
            if opened is not None and opened.key not in self._found:
                self._keep(opened, _check(opened))

    def _keep(self, opened: OpenEpisode, found: list[Finding]) -> None:
        with self._changed:
            self._found[opened.key] = found
            while len(self._found) > KEPT:
                self._found.popitem(last=False)


def _check(opened: OpenEpisode) -> list[Finding]:
    try:
        return check_episode(opened.episode)
    except (RobotStackError, OSError) as error:
        advice = "`robot-stack data check` says more; restore it from a copy"
        return [Finding(opened.episode.id, -1, Severity.ERROR, f"cannot be checked: {error}", advice)]
