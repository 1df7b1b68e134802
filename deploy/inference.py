"""The policy's process: rows of the Observer in, timed chunks out.

It plans when the arm begins to run, then every `execute` rows, and at once when the operator hands back, because what
it had planned before is no longer true. It goes on planning while the operator flies: what it would have done is
recorded beside what the operator did. A policy of chunks that is asked in every row instead falls from one way of
doing a thing into another. In any other mode than RUN it publishes one empty chunk, so that nothing old is flown
later; as it does when a camera, or what else the policy looks at, is lost: nobody flies blind.
"""

import logging
import os
from contextlib import suppress

from deploy import cell
from deploy.worker import Context
from policies.pilot import Pilot, engage
from robot_stack.clock import Rate, now
from robot_stack.observe import Observer
from robot_stack.spec import Record
from robot_stack.station import Station
from robot_stack.types import Mode, Source

NICE = -10
"""Ahead of pictures and recording: how long a plan takes is how old it is when it is flown."""

BLIND = 0.5
"""What the policy looks at is lost when its newest message is older [s]: a picture that stands still shows nothing."""

log = logging.getLogger(__name__)


class Replanning:
    """When to plan: pure, asked once a row. execute: rows between two plans."""

    def __init__(self, execute: int) -> None:
        self.execute = execute
        self.flying = False
        self._rows = 0
        self._operator = False

    def due(self, control: Record, sees: bool = True) -> bool:
        """Whether to plan in this row, given the newest control record and whether all that the policy looks at is
        there; then `flying` says whether the arm runs and the policy sees."""
        flying = bool(control["mode"] == Mode.RUN and sees)
        began = flying and not self.flying
        handed_back = self._operator and control["source"] != Source.OPERATOR
        self.flying, self._operator = flying, control["source"] == Source.OPERATOR
        self._rows = 0 if began or handed_back else self._rows + 1
        return flying and self._rows % self.execute == 0


def run(context: Context) -> None:
    """The process. Config: station, execute (rows between two plans; None: as trained), and what `engage` reads."""
    with suppress(PermissionError):
        os.nice(NICE)
    station = cell.from_json(context.config["station"])
    pilot = engage(context.config)
    pilot.check(station, f"this station ({station.name})")
    log.info("flies %s", pilot.checkpoint.folder)
    observer = Observer(context.bus, station, pilot.window.history)
    rows = _first_rows(context, observer, pilot.window.history)
    if rows is not None:
        pilot.warm_up(rows, station)
        _fly(context, station, pilot, observer)


def _fly(context: Context, station: Station, pilot: Pilot, observer: Observer) -> None:
    replanning = Replanning(context.config["execute"] or pilot.window.execute)
    chunks, controls = context.bus.publisher(station.chunk), context.bus.subscriber(station.control)
    rate, published, lost = Rate(station.rate), False, list[str]()
    while not context.stop():
        late = rate.sleep()
        start = now()
        observer.update()
        control = controls.latest()
        before, lost = lost, observer.behind(start, pilot.policy.observes, BLIND)
        if lost and lost != before:
            log.warning("does not fly: nothing new from %s for %.1f s", ", ".join(lost), BLIND)
        if control is not None and replanning.due(control, sees=not lost):
            rows = observer.history(start, pilot.window.history)
            if rows is not None:
                chunk = pilot.chunk(rows, station)
                chunk["time"] = now()
                chunks.send(chunk)
                published = True
        if published and not replanning.flying:
            chunks.send(cell.no_chunk(station, now()))
            published = False
        context.health.beat(now() - start, late)


def _first_rows(context: Context, observer: Observer, steps: int) -> list[Record] | None:
    """The first rows there are; None if told to stop before."""
    rate = Rate(20.0)
    while not context.stop():
        observer.update()
        rows = observer.history(now(), steps)
        if rows is not None:
            return rows
        rate.sleep()
    return None
