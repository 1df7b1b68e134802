"""LeRobot's policies as ours, and ours as LeRobot's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from omegaconf import OmegaConf
from rich.console import Console
from torch import Generator

from policies import Batch, Policy, Window, checkpoint
from policies.bridge_lerobot import LeRobotPolicy
from policies.bridge_lerobot.adopt import adopt
from policies.bridge_lerobot.export import export
from policies.bridge_lerobot.features import ENVIRONMENT, STATE
from policies.bridge_lerobot.upstream import configure, make, processors
from policies.pilot import Pilot
from policies.train import Stop, train, weighted
from policies.windows import Windows
from robot_stack.cli import CONFIGS, main
from robot_stack.configuration import compose
from robot_stack.spec import Field, Spec
from robot_stack.station import CHUNK_STEPS, Topic
from robot_stack.store import Store
from robot_stack.store.formats.replay_layout import PUSHT
from robot_stack.types import CheckpointError, ConfigError

SIZES: dict[str, dict[str, Any]] = {
    "diffusion": {
        "down_dims": [16, 32],
        "diffusion_step_embed_dim": 16,
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 3,
        "pretrained_backbone_weights": None,
        "use_group_norm": True,
        "spatial_softmax_num_keypoints": 4,
    },
    "act": {
        "dim_model": 32,
        "dim_feedforward": 64,
        "n_heads": 4,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "dropout": 0.0,
        "pretrained_backbone_weights": None,
    },
}
WINDOWS = {"diffusion": Window(2, 7, 4), "act": Window(1, 8, 4)}
KINDS = tuple(SIZES)


def config_of_kind(kind: str, pictures: bool = False) -> dict[str, Any]:
    window = WINDOWS[kind]
    config: dict[str, Any] = {
        "_target_": "policies.bridge_lerobot.LeRobotPolicy",
        "_partial_": True,
        "kind": kind,
        "settings": SIZES[kind],
        "observe": ["pose", "grip"],
        "act": ["requested.pose", "requested.grip"],
        "window": {
            "_target_": "policies.Window",
            "history": window.history,
            "horizon": window.horizon,
            "execute": window.execute,
        },
    }
    if pictures:
        config["observe"] = ["pose", "grip", "image.top"]
        config["images"] = {
            "_target_": "policies.observation.Images",
            "encoder": {"_target_": "policies.bridge_lerobot.features.Pixels", "_partial_": True},
            "resolution": [24, 32],
            "crop": [20, 28],
        }
    return config


def made(config: dict[str, Any], store: Store) -> tuple[Any, Batch]:
    """A policy that knows its data, and a batch of it."""
    torch.manual_seed(0)
    policy = checkpoint.build(config, store.spec)
    data = Windows(store.episodes, config["observe"], config["act"], policy.window)
    policy.fit(data.observe, data.numbers())
    return policy, data.batch(torch.arange(0, len(data), len(data) // 8)[:8])


def loss_again(policy: Policy, batch: Batch) -> torch.Tensor:
    torch.manual_seed(1)
    return policy.loss(batch)


@pytest.mark.parametrize("pictures", [False, True], ids=["numbers", "pictures"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_of_lerobots_keeps_our_interface(kind: str, pictures: bool, store: Store) -> None:
    policy, batch = made(config_of_kind(kind, pictures), store)
    horizon = policy.window.horizon
    loss = policy.loss(batch)
    assert loss.shape == (8, horizon)
    assert torch.isfinite(loss).all()
    weighted(loss, batch).backward()
    assert sum(float(p.grad.abs().sum()) for p in policy.parameters() if p.grad is not None) > 0.0
    policy.eval()
    with torch.inference_mode():
        chunk = policy.act(batch.observe, generators=[Generator().manual_seed(i) for i in range(8)])
        alone = policy.act({n: v[3:4] for n, v in batch.observe.items()}, generators=[Generator().manual_seed(3)])
    assert chunk.shape == (8, horizon, 8)
    assert torch.allclose(chunk[..., 3:7].norm(dim=-1), torch.ones(8, horizon), atol=1e-4)
    assert torch.allclose(alone[0], chunk[3], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_its_loss_is_upstreams_when_every_step_counts_the_same(kind: str, store: Store) -> None:
    policy, batch = made(config_of_kind(kind), store)
    batch.valid = torch.ones_like(batch.valid)
    given = policy._given(batch.observe)
    action = policy.encode(batch.action, batch.observe)
    given["action"] = torch.cat([action[:, :1].expand(-1, policy.lead, -1), action], dim=1)
    given["action_is_pad"] = torch.zeros(given["action"].shape[:2], dtype=torch.bool)
    torch.manual_seed(1)
    theirs, _ = policy.upstream.forward(policy._before(given))
    steps = policy.window.horizon + policy.lead  # the copy of the first waypoint counts as that one's
    ours = loss_again(policy, batch).sum(dim=1).mean() / steps
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_reaches_the_step_that_it_is_of_and_no_other(kind: str, store: Store) -> None:
    policy, batch = made(config_of_kind(kind), store)
    batch.valid = torch.ones_like(batch.valid)
    before = loss_again(policy, batch).detach()
    batch.action = batch.action.clone()
    batch.action[:, -1, 7] += 1.0  # the last step's target is another
    policy.upstream.eval()  # without the encoder of ACT, which sees all steps
    still, other = (loss_again(policy, one).detach() for one in (batch, batch))
    assert torch.equal(still, other)
    assert (before[:, -1] != still[:, -1]).any()
    errors = loss_again(policy, batch)
    batch.weight = torch.zeros_like(batch.weight)
    batch.weight[:, 0] = 1.0
    (gradient,) = torch.autograd.grad(weighted(errors, batch), errors)
    assert (gradient[:, 1:] == 0.0).all()
    assert (gradient[:, 0] > 0.0).all()


def test_a_policy_with_one_loss_a_batch_refuses_weights(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, batch = made(config_of_kind("act"), store)
    monkeypatch.setattr("policies.bridge_lerobot.errors.STEP_ERRORS", {})
    policy.upstream.forward = lambda given: (policy.upstream.model(given)[0].square().mean(), {})
    assert policy.loss(batch).shape == batch.valid.shape
    batch.weight[0, 0] = 0.0  # nobody asked for it: padding
    policy.loss(batch)
    batch.weight[0, 1] = 2.0
    with pytest.raises(ConfigError, match="one loss a batch, no step can weigh more: weights=uniform"):
        policy.loss(batch)


def test_what_is_drawn_takes_the_steps_it_is_told(store: Store) -> None:
    policy, batch = made(config_of_kind("diffusion"), store)
    policy.eval()
    calls: list[int] = []
    policy.upstream.diffusion.unet.register_forward_hook(lambda *_: calls.append(1))
    for steps in (5, None):
        policy.act(batch.observe, steps)
    assert len(calls) == 5 + 3


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_trained_by_our_loop_and_flown_by_our_pilot(kind: str, training: dict[str, Any]) -> None:
    config = {**training, "policy": config_of_kind(kind), "steps": 12}
    folder = train(config, Stop(), Console(quiet=True))
    assert {file.name for file in folder.iterdir()} >= {"spec.json", "config.json", "model.safetensors"}
    pilot = Pilot(folder, device="cpu")
    rows = Store.open(config["store"]).episodes[0].rows(0, 2)
    chunk = pilot.chunk([rows[i] for i in range(pilot.window.history)], Flown(Store.open(config["store"]).spec))
    assert int(chunk["count"]) == pilot.window.horizon
    assert np.isfinite(chunk["pose"]).all()


class Flown:
    """What a pilot reads of a station."""

    rate = 10.0

    def __init__(self, row: Spec) -> None:
        self.row = row
        count = (CHUNK_STEPS,)
        stamps = [Field(name, unit="s") for name in ("time", "observed", "pictured")]
        head = [Field("source", dtype="u1"), Field("kind", dtype="u1"), Field("count", dtype="i8")]
        body = [Field("times", count, unit="s"), Field("pose", (CHUNK_STEPS, 7)), Field("grip", count)]
        self.chunk = Topic("chunk", Spec([*stamps, *head, *body]), 8)


def saved_by_lerobot(kind: str, folder: Path, store: Store) -> tuple[Any, Any, Any]:
    """A policy with statistics of its own, saved as LeRobot's trainer does; and its two processors."""
    return made_by_lerobot(kind, folder, {STATE: ("STATE", [7]), ENVIRONMENT: ("ENV", [1])})


def made_by_lerobot(kind: str, folder: Path, features: dict[str, tuple[str, list[int]]]) -> tuple[Any, Any, Any]:
    """The same, of these features: name -> (type, shape)."""
    torch.manual_seed(0)
    steps = {"diffusion": {"n_obs_steps": 2, "horizon": 8, "n_action_steps": 4}, "act": {"chunk_size": 8}}
    settings = {
        **SIZES[kind],
        **steps[kind],
        **({"n_action_steps": 4} if kind == "act" else {}),
        "input_features": {key: {"type": type_, "shape": shape} for key, (type_, shape) in features.items()},
        "output_features": {"action": {"type": "ACTION", "shape": [8]}},
    }
    config = configure(kind, settings)
    policy = make(config)
    numbers = {key: shape[0] for key, (type_, shape) in features.items() if type_ != "VISUAL"} | {"action": 8}
    stats = {
        key: {name: np.random.default_rng(size).uniform(low, low + 1.0, size) for low, name in enumerate(names)}
        for key, size in numbers.items()
        for names in [("min", "mean", "max", "std")]
    }
    before, after = processors(config, stats)
    policy.save_pretrained(folder)
    for pipeline in (before, after):
        pipeline.save_pretrained(folder)
    return policy.eval(), before, after


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_lerobot_saved_becomes_a_checkpoint_that_proposes_what_it_proposes_there(
    kind: str, store: Store, tmp_path: Path
) -> None:
    policy, before, after = saved_by_lerobot(kind, tmp_path / "theirs", store)
    observe, act = ["pose", "grip"], ["requested.pose", "requested.grip"]
    adopt(tmp_path / "theirs", tmp_path / "run/step-0000000", store.spec, {"name": "toy"}, 10.0, observe, act)
    (tmp_path / "theirs").rename(tmp_path / "gone")  # it needs the folder no more
    loaded = checkpoint.load(tmp_path / "run")
    ours = loaded.policy()
    assert loaded.card["rate"] == 10.0
    assert ours.window == WINDOWS[kind]
    batch = Windows(store.episodes, observe, act, ours.window).batch(torch.arange(4))
    seen = {STATE: batch.observe["pose"], ENVIRONMENT: batch.observe["grip"][..., None]}
    if kind == "act":
        seen = {key: value[:, -1] for key, value in seen.items()}
    noise = torch.stack([torch.randn(8, 8, generator=Generator().manual_seed(i)) for i in range(4)])
    policy.config.n_action_steps = ours.window.horizon
    with torch.inference_mode():
        theirs = after(policy.predict_action_chunk(before(seen), **({"noise": noise} if kind == "diffusion" else {})))
        chunk = ours.act(batch.observe, generators=[Generator().manual_seed(i) for i in range(4)])
    unit = torch.nn.functional.normalize(theirs[..., 3:7], dim=-1)  # ours are rotations
    assert torch.allclose(chunk, torch.cat([theirs[..., :3], unit, theirs[..., 7:]], dim=-1), atol=1e-5)
    assert torch.isfinite(ours.train().loss(batch)).all()


def test_the_command_line_takes_in_what_lerobot_saved_with_its_pictures(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = {STATE: ("STATE", [7]), "observation.images.x": ("VISUAL", [3, 24, 32])}
    policy, before, after = made_by_lerobot("act", tmp_path / "theirs", features)
    said = [f"from={tmp_path / 'theirs'}", f"store={store.path}", f"to={tmp_path / 'run'}"]
    said += ["observe=[pose,image.top]", "act=[requested.pose,requested.grip]"]
    assert main(["policy", "import", *said]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "run/step-0000000")]
    pilot = Pilot(tmp_path / "run", device="cpu")
    row = store.episodes[0].rows(0, 1)[0]
    wanted = pilot.chunk([row], Flown(store.spec))
    picture = torch.from_numpy(row["image.top"].copy()).permute(2, 0, 1)[None] / 255.0
    seen = {STATE: torch.from_numpy(row["pose"].astype(np.float32))[None], "observation.images.x": picture}
    policy.config.n_action_steps = 8
    with torch.inference_mode():
        proposed = after(policy.predict_action_chunk(before(seen)))[0].numpy()
    assert np.allclose(proposed[:, :3], wanted["pose"][:8, :3], atol=1e-5)
    assert np.allclose(proposed[:, 7], wanted["grip"][:8], atol=1e-5)
    assert main(["policy", "import", *said]) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_key_pretrained_takes_the_weights_for_training(store: Store, tmp_path: Path) -> None:
    policy, *_ = saved_by_lerobot("act", tmp_path / "theirs", store)
    config = {**config_of_kind("act"), "kind": "", "settings": {}, "pretrained": str(tmp_path / "theirs")}
    ours, batch = made(config, store)
    for name, value in policy.state_dict().items():
        assert torch.equal(ours.upstream.state_dict()[name], value)
    assert loss_again(ours, batch).shape == batch.valid.shape
    with pytest.raises(CheckpointError, match=r"no policy that LeRobot saved.*config\.json"):
        made({**config, "pretrained": str(tmp_path)}, store)
    with pytest.raises(ConfigError, match=r"wants .*environment_state.*policy.observe and act make"):
        checkpoint.build({**config, "observe": ["grip", "pose"]}, store.spec)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "difusion"}, r"no policy 'difusion'\. Did you mean diffusion\?"),
        ({"settings": {"down_dim": [8]}}, "has no setting down_dim; there are: .*down_dims"),
        ({"window": {"_target_": "policies.Window", "history": 2, "horizon": 8, "execute": 4}}, "refuses its settings"),
        ({"kind": "smolvla", "settings": {"n_obs_steps": 1}}, "not installed|refuses"),
    ],
)
def test_what_upstream_does_not_know_or_have_is_said(change: dict[str, Any], said: str, spec: Spec) -> None:
    with pytest.raises(ConfigError, match=said):
        checkpoint.build({**config_of_kind("diffusion"), **change}, spec)


@pytest.fixture
def ours(store: Store, config_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> tuple[Path, Batch]:
    """A checkpoint of ours that draws, and a batch."""
    config = config_of("perceptrons_images")
    policy, batch = made(config, store)
    return checkpoint.save(tmp_path / "run" / "step-0000001", policy.eval(), {"policy": config}, {"rate": 10.0}), batch


def test_a_policy_of_ours_is_opened_by_lerobots_factory_and_proposes_what_our_pilot_does(
    ours: tuple[Path, Batch], store: Store, tmp_path: Path
) -> None:
    folder, _ = ours
    export(folder, tmp_path / "exported")
    config = PreTrainedConfig.from_pretrained(tmp_path / "exported")
    policy = get_policy_class(config.type).from_pretrained(tmp_path / "exported", config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(tmp_path / "exported"))
    first = store.episodes[0].rows(0, 1)[0]
    wanted = Pilot(folder, device="cpu", seed=7).chunk([first, first], Flown(store.spec))
    numbers = np.concatenate([first["pose"], first["grip"][None]]).astype(np.float32)
    picture = torch.from_numpy(first["image.top"].copy()).permute(2, 0, 1) / 255.0
    seen = before({STATE: torch.from_numpy(numbers)[None], "observation.images.top": picture[None]})
    torch.manual_seed(7)
    flown = np.concatenate([after(policy.select_action(seen)).numpy() for _ in range(4)])  # one chunk, drawn at once
    assert flown.shape == (4, 8)
    assert np.allclose(flown[:, :7], wanted["pose"][:4], atol=1e-6)
    assert np.allclose(flown[:, 7], wanted["grip"][:4], atol=1e-6)


def test_lerobot_can_go_on_training_it(ours: tuple[Path, Batch], tmp_path: Path) -> None:
    folder, batch = ours
    policy = export(folder, tmp_path / "exported").train()
    assert policy.config.observation_delta_indices == [-1, 0]
    given = {
        STATE: torch.cat([batch.observe["pose"], batch.observe["grip"][..., None]], dim=-1),
        "observation.images.top": batch.observe["image.top"].movedim(-1, -3) / 255.0,
        "action": batch.action,
        "action_is_pad": ~batch.valid,
    }
    loss, _ = policy.forward(given)
    assert torch.isfinite(loss)
    loss.backward()
    assert all(p.grad is not None for p in policy.get_optim_params())
    each, _ = policy.forward(given, reduction="none")
    assert each.shape == (8,)


def test_the_command_line_hands_ours_to_lerobot(
    ours: tuple[Path, Batch], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        f"checkpoint={ours[0]}",
        f"to={tmp_path / 'out'}",
        "places={observation.state:[grip,pose],observation.image:[image.top]}",
    ]
    assert main(["policy", "export", *said]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == ["observation.state: grip, pose", "observation.image: image.top"]
    assert PreTrainedConfig.from_pretrained(tmp_path / "out").input_features["observation.state"].shape == (8,)


def test_an_export_replaces_nothing_and_leaves_nothing_out(ours: tuple[Path, Batch], tmp_path: Path) -> None:
    folder, _ = ours
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        export(folder, tmp_path / "there")
    with pytest.raises(ConfigError, match=r"leaves out grip, image\.top"):
        export(folder, tmp_path / "exported", {STATE: ["pose"]})
    assert not (tmp_path / "exported").exists()


@pytest.mark.parametrize("name", ["lerobot_act", "lerobot_act_images", "lerobot_diffusion", "lerobot_diffusion_images"])
def test_the_config_of_each_builds_it_for_pusht(name: str) -> None:
    config = compose(CONFIGS, "train", [f"policy={name}", "task=pusht"])
    policy = checkpoint.build(OmegaConf.to_container(config, resolve=True)["policy"], PUSHT)
    assert isinstance(policy, LeRobotPolicy)
    assert policy.config.type == name.split("_")[1]
    assert bool(policy.config.image_features) == name.endswith("images")
