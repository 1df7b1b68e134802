from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from torch import Generator

from policies.observation import Images, Observation
from policies.vision import Encoder, ResNet18, SmallCnn, SpatialSoftmax, Timm, TimmTrunk
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


@pytest.mark.parametrize(
    "encoder",
    [SmallCnn, ResNet18, *(partial(Timm, name=name, pretrained=False) for name in ("test_vit", "test_resnet"))],
    ids=["small", "resnet18", "vit", "timm_resnet"],
)
def test_the_trunk_of_an_encoder_gives_the_map_that_its_head_reads(encoder: Callable[..., Encoder]) -> None:
    """Also of a size that is no multiple of a patch: 60 by 84 is 4 by 6 patches of 16."""
    network = encoder((60, 84), features=5).eval()
    pictures = torch.rand(2, 3, 60, 84, generator=Generator().manual_seed(0)) * 2 - 1
    found = network.trunk(pictures)
    assert found.shape[:2] == (2, network.channels)
    assert min(found.shape[2:]) > 1
    assert torch.equal(network.head(found), network(pictures))
    assert network(pictures).shape == (2, 5)


def test_a_network_of_timm_gets_the_numbers_that_it_was_trained_on() -> None:
    trunk = TimmTrunk("test_vit2")
    white = torch.ones(1, 3, 64, 64)
    wanted = (1.0 - torch.tensor(trunk.network.pretrained_cfg["mean"])) / torch.tensor(
        trunk.network.pretrained_cfg["std"]
    )
    seen: list[torch.Tensor] = []
    trunk.network.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trunk(white)
    assert torch.allclose(seen[0], wanted[:, None, None].expand_as(seen[0]))


def hub(monkeypatch: pytest.MonkeyPatch, published: Callable[[], None]) -> None:
    """What is asked for with its published weights is made after `published`, and has those of another seed."""
    create = timm.create_model

    def made(name: str, pretrained: bool, **more: object) -> torch.nn.Module:
        if pretrained:
            published()
            torch.manual_seed(1)
        return create(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", made)


def test_published_weights_are_taken_when_training_starts_and_not_when_a_checkpoint_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    hub(monkeypatch, lambda: asked.append(1))
    torch.manual_seed(1)
    published = timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict()
    encoder = Timm((32, 32), name="test_vit", frozen=True)
    before = {name: value.clone() for name, value in encoder.trunk.network.state_dict().items()}
    assert not asked
    encoder.start()
    assert asked == [1]
    after = encoder.trunk.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in published.items())
    assert any(not torch.equal(after[name], value) for name, value in before.items())
    assert not any(parameter.requires_grad for parameter in encoder.trunk.parameters())
    assert all(parameter.requires_grad for parameter in encoder.head.parameters())


def test_weights_that_cannot_be_had_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline() -> None:
        raise FileNotFoundError("no connection")

    hub(monkeypatch, offline)
    with pytest.raises(ConfigError, match=r"no connection.*encoder\.pretrained=false.*HF_HOME"):
        Timm((32, 32), name="test_vit").start()


def test_an_unknown_network_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no network 'vit_smal'; it has, among others: .*vit_"):
        Timm((32, 32), name="vit_smal")


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
