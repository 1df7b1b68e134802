import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from robot_stack import pose as se3

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steady")

metres = st.floats(-3, 3, allow_subnormal=False)
radians = st.floats(-1.8, 1.8, allow_subnormal=False)  # a vector of three stays below pi


@st.composite
def poses(draw):
    position = [draw(metres) for _ in range(3)]
    return np.array([*position, *Rotation.from_rotvec([draw(radians) for _ in range(3)]).as_quat()])


twists = st.tuples(metres, metres, metres, radians, radians, radians).map(np.array)


def assert_same(a, b, tolerance=1e-9):
    assert_allclose(se3.to_matrix(a), se3.to_matrix(b), atol=tolerance)


def test_matrices_agree_with_scipy():
    rotation = Rotation.random(20, random_state=0)
    poses = np.concatenate([np.zeros((20, 3)), rotation.as_quat()], axis=1)
    assert_allclose(se3.to_matrix(poses)[:, :3, :3], rotation.as_matrix(), atol=1e-12)


@given(poses(), poses())
def test_composing_is_multiplying_matrices(a, b):
    assert_allclose(se3.to_matrix(se3.compose(a, b)), se3.to_matrix(a) @ se3.to_matrix(b), atol=1e-9)


@given(poses(), poses(), poses())
def test_composing_is_associative(a, b, c):
    assert_same(se3.compose(se3.compose(a, b), c), se3.compose(a, se3.compose(b, c)))


@given(poses())
def test_a_pose_and_its_inverse_make_the_identity(a):
    assert_same(se3.compose(a, se3.inverse(a)), se3.IDENTITY)
    assert_same(se3.compose(se3.inverse(a), a), se3.IDENTITY)


@given(twists)
def test_exp_is_the_matrix_exponential(twist):
    x, y, z = twist[3:]
    generator = np.zeros((4, 4))
    generator[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    generator[:3, 3] = twist[:3]
    assert_allclose(se3.to_matrix(se3.exp(twist)), expm(generator), atol=1e-9)


@given(poses())
def test_exp_undoes_log_whatever_the_sign_of_the_quaternion(a):
    assert_same(se3.exp(se3.log(a)), a)
    assert_same(se3.exp(se3.log(np.concatenate([a[:3], -a[3:]]))), a)


@given(twists, st.sampled_from([1e-3, 1e-5, 1e-9, 0.0]))
def test_log_undoes_exp_down_to_the_smallest_angles(twist, scale):
    twist = twist * [1, 1, 1, scale, scale, scale]
    assert_allclose(se3.log(se3.exp(twist)), twist, atol=1e-9)


@given(poses())
def test_matrices_and_six_dimensional_rotations_come_back(a):
    assert_same(se3.from_matrix(se3.to_matrix(a)), a)
    assert_same(se3.from_rotation6d(a[:3], 3.0 * se3.rotation6d(a)), a)


def test_conversions_take_whole_batches():
    batch = np.zeros((4, 5, 7))
    batch[..., :3] = np.random.default_rng(0).normal(size=(4, 5, 3))
    batch[..., 3:] = Rotation.random(20, random_state=0).as_quat().reshape(4, 5, 4)
    assert se3.rotation6d(batch).shape == (4, 5, 6)
    assert_same(se3.from_rotation6d(batch[..., :3], se3.rotation6d(batch)), batch)


@given(poses(), poses(), st.floats(0, 1))
def test_interpolating_divides_the_distance(a, b, s):
    metres, radians = se3.distance(a, b)
    between = se3.interpolate(a, b, s)
    assert_allclose(se3.distance(a, between), (s * metres, s * radians), atol=1e-6)
    assert_allclose(se3.distance(between, b), ((1 - s) * metres, (1 - s) * radians), atol=1e-6)
    assert_allclose(np.linalg.norm(between[3:]), 1.0)


@given(poses(), poses(), poses())
def test_distance_is_a_metric_that_ignores_the_sign_of_the_quaternion(a, b, c):
    assert_allclose(se3.distance(a, b), se3.distance(b, a), atol=1e-9)
    assert_allclose(se3.distance(a, np.concatenate([b[:3], -b[3:]])), se3.distance(a, b), atol=1e-9)
    for ac, ab, bc in zip(se3.distance(a, c), se3.distance(a, b), se3.distance(b, c), strict=True):
        assert ac <= ab + bc + 1e-9
    assert_allclose(se3.distance(se3.compose(c, a), se3.compose(c, b)), se3.distance(a, b), atol=1e-6)


@given(poses(), poses())
def test_an_offset_leads_from_one_pose_to_the_other_in_their_common_frame(a, b):
    offset = np.array(se3.offset(a.tolist(), b.tolist()))
    turned = Rotation.from_rotvec(offset[3:]) * Rotation.from_quat(a[3:])
    assert_same(np.concatenate([a[:3] + offset[:3], turned.as_quat()]), b, 1e-7)
    assert_allclose((np.linalg.norm(offset[:3]), np.linalg.norm(offset[3:])), se3.distance(a, b), atol=1e-6)


def test_normalizing_keeps_the_pose_and_mends_the_quaternion():
    assert_allclose(se3.normalize(np.array([1.0, 2, 3, 0, 0, 3, 4])), [1, 2, 3, 0, 0, 0.6, 0.8])
    assert_allclose(se3.normalize(np.array([1.0, 2, 3, 0, 0, 0, 0])), [1, 2, 3, 0, 0, 0, 1])
