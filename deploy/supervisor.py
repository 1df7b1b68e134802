"""Keeps the workers of a session alive, or says why it cannot.

A process that ends is noticed at once. Cameras, gripper, operator, policy and recorder are started again, a few
times; control is tried again for as long as it takes, since the arm's own controller may be starting anew. The end of
the world ends the session, as does a worker that never got ready: then the reason is in its log.
"""

import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.worker import Worker, health_topic, spawn
from robot_stack.bus import Bus
from robot_stack.clock import now
from robot_stack.spec import Record

VITAL = {"world"}
"""Kinds without which nothing may go on."""
PATIENT = {"control"}
"""Kinds that are started again without end, every `RETRY`."""
RETRY = 1.0  # [s]
MAX_RESTARTS = 3
"""Of one worker of another kind in one session."""
START_PATIENCE = 60.0
"""A worker must have reported this long after its start: the first time, meshes are decimated [s]."""
SILENCE = 10.0
"""A worker that reported nothing for so long hangs, and is killed [s]."""
LATE = 2.5
"""Health older than this is shown as silence [s]."""


@dataclass(frozen=True)
class Job:
    """A worker to be. name: unique in the session. config: JSON values for its kind, see its function."""

    kind: str
    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that happened to a worker of this kind, in words."""

    kind: str
    words: str


@dataclass
class _Post:
    """A job, and who does it now."""

    job: Job
    worker: Worker
    pidfd: int
    started: float
    restarts: int = 0
    lost: bool = False  # it ended, and that was said
    again: float = 0.0  # when it may be started again [s]
    ready: bool = False
    health: Record | None = None


class Supervisor:
    """Starts the jobs of a session, watches them, stops them. `failure`: why the session cannot go on, None while it
    can.

    session: of the bus. folder: takes configs and logs of the workers.
    """

    def __init__(self, jobs: Sequence[Job], session: str, folder: Path, bus: Bus) -> None:
        self.failure: str | None = None
        self.events: list[Event] = []  # new ones; whoever reads them clears the list
        self._jobs = jobs
        self._session, self._folder = session, folder
        self._posts: list[_Post] = []
        self._subscribers = {job.name: bus.subscriber(health_topic(job.name)) for job in jobs}

    def start(self) -> None:
        """Start all, in order; returns at once."""
        for job in self._jobs:
            worker = spawn(job.kind, self._session, job.config, self._folder, job.name)
            self._posts.append(_Post(job, worker, os.pidfd_open(worker.pid), now()))

    @property
    def ready(self) -> bool:
        """Whether every worker runs and has reported."""
        return bool(self._posts) and not self.missing

    @property
    def missing(self) -> set[str]:
        """Kinds of the workers that do not run, or have not reported since they were started."""
        return {post.job.kind for post in self._posts if not (post.ready and post.worker.alive)}

    @property
    def waiting_for(self) -> list[str]:
        """Names of the workers that have not reported since they were started."""
        return [post.job.name for post in self._posts if not post.ready]

    def wait(self, seconds: float, other: int) -> None:
        """Sleep at most so long [s]: less when a worker ends, or when the file `other` has something to read."""
        watched = [post.pidfd for post in self._posts if not post.lost]
        select.select([other, *watched], [], [], max(0.0, seconds))

    def check(self) -> None:
        """Look at every worker; restart those that ended and may be."""
        time = now()
        for post in self._posts:
            self._hear(post, time)
            if not post.worker.alive:
                self._replace(post, time)
            elif post.ready and post.health is not None and time - float(post.health["time"]) > SILENCE:
                self.events.append(Event(post.job.kind, f"{post.job.name} hangs and is killed"))
                os.kill(post.worker.pid, signal.SIGKILL)
            elif not post.ready and time - post.started > START_PATIENCE:
                self._fail(post, f"was not ready after {START_PATIENCE:.0f} s")

    def status(self) -> list[dict[str, Any]]:
        """Each worker for the page: name, state, rate [Hz], longest work and lateness of the last second [s],
        restarts."""
        time = now()
        return [_describe(post, time) for post in self._posts]

    def stop(self) -> None:
        """Tell all to end, wait, and kill what does not. Recorder and control first: episode closed, arm at rest."""
        first = {"recorder", "control"}
        for chosen in (True, False):
            posts = [post for post in self._posts if (post.job.kind in first) is chosen]
            for post in posts:
                post.worker.ask_to_stop()
            for post in posts:
                post.worker.stop()
                os.close(post.pidfd)
        self._posts = []

    def _hear(self, post: _Post, time: float) -> None:
        health = self._subscribers[post.job.name].latest()
        if health is not None and health["time"] >= post.started:
            post.health, post.ready = health, True

    def _replace(self, post: _Post, time: float) -> None:
        """Say that a worker ended; start it again only at the next look, so that what must follow need not wait."""
        how = post.worker.ending
        if post.job.kind in VITAL or (not post.ready and post.restarts == 0):
            self._fail(post, how)
        elif post.restarts >= MAX_RESTARTS and post.job.kind not in PATIENT:
            self._fail(post, f"{how}, after {MAX_RESTARTS} restarts")
        elif not post.lost:
            self.events.append(Event(post.job.kind, f"{post.job.name} {how}: started again{_reason(post)}"))
            post.lost, post.again = True, time + (RETRY if post.restarts and not post.ready else 0.0)
        elif time >= post.again:
            post.worker.stop()
            os.close(post.pidfd)
            post.worker = spawn(post.job.kind, self._session, post.job.config, self._folder, post.job.name)
            post.pidfd, post.started, post.ready = os.pidfd_open(post.worker.pid), time, False
            post.restarts, post.lost = post.restarts + 1, False

    def _fail(self, post: _Post, what: str) -> None:
        if self.failure is None:
            tail = post.worker.log_tail()
            self.failure = f"{post.job.name} {what}. The end of {post.worker.log}:\n{tail}"


def _reason(post: _Post) -> str:
    """What a worker that gave up said last, where it is one that is tried again and again."""
    return f" ({post.worker.reason})" if post.job.kind in PATIENT and post.worker.reason else ""


def _describe(post: _Post, time: float) -> dict[str, Any]:
    health = post.health if post.ready else None
    if not post.worker.alive:
        state = "down"
    elif health is None:
        state = "starting"
    else:
        state = "up" if time - health["time"] < LATE else "silent"
    beat = {} if health is None else {name: round(float(health[name]), 6) for name in ("rate", "work", "late")}
    return {
        "name": post.job.name,
        "state": state,
        "rate": beat.get("rate"),
        "work": beat.get("work"),
        "late": beat.get("late"),
        "restarts": post.restarts,
        "pid": post.worker.pid,
    }
