import pytest
import torch
from torch import nn

from policies.inference import OneGraph
from policies.networks.unet1d import Convolution, UNet1d


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_of_one_sample_in_a_graph_is_pytorchs(kernel: int) -> None:
    layer = Convolution(6, 10, kernel, padding=kernel // 2).eval().requires_grad_(False)
    x = torch.randn(1, 6, 16)
    one = OneGraph(layer)
    assert torch.allclose(one(x), nn.functional.conv1d(x, layer.weight, layer.bias, padding=kernel // 2), atol=1e-5)
    (graph,) = one._graphs.values()
    kinds = {node.kind() for node in graph.graph.nodes()}
    assert "aten::addmm" in kinds
    assert "aten::permute" not in kinds, "weights are ordered once, when the graph is made"


def test_its_weights_are_called_as_those_of_a_plain_convolution() -> None:
    names = {name for name, _ in UNet1d(8, 2, 4, channels=(8, 16)).down[0][0].first.named_parameters()}
    assert names == {"0.weight", "0.bias", "1.weight", "1.bias"}
