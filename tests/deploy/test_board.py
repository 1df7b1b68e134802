"""What the newest messages say to the director."""

from deploy.board import Board
from robot_stack.bus import LocalBus
from robot_stack.robots import robot
from robot_stack.station import Station

STATION, UR5E = Station("test", 6), robot("ur5e")


def test_home_is_with_the_fingers_open_as_every_episode_begins_in_lockstep() -> None:
    with LocalBus() as bus:
        board, control = Board(bus, STATION, "ur5e"), bus.publisher(STATION.control)
        said = []
        for shift, grip in ((0.1, UR5E.opening), (0.0, 0.03), (0.0, UR5E.opening)):
            control.send(STATION.control.spec.record(time=1.0, q=UR5E.home + shift, target__grip=grip))
            board.update()
            said.append(board.inputs(1.0, True, True, []).home)
    assert said == [False, False, True]
