"""What else the machine does while the loops are compared: a whole session of another robot, watched by a browser."""

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.bench.control_cell import Bench
from deploy.bench.control_policy import checkpoint
from deploy.bench.control_service import START_PATIENCE
from deploy.bench.control_web import browsing
from deploy.bench.session import Session, running
from deploy.bench.spine import flown_by
from robot_stack.types import Source


@contextmanager
def loaded(bench: Bench) -> Iterator[Session]:
    """A simulated robot of the same kind with two cameras, flown by a policy, recorded, and shown to a browser."""
    bench.say("starting the load: a session of a simulated robot")
    task = bench.config["task"]["name"]
    store = bench.folder / "load.zarr"
    endless = ["episodes=0", "time_limit=3600.0", "success_hold=3600.0", "teleop=browser", "port=0"]
    cell = [f"robot=sim_{bench.robot}", f"task={task}", f"checkpoint={checkpoint(bench)}", f"store={store}"]
    words = ["deploy", *cell, *endless]
    with running(words, bench.station, "deploy.bench.control_service") as session, browsing(session):
        session.until(session.control, flown_by(Source.POLICY), START_PATIENCE, engage=False)
        yield session
