"""Small data sets, and the configs of every policy at a size that a test can afford."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policies import Policy
from policies.windows import Windows
from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.types import Source

WINDOW = {"_target_": "policies.Window", "history": 2, "horizon": 8, "execute": 4}
SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("pose", (7,), unit="m,1", frame="base_from_tcp"),
        Field("grip", unit="m"),
        Field("image.top", (24, 32, 3), "u1"),
        Field("requested.pose", (7,), unit="m,1", frame="base_from_tcp"),
        Field("requested.grip", unit="m"),
        Field("source", dtype="u1"),
    ]
)
NETS: dict[str, dict[str, Any]] = {
    "bc": {"_target_": "policies.networks.mlp.Mlp", "_partial_": True, "width": 64, "blocks": 2},
    "perceptrons": {"_target_": "policies.networks.mlp.MlpDenoiser", "_partial_": True, "width": 64, "blocks": 2},
    "unet": {"_target_": "policies.networks.unet1d.UNet1d", "_partial_": True, "channels": [16, 32]},
    "bctransformer": {
        "_target_": "policies.networks.transformer.Transformer",
        "_partial_": True,
        "rows": 2,
        "horizon": 8,
        "width": 32,
        "layers": 2,
    },
    "gru": {"_target_": "policies.networks.recurrent.Recurrent", "_partial_": True, "rows": 2, "width": 64},
    "transformer": {
        "_target_": "policies.networks.transformer.TransformerDenoiser",
        "_partial_": True,
        "rows": 2,
        "width": 32,
        "layers": 2,
    },
}
NETS |= {"velocity": NETS["unet"], "flow": NETS["perceptrons"]}
NETS |= {"beso": {**NETS["perceptrons"], "width": 256}}  # wider than a chunk has numbers: it must put out noise too
BC = {"_target_": "policies.bc.BehaviourCloning"}
DIFFUSION = {"_target_": "policies.diffusion.Diffusion", "prediction": "sample"}
HEADS: dict[str, dict[str, Any]] = {
    "bc": BC,
    "bctransformer": BC,
    "gru": {"_target_": "policies.gmm.GaussianMixture", "modes": 2, "least": 0.03},
    "act": {"_target_": "policies.act.Act", "width": 32, "layers": 1, "feedforward": 64, "dropout": 0.0},
    "perceptrons": DIFFUSION,
    "unet": {**DIFFUSION, "prediction": "noise"},
    "transformer": {**DIFFUSION, "prediction": "noise"},
    "velocity": {**DIFFUSION, "prediction": "velocity", "sampler": "ddpm"},
    "beso": {"_target_": "policies.beso.Beso"},
    "flow": {"_target_": "policies.flow.Flow"},
}
IMAGES = {
    "_target_": "policies.observation.Images",
    "encoder": {"_target_": "policies.vision.SmallCnn", "_partial_": True, "features": 16, "channels": 16},
    "resolution": [24, 32],
    "crop": [20, 28],
    "color": 0.2,
}
POLICIES = (*HEADS, "bc_images", "perceptrons_images", "act_images")


def _config(name: str) -> dict[str, Any]:
    head, _, images = name.partition("_")
    return {
        **HEADS[head],
        "_partial_": True,
        "observe": ["pose", "grip", *(["image.top"] if images else [])],
        "act": ["requested.pose", "requested.grip"],
        "window": WINDOW,
        **({"net": NETS[head]} if head in NETS else {}),
        **({"images": IMAGES} if images else {}),
    }


@pytest.fixture(params=POLICIES)
def policy_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The `policy` part of a config, for each policy there is."""
    return _config(request.param)


@pytest.fixture
def config_of() -> Callable[[str], dict[str, Any]]:
    """The `policy` part of the config of a named policy."""
    return _config


@pytest.fixture
def spec() -> Spec:
    """Of rows with numbers, poses and a camera."""
    return SPEC


def _rows(random: np.random.Generator, length: int) -> np.ndarray[Any, Any]:
    """A tool that goes to where it is asked to, a row late; the picture shows how high it is."""
    rows = np.zeros(length, SPEC.dtype)
    asked = np.cumsum(random.normal(0.0, 0.02, (length + 1, 3)), axis=0) + (0.4, 0.0, 0.3)
    rows["time"] = np.arange(length) / 10.0
    rows["pose"][:, :3], rows["requested.pose"][:, :3] = asked[:-1], asked[1:]
    turn = np.linspace(0.0, 1.0, length)
    for name in ("pose", "requested.pose"):
        rows[name][:, 5], rows[name][:, 6] = np.sin(turn / 2), np.cos(turn / 2)
    rows["grip"] = rows["requested.grip"] = np.linspace(0.08, 0.0, length)
    rows["image.top"] = (asked[:-1, 2] * 300).clip(0, 255).astype(np.uint8)[:, None, None, None]
    rows["source"] = Source.OPERATOR
    return rows


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six short episodes."""
    random = np.random.default_rng(0)
    made = Store.create(tmp_path / "store", SPEC, {"name": "toy", "robot": "", "rate": 10.0})
    for length in (12, 20, 16, 14, 18, 22):
        writer = made.writer({"kind": "collect", "task": "toy"})
        for row in _rows(random, length):
            writer.append(row)
        writer.commit("success")
    made.close()
    return made


@pytest.fixture
def two_ways(store: Store) -> Callable[[Policy], torch.Tensor]:
    """Trains a policy on one start from which half of the chunks go to -1 and half to 1, and asks it 64 times where it
    goes from there: the opening that it proposes, mean of each chunk (64,)."""

    def reached(policy: Policy) -> torch.Tensor:
        data = Windows(store.episodes, policy.observes, policy.acts, policy.window)
        policy.fit(data.observe, data.numbers())
        batch = data.batch(torch.zeros(64, dtype=torch.long))
        goal = torch.where(torch.arange(64) % 2 == 0, 1.0, -1.0)[:, None, None]
        chunk = goal.expand(-1, policy.window.horizon, policy.targets.size)
        batch.action = policy.decode(chunk, batch.observe)
        optimiser = torch.optim.AdamW(policy.train().parameters(), lr=3e-3)
        for _ in range(200):
            optimiser.zero_grad()
            policy.loss(batch).mean().backward()
            optimiser.step()
        with torch.inference_mode():
            asked = policy.eval().act(batch.observe, generators=[torch.Generator().manual_seed(i) for i in range(64)])
            return policy.encode(asked, batch.observe)[..., -1].mean(dim=1)

    return reached


@pytest.fixture
def training(store: Store, tmp_path: Path, config_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """A whole config of `train` that takes a second."""
    return {
        "task": {"name": "toy"},
        "policy": config_of("perceptrons"),
        "weights": {"_target_": "policies.weights.Uniform"},
        "store": str(store.path),
        "out": str(tmp_path / "run"),
        "resume": None,
        "cache": str(tmp_path / "cache"),
        "cache_limit": 1.0,
        "memory": 1.0,
        "verdicts": ["success", "unknown"],
        "validation": 0.1,
        "steps": 30,
        "batch": 16,
        "rate": 1e-3,
        "warmup": 5,
        "weight_decay": 1e-4,
        "clip": 1.0,
        "ema_power": 0.75,
        "log_every": 5,
        "validate_every": 10,
        "checkpoint_every": 1000,
        "rollouts": 0,
        "rollout_every": 10,
        "keep": 1,
        "patience": 0,
        "tracker": None,
        "compile": False,
        "schedule": "cosine",
        "accumulate": 1,
        "seed": 0,
        "precision": "float32",
        "threads": 1,
        "device": "cpu",
    }
