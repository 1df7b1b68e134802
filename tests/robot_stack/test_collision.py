from itertools import product

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from robot_stack import pose as se3
from robot_stack.collision import CURVE, HORIZON, Surroundings
from robot_stack.kinematics import Kinematics
from robot_stack.limits import Limits, Neighbour
from robot_stack.robots import ROBOTS, TCP, arm_spec, robot
from robot_stack.shapes import SHAPES
from robot_stack.sim.gripper import GRIPPERS
from robot_stack.types import ConfigError

ARMS = {name: Kinematics(name) for name in ROBOTS}
arms = pytest.mark.parametrize("name", ROBOTS)
seeds = st.integers(0, 2**32 - 1)
some = settings(deadline=None, derandomize=True, max_examples=30)
HOME = robot("ur5e").home
BOX, MESH = int(mujoco.mjtGeom.mjGEOM_BOX), int(mujoco.mjtGeom.mjGEOM_MESH)

# --- the shapes against the meshes


def frames(model, data, name):
    """Bodies whose frames the capsules of each link are in; the last is the TCP's site."""
    joints = [model.joint(joint).id for joint in robot(name).joints]
    bodies = [int(model.jnt_bodyid[joint]) for joint in joints]
    bodies.insert(0, int(model.body_parentid[bodies[0]]))
    places = [(data.xpos[body], data.xmat[body].reshape(3, 3)) for body in bodies]
    tcp = model.site(TCP).id
    places[-1] = data.site_xpos[tcp], data.site_xmat[tcp].reshape(3, 3)
    return bodies, places


def link_of(model, body, bodies):
    """Which link a body is on, and whether it is part of a finger; None for what is no part of the arm."""
    finger = False
    while body not in bodies:
        if body == 0:
            return None, False
        finger = finger or bool(model.body_jntnum[body])
        body = int(model.body_parentid[body])
    return bodies.index(body), finger


def surface(model, data, geom):
    """Points all over a mesh or a box, in the world."""
    if model.geom_type[geom] == BOX:
        points = np.array(list(product((-1, 1), repeat=3))) * model.geom_size[geom]
    else:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        points = model.mesh_vert[start : start + count]
        first, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        points = np.concatenate([points, points[model.mesh_face[first : first + faces]].mean(axis=1)])
    return points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]


def outside(points, capsules):
    """How far each point is out of all capsules; negative inside one."""
    distances = []
    for _, start, end, radius in capsules:
        start, way = np.array(start), np.array(end) - start
        along = np.clip((points - start) @ way / (way @ way), 0, 1)
        distances.append(np.linalg.norm(points - start - along[:, None] * way, axis=1) - radius)
    return np.min(distances, axis=0)


@arms
def test_the_capsules_and_the_box_hold_every_mesh_of_the_arm_however_far_the_gripper_is_open(name):
    spec, shape, gripper = arm_spec(name), SHAPES[name], GRIPPERS[name]
    gripper.tune(spec)
    model = spec.compile()
    model.opt.gravity[:] = 0
    data = mujoco.MjData(model)
    for joint, angle in zip(robot(name).joints, robot(name).home, strict=True):
        data.joint(joint).qpos = angle
    data.ctrl[: len(robot(name).joints)] = robot(name).home
    solid = [geom for geom in range(model.ngeom) if model.geom_type[geom] in (BOX, MESH)]
    checked = set()
    for opening in (1.0, 0.75, 0.5, 0.25, 0.0):
        data.actuator(gripper.actuator).ctrl = gripper.control(opening * robot(name).opening)
        mujoco.mj_step(model, data, 300)
        mujoco.mj_forward(model, data)
        bodies, places = frames(model, data, name)
        for geom in solid:
            link, finger = link_of(model, model.geom_bodyid[geom], bodies)
            if link is None or (opening < 1.0 and not finger):
                continue
            points = (surface(model, data, geom) - places[link][0]) @ places[link][1]
            capsules = [capsule for capsule in shape.arm + shape.fingers if capsule.link == link]
            assert outside(points, capsules).max() <= 0.0, model.geom(geom).name
            if finger:
                x, y, low, high = shape.box
                assert (np.abs(points[:, :2]) <= [x, y]).all()
                assert ((points[:, 2] >= low) & (points[:, 2] <= high)).all()
            checked.add((link, finger))
    assert {link for link, _ in checked} == set(range(len(robot(name).joints) + 1))
    assert (len(robot(name).joints), True) in checked


# --- the distances against other ways to find them


def capsules_at(name, q):
    """Ends (2, 3) and radius of all capsules in the base frame, without `collision`'s model; and their links."""
    kinematics = ARMS[name]
    kinematics.position(q)
    model, data = kinematics._model, kinematics._data
    bodies = [model.joint(joint).bodyid[0] for joint in robot(name).joints]
    bodies = [int(model.body_parentid[bodies[0]]), *bodies[:-1], model.body(TCP).id]
    found = []
    for link, start, end, radius in SHAPES[name].arm + SHAPES[name].fingers:
        ends = np.array([start, end]) @ data.xmat[bodies[link]].reshape(3, 3).T + data.xpos[bodies[link]]
        found.append((ends, radius, link))
    return found


def between(a, b):
    """Distance of two capsules, from a fine comb of points on the one line to the other line."""
    (start, end), radius, _ = a
    points = start + np.linspace(0, 1, 400)[:, None] * (end - start)
    return outside(points, [(0, b[0][0], b[0][1], b[1])]).min() - radius


def anywhere(name, seed):
    return np.random.default_rng(seed).uniform(robot(name).lower, robot(name).upper)


@arms
@some
@given(seed=seeds)
def test_the_room_for_the_arm_beside_itself_is_the_smallest_of_the_distances_of_parts_that_can_meet(name, seed):
    around, q = Surroundings(name, Limits(table=-9.0, self_distance=0.02)), anywhere(name, seed)
    parts = capsules_at(name, q)
    pairs = [
        between(a, b) for a, b in product(parts, parts) if b[2] > a[2] + 1 and (a[2], b[2]) not in SHAPES[name].apart
    ]
    assert around.room(q) == pytest.approx(min(HORIZON, min(pairs) - 0.02 - CURVE), abs=1e-3)


@arms
@some
@given(seed=seeds)
def test_the_room_above_the_table_is_that_of_the_lowest_part_from_the_upper_arm_on(name, seed):
    n, q = len(robot(name).joints), anywhere(name, seed)
    around = Surroundings(name, Limits(table=0.05, clearance=0.01, self_distance=1e-9))
    around._model.pair_margin[around._model.pair_margin < 0.005] = -9.0  # the arm itself
    lows = [
        ends[:, 2].min() - radius for ends, radius, link in capsules_at(name, q)[: len(SHAPES[name].arm)] if link > 1
    ]
    x, y, low, high = SHAPES[name].box
    corners = np.array(list(product((-x, x), (-y, y), (low, high))))
    pose = ARMS[name].forward(q)
    lows.append((corners @ se3.to_matrix(pose)[:3, :3].T + pose[:3])[:, 2].min())
    assert n == len(q)
    assert around.room(q) == pytest.approx(min(HORIZON, min(lows) - 0.05 - 0.01 - CURVE), abs=1e-9)


@arms
@some
@given(seed=seeds)
def test_the_room_beside_a_box_is_that_of_the_nearest_part_past_the_base(name, seed):
    rng, q = np.random.default_rng(seed), anywhere(name, seed)
    low = rng.uniform([-0.6, 0.35, 0.0], [0.4, 0.6, 0.5])
    high = low + rng.uniform(0.05, 0.2, 3)
    around = Surroundings(name, Limits(table=-9.0, keep_out={"post": (low, high)}, clearance=0.03, self_distance=1e-9))
    around._model.pair_margin[around._model.pair_margin < 0.005] = -9.0
    distances = []
    for (start, end), radius, link in capsules_at(name, q):
        points = start + np.linspace(0, 1, 400)[:, None] * (end - start)
        if link > 0:
            distances.append(
                np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0), axis=1).min() - radius
            )
    expected = min(HORIZON, min(distances) - 0.03 - CURVE)
    if min(distances) > -0.02:  # deeper inside, a comb of points on the line finds something else
        assert around.room(q) == pytest.approx(expected, abs=1e-3)
    else:
        assert around.room(q) < -0.03


@some
@given(seed=seeds)
def test_the_room_beside_a_neighbour_is_that_of_the_nearest_parts_of_both(seed):
    rng = np.random.default_rng(seed)
    q, other = anywhere("ur5e", seed), anywhere("fr3", seed + 1)
    base = np.array([0.6, 0.3, 0.1, *rng.normal(size=4)])
    base[3:] /= np.linalg.norm(base[3:])
    around = Surroundings("ur5e", Limits(table=-9.0, neighbours={"left": Neighbour("fr3", base)}, self_distance=1e-9))
    around._model.pair_margin[around._model.pair_margin < 0.005] = -9.0
    around.see_neighbour("left", other, 0.0)
    matrix = se3.to_matrix(base)
    theirs = [(ends @ matrix[:3, :3].T + matrix[:3, 3], *rest) for ends, *rest in capsules_at("fr3", other)]
    nearest = min(between(a, b) for a, b in product(capsules_at("ur5e", q), theirs) if a[2] > 0)
    assert around.room(q) == pytest.approx(min(HORIZON, nearest - 0.1 - CURVE), abs=1e-3)


@arms
@some
@given(seed=seeds)
def test_a_radian_of_a_joint_brings_nothing_nearer_by_more_than_its_reach(name, seed):
    around = Surroundings(name, Limits(keep_out={"post": ([0.35, 0.3, 0.0], [0.5, 0.4, 0.4])}))
    q, rng = anywhere(name, seed), np.random.default_rng(seed)
    step = rng.normal(size=len(q)) * rng.choice([1e-3, 0.03, 0.3])
    before, after = around.room(q), around.room(q + step)
    if min(before, after) > 0.0 and max(before, after) < HORIZON:
        assert abs(after - before) <= np.abs(step) @ around._reach


@arms
def test_the_reach_of_every_joint_goes_past_the_tcp_to_the_far_end_of_the_hand(name):
    assert (np.array(Surroundings(name, Limits())._reach) > ARMS[name].reach + 0.15).all()


# --- what would come too near


def test_at_home_there_is_room_for_every_arm():
    for name in ROBOTS:
        assert Surroundings(name, Limits()).room(robot(name).home) > 0.02


@arms
@some
@given(seed=seeds)
def test_looking_only_when_it_could_matter_finds_what_looking_always_finds(name, seed):
    rng, limits = np.random.default_rng(seed), Limits(keep_out={"post": ([0.35, 0.2, 0.0], [0.5, 0.3, 0.4])})
    seldom, always = Surroundings(name, limits), Surroundings(name, limits)
    q = robot(name).home.copy()
    way = rng.uniform(-1, 1, len(q)) * rng.choice([0.001, 0.01, 0.05])
    looks = 0

    def look(*args):
        nonlocal looks
        looks += 1
        return Surroundings._look(seldom, *args)

    seldom._look = look
    for _ in range(100):
        ahead = q + way
        always._room = 0.0
        words = always.near(q.tolist(), [ahead.tolist()])
        assert seldom.near(q.tolist(), [ahead.tolist()]) == words
        if words:
            break
        q = ahead
    assert looks < 50 or np.abs(way).max() > 0.001


def test_an_arm_that_stands_still_is_not_looked_at_again():
    around = Surroundings("ur5e", Limits())
    q = HOME.tolist()
    around.near(q, [q])
    around._look = None  # would raise
    assert around.near(q, [q, (HOME + 0.001).tolist()]) == ""


def near(around, now, *ahead):
    return around.near(now.tolist(), [q.tolist() for q in ahead])


def test_what_would_be_too_near_is_named_with_the_part_the_distance_and_the_limit():
    lower = HOME + [0, 0.75, 0, -0.75, 0, 0]
    folded = HOME + [0, 0, 1.15, 0, 0, 0]
    assert near(Surroundings("ur5e", Limits()), HOME, HOME, lower).startswith("table: fingers -0.")
    words = near(Surroundings("ur5e", Limits(table=-9.0)), HOME, folded)
    assert words == "self: upper_arm_link -0.057 m from wrist_1_link ahead, limit 0.010 m"
    around = Surroundings("ur5e", Limits(keep_out={"post": ([0.3, 0.2, 0.0], [0.6, 0.3, 0.6])}))
    assert near(around, HOME, HOME + [0.5, 0, 0, 0, 0, 0]).startswith("keep-out post: hand -0.")
    assert near(around, HOME, HOME + [0.5, 0, 0, 0, 0, 0]).endswith(" m from it ahead, limit 0.001 m")
    around = Surroundings("ur5e", Limits(neighbours={"left": Neighbour("fr3", [0, 0.95, 0, 0, 0, -0.7071, 0.7071])}))
    around.see_neighbour("left", robot("fr3").home, 0.0)
    assert near(around, HOME, HOME + [1.1, 0, 0, 0, 0, 0]).startswith("neighbour left: hand ")
    assert near(around, HOME, HOME + [1.1, 0, 0, 0, 0, 0]).endswith(" m from its hand ahead, limit 0.100 m")


def test_of_several_things_too_near_the_one_that_misses_its_limit_most_is_named():
    around = Surroundings("ur5e", Limits(keep_out={"post": ([0.3, -0.3, -0.2], [0.7, 0.3, 0.1])}))
    low = HOME + [0, 0.65, 0, -0.65, 0, 0]
    deeper = HOME + [0, 0.75, 0, -0.75, 0, 0]
    assert near(around, HOME, low).startswith("keep-out post")
    assert near(around, HOME, deeper).startswith("keep-out post")
    assert float(near(around, HOME, deeper).split()[3]) < float(near(around, HOME, low).split()[3])


def test_an_arm_that_is_too_near_may_move_away_but_no_nearer():
    around = Surroundings("ur5e", Limits())
    low = HOME + [0, 0.75, 0, -0.75, 0, 0]
    assert near(around, low, low - [0, 0.001, 0, -0.001, 0, 0]) == ""
    assert near(around, low, low) == ""
    assert near(around, low, low + [0, 0.001, 0, -0.001, 0, 0]).startswith("table: fingers")


def test_moving_away_from_one_thing_is_no_leave_to_come_nearer_to_another():
    around = Surroundings("ur5e", Limits(keep_out={"roof": ([0.5, -0.3, 0.5], [0.9, 0.3, 0.6])}))
    low = HOME + [0, 0.75, 0, -0.75, 0, 0]
    risen = HOME + [0, 0.6, -0.9, 0, 0, 0]
    assert near(around, low, risen).startswith("keep-out roof")


# --- home, and neighbours


def test_a_cell_in_which_the_arm_cannot_be_at_home_is_refused_with_what_is_in_the_way():
    words = r"the ur5e at home: keep-out post: .* m from it ahead, limit 0.001 m; change robot.limits to what is there"
    with pytest.raises(ConfigError, match=words):
        Surroundings("ur5e", Limits(keep_out={"post": ([0.4, -0.1, 0.0], [0.5, 0.1, 0.4])}))
    with pytest.raises(ConfigError, match="the ur5e at home: table: upper_arm_link -0"):
        Surroundings("ur5e", Limits(table=0.2))


LEFT = Neighbour("fr3", [0, 0.95, 0, 0, 0, -0.7071, 0.7071])


def test_nothing_moves_until_a_neighbour_has_been_seen_where_it_can_be_and_while_it_is_not_seen():
    around = Surroundings("ur5e", Limits(neighbours={"left": LEFT}))
    there = robot("fr3").home
    assert near(around, HOME, HOME) == "neighbour left: not seen yet"
    around.see_neighbour("left", there, 0.2)
    assert near(around, HOME, HOME) == ""
    around.see_neighbour("left", there, 0.21)
    assert near(around, HOME, HOME) == "neighbour left: seen 0.210 s ago, limit 0.200 s"
    around.see_neighbour("left", there, -0.3)
    assert near(around, HOME, HOME) == "neighbour left: seen -0.300 s ago, limit 0.200 s"
    around.see_neighbour("left", there, np.nan)
    assert near(around, HOME, HOME).startswith("neighbour left: seen nan s ago")
    around.see_neighbour("left", there[:2], 0.0)
    assert near(around, HOME, HOME) == "neighbour left: at [ 0.       -0.259432], expected 7 joints"
    around.see_neighbour("left", there * [np.nan, 1, 1, 1, 1, 1, 1], 0.0)
    assert near(around, HOME, HOME).endswith("expected 7 joints")
    around.see_neighbour("left", there, 0.0)
    assert near(around, HOME, HOME) == ""


def test_a_neighbour_that_stands_still_need_not_be_seen_and_is_where_it_stands():
    there, turned = robot("fr3").home + [0, 0.4, 0, 0, 0, 0, 0], HOME + [1.1, 0, 0, 0, 0, 0]
    stands = Neighbour("fr3", LEFT.base, q=there.tolist())
    around, seen = (Surroundings("ur5e", Limits(neighbours={"left": neighbour})) for neighbour in (stands, LEFT))
    assert near(around, HOME, HOME) == ""
    seen.see_neighbour("left", there, 0.0)
    assert around.room(turned) == seen.room(turned) < 0.0


def test_a_neighbour_nobody_configured_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r"^no neighbour 'right'; there are: left"):
        Surroundings("ur5e", Limits(neighbours={"left": LEFT})).see_neighbour("right", HOME, 0.0)
    with pytest.raises(ConfigError, match=r"^no neighbour 'right'; there are: none"):
        Surroundings("ur5e", Limits()).see_neighbour("right", HOME, 0.0)


def test_a_neighbour_that_comes_nearer_is_noticed_though_our_arm_stands_still():
    around = Surroundings("ur5e", Limits(neighbours={"left": LEFT}))
    their = robot("fr3").home.copy()
    reached = HOME + [1.05, 0, 0, 0, 0, 0]
    step = np.array([1e-4, 0, 0, 0, 0, 0])
    reasons = []
    for lean in np.linspace(0.9, 0.0, 200):
        around.see_neighbour("left", their + [0, lean, 0, 0, 0, 0, 0], 0.0)
        towards, away = near(around, reached, reached + step), near(around, reached, reached - step)
        assert away == ""
        reasons.append(towards.split(":")[0])
    assert reasons[0] == ""
    assert reasons[-1] == "neighbour left"
    assert reasons == sorted(reasons)


def test_a_neighbour_that_stands_still_takes_no_second_look():
    around = Surroundings("ur5e", Limits(neighbours={"left": LEFT}))
    around.see_neighbour("left", robot("fr3").home, 0.0)
    near(around, HOME, HOME)
    around._look = None  # would raise
    around.see_neighbour("left", robot("fr3").home, 0.0)
    assert near(around, HOME, HOME) == ""


def test_several_neighbours_are_each_where_they_are():
    base = [0, -0.95, 0, 0, 0, 0.7071, 0.7071]
    both = Surroundings("ur5e", Limits(neighbours={"left": LEFT, "right": Neighbour("ur5e", base)}))
    both.see_neighbour("left", robot("fr3").home, 0.0)
    assert near(both, HOME, HOME) == "neighbour right: not seen yet"
    both.see_neighbour("right", HOME, 0.0)
    only = Surroundings("ur5e", Limits(neighbours={"right": Neighbour("ur5e", base, q=HOME.tolist())}))
    turned = HOME - [1.1, 0, 0, 0, 0, 0]
    assert_allclose(both.room(turned), only.room(turned))
    assert near(both, HOME, turned) == near(only, HOME, turned) != ""
