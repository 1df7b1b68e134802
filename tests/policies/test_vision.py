import pytest
import torch

from policies.observation import Images, Observation
from policies.vision import ResNet18, SmallCnn, SpatialSoftmax
from robot_stack.picture import shrink
from robot_stack.spec import Field, Spec
from robot_stack.types import ConfigError

SPEC = Spec([Field("image.top", (12, 16, 3), "u1")])


def test_spatial_softmax_finds_a_bright_spot() -> None:
    x = torch.zeros(1, 1, 5, 9)
    x[0, 0, 4, 2] = 100.0
    assert torch.allclose(SpatialSoftmax()(x), torch.tensor([[1.0, -0.5]]))


@pytest.mark.parametrize("encoder", [SmallCnn, ResNet18])
def test_an_encoder_has_no_running_statistics_and_gives_as_many_features_as_asked(encoder: type) -> None:
    network = encoder((64, 48), features=7)
    assert network(torch.zeros(2, 3, 64, 48)).shape == (2, 7)
    assert not dict(network.named_buffers())


def test_the_crop_is_random_in_training_and_in_the_middle_otherwise() -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(1, 2, 3))[:, None]

    torch.manual_seed(0)
    observation = Observation(SPEC, Images(lambda size: Sum(), (12, 16), (8, 8)))
    picture = torch.arange(16, dtype=torch.uint8).expand(12, 16)[..., None].repeat(1, 1, 3)
    seen = observation({"image.top": picture.expand(50, 1, 12, 16, 3)})
    assert len(seen.unique()) > 5
    middle = observation.eval()({"image.top": picture[None, None]})
    assert middle.item() == pytest.approx((4 + 11) / 2 / 127.5 - 1.0)


def test_pictures_need_an_encoder() -> None:
    with pytest.raises(ConfigError, match=r"image\.top.*no image encoder"):
        Observation(SPEC, None)


def test_a_crop_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        Images(SmallCnn, (12, 16), (13, 16))


def test_shrinking_to_the_same_size_changes_nothing() -> None:
    picture = torch.randint(255, (12, 16, 3), dtype=torch.uint8).numpy()
    assert shrink(picture, (12, 16)) is picture
    assert shrink(picture, (6, 8)).shape == (6, 8, 3)
