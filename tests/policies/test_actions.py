import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from policies.actions import FieldVector, pose_from_9, pose_to_9
from robot_stack import pose as se3
from robot_stack.spec import Field, Spec

POSE = Field("requested.pose", (7,), unit="m,1", frame="base_from_tcp")
SPEC = Spec([POSE, Field("requested.grip", unit="m"), Field("points", (2, 3), unit="m")])
QUATERNIONS = arrays(float, (4,), elements=st.floats(-1.0, 1.0)).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(QUATERNIONS)
def test_a_pose_survives_the_network_representation_up_to_the_sign_of_the_quaternion(q: np.ndarray) -> None:
    q = q / np.linalg.norm(q)
    pose = torch.tensor([0.1, -0.2, 0.3, *q], dtype=torch.float64)
    back = pose_from_9(pose_to_9(pose)).numpy()
    assert np.allclose(back[:3], pose[:3])
    assert abs(abs(back[3:] @ q) - 1.0) < 1e-9


@given(QUATERNIONS)
def test_the_rotation_numbers_are_those_of_the_ground(q: np.ndarray) -> None:
    pose = np.array([0.0, 0.0, 0.0, *(q / np.linalg.norm(q))])
    assert np.allclose(pose_to_9(torch.from_numpy(pose))[3:].numpy(), se3.rotation6d(pose), atol=1e-9)


def test_half_turns_about_every_axis_come_back() -> None:
    poses = torch.cat([torch.zeros(4, 3), torch.eye(4)], dim=1)
    assert torch.allclose(pose_from_9(pose_to_9(poses)).abs(), poses.abs(), atol=1e-6)


def test_rotations_come_out_orthonormal_whatever_the_network_says() -> None:
    pose = pose_from_9(torch.randn(100, 9, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(pose[:, 3:].norm(dim=1), torch.ones(100), atol=1e-5)


def test_fields_come_back_from_a_vector_with_their_names_and_shapes() -> None:
    vector = FieldVector(SPEC)
    assert (vector.width, vector.size) == (7 + 1 + 6, 9 + 1 + 6)
    values = {
        "requested.pose": torch.tensor([[0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 1.0]]),
        "requested.grip": torch.tensor([0.05]),
        "points": torch.arange(6.0).reshape(1, 2, 3),
    }
    back = vector.split(vector.decode(vector.encode(vector.join(values, lead=1))))
    for name, value in values.items():
        assert torch.allclose(back[name], value)


def test_only_rotations_are_bounded_by_nature() -> None:
    assert FieldVector(SPEC).bounded.tolist() == [False] * 3 + [True] * 6 + [False] * 7
