import torch

from policies.normalize import Normalizer


def test_training_data_fills_minus_one_to_one() -> None:
    values = torch.tensor([[0.0, -5.0], [10.0, 15.0], [3.0, 0.0]])
    normalizer = Normalizer(2)
    normalizer.fit(values)
    assert normalizer(values).amin(dim=0).tolist() == [-1.0, -1.0]
    assert normalizer(values).amax(dim=0).tolist() == [1.0, 1.0]
    assert torch.allclose(normalizer.inverse(normalizer(values)), values, atol=1e-5)


def test_a_constant_dimension_is_centred_and_not_blown_up() -> None:
    normalizer = Normalizer(1)
    normalizer.fit(torch.tensor([[7.0], [7.00001]]))
    assert normalizer.scale.item() == 1.0
    assert abs(normalizer(torch.tensor([[7.0]])).item()) < 1e-4


def test_fixed_dimensions_stay_as_they_are() -> None:
    normalizer = Normalizer(2)
    normalizer.fit(torch.tensor([[0.0, 0.2], [4.0, 0.4]]), fixed=torch.tensor([False, True]))
    assert normalizer(torch.tensor([[4.0, 0.3]])).tolist() == [[1.0, torch.tensor(0.3).item()]]


def test_limits_are_saved_with_the_weights() -> None:
    assert set(Normalizer(3).state_dict()) == {"offset", "scale"}
