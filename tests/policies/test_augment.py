import colorsys

import pytest
import torch
from torch import Generator

from policies.augment import cropped, recolored
from policies.observation import Images
from policies.vision import SmallCnn
from robot_stack.types import ConfigError


def pictures(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, 6, 8, generator=Generator().manual_seed(0)) * 0.4 + 0.3


def test_each_picture_gets_a_light_of_its_own_and_a_seed_gives_it_again() -> None:
    one = pictures(1).expand(40, 3, 6, 8)
    torch.manual_seed(3)
    changed = recolored(one, 0.3)
    assert len(changed.mean(dim=(1, 2, 3)).unique()) == 40
    torch.manual_seed(3)
    assert torch.equal(recolored(one, 0.3), changed)
    assert changed.min() >= 0.0
    assert changed.max() <= 1.0


def test_brightness_stays_in_its_limits_and_no_strength_changes_nothing() -> None:
    assert torch.allclose(recolored(pictures(), 0.0), pictures(), atol=1e-6)
    gray = torch.full((2000, 3, 2, 2), 0.5)
    factor = recolored(gray, 0.3).mean(dim=(1, 2, 3)) / 0.5  # contrast, saturation and hue do nothing to gray
    assert factor.min() == pytest.approx(0.7, abs=0.01)
    assert factor.max() == pytest.approx(1.3, abs=0.01)


def test_a_hue_moves_by_a_tenth_of_the_strength_at_most() -> None:
    """The angle of colour of the NTSC, which is not that of HSV, but close to it."""
    red = torch.tensor([0.6, 0.2, 0.2])[:, None, None].expand(2000, 3, 1, 1)
    hues = [colorsys.rgb_to_hsv(*color.tolist())[0] for color in recolored(red, 0.3).flatten(1) if color.std() > 0.05]
    moved = [min(hue, 1.0 - hue) for hue in hues]
    assert 0.02 < max(moved) < 0.06


def test_the_bytes_of_a_cut_are_those_of_the_picture() -> None:
    whole = torch.arange(12 * 16, dtype=torch.uint8).view(1, 12, 16, 1).expand(30, 12, 16, 3)
    torch.manual_seed(0)
    places = set()
    for cut in cropped(whole, (8, 8), anywhere=True)[..., 0].tolist():
        top, left = divmod(cut[0][0], 16)
        places.add((top, left))
        assert cut == whole[0, top : top + 8, left : left + 8, 0].tolist()
    assert len(places) > 15
    assert torch.equal(cropped(whole, (8, 8), anywhere=False), whole[:, 2:10, 4:12])


def test_only_training_changes_colors() -> None:
    images = Images(SmallCnn, (12, 16), (12, 16), color=0.5)
    bytes_ = torch.randint(255, (4, 12, 16, 3), dtype=torch.uint8, generator=Generator().manual_seed(0))
    plain = images.prepared(bytes_, training=False)
    assert torch.allclose(plain, bytes_.permute(0, 3, 1, 2) / 127.5 - 1.0, atol=1e-6)
    assert not torch.allclose(images.prepared(bytes_, training=True), plain, atol=0.01)


def test_a_strength_of_color_that_means_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"images\.color=1\.5"):
        Images(SmallCnn, (12, 16), (12, 16), color=1.5)
