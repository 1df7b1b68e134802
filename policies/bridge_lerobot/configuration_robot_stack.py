"""The config of a policy of ours among LeRobot's. Its name and those of the two modules beside it follow LeRobot's rule
by which the factory finds a policy; `--policy.discover_packages_path=policies.bridge_lerobot` makes LeRobot's commands
know it."""

from dataclasses import dataclass, field

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim import AdamWConfig


@PreTrainedConfig.register_subclass("robot_stack")
@dataclass
class RobotStackConfig(PreTrainedConfig):
    """spec, policy: JSON, as in our checkpoint. layout: LeRobot's feature -> the fields in it. n_obs_steps, horizon,
    n_action_steps: our window's history, horizon, execute."""

    spec: str = "[]"
    policy: str = "{}"
    layout: dict[str, list[str]] = field(default_factory=dict)
    n_obs_steps: int = 2
    horizon: int = 16
    n_action_steps: int = 8
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("STATE", "ENV", "VISUAL", "ACTION"), NormalizationMode.IDENTITY)
    )
    optimizer_lr: float = 1e-4
    optimizer_weight_decay: float = 1e-4

    @property
    def observation_delta_indices(self) -> list[int]:
        """Rows that it sees, around now."""
        return list(range(1 - self.n_obs_steps, 1))

    @property
    def action_delta_indices(self) -> list[int]:
        """Rows that it proposes for, from now on."""
        return list(range(self.horizon))

    @property
    def reward_delta_indices(self) -> None:
        """None: it learns from no reward."""
        return

    def get_optimizer_preset(self) -> AdamWConfig:
        """As our trainer."""
        return AdamWConfig(lr=self.optimizer_lr, betas=(0.95, 0.999), weight_decay=self.optimizer_weight_decay)

    def get_scheduler_preset(self) -> None:
        """A rate that stays."""
        return

    def validate_features(self) -> None:
        """Raises ValueError unless it came out of a checkpoint."""
        if not self.layout:
            raise ValueError("a robot_stack policy is made of a checkpoint, by policies.bridge_lerobot.export")
