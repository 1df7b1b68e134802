"""A policy of ours that LeRobot's code can run: its evaluation, its asynchronous server, its trainer."""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from policies import Batch, checkpoint
from policies.actions import FieldVector
from policies.bridge_lerobot.configuration_robot_stack import RobotStackConfig
from policies.bridge_lerobot.features import ACTION, PADDED
from robot_stack.picture import IMAGE, shrink
from robot_stack.spec import Spec


class RobotStackPolicy(PreTrainedPolicy):
    """Takes rows as LeRobot has them, pictures (…, 3, h, w) in [0, 1], and gives actions in physical units: what
    normalises is inside. Of a conditioned policy, it is told nothing."""

    config_class = RobotStackConfig
    name = "robot_stack"

    def __init__(self, config: RobotStackConfig, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        self.policy = checkpoint.build(json.loads(config.policy), Spec.from_json(config.spec))
        self.reset()

    def reset(self) -> None:
        """An episode begins."""
        self._seen: deque[dict[str, Tensor]] = deque(maxlen=self.config.n_obs_steps)
        self._planned: deque[Tensor] = deque()

    def get_optim_params(self) -> Any:
        """All of them."""
        return self.policy.parameters()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The next action (B, width), for what is seen now (B, …); plans again when `n_action_steps` were flown."""
        self._seen.append({key: batch[key] for key in self.config.layout})
        if not self._planned:
            rows = [self._seen[0]] * (self.config.n_obs_steps - len(self._seen)) + list(self._seen)
            chunk = self.predict_action_chunk({key: torch.stack([row[key] for row in rows], 1) for key in rows[0]})
            self._planned.extend(chunk[:, : self.config.n_action_steps].unbind(1))
        return self._planned.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Tensor], **_: Any) -> Tensor:
        """The chunk (B, horizon, width) after a history (B, n_obs_steps, …), or after one row (B, …) that stood."""
        self.eval()
        return self.policy.act(self._history(batch))

    def forward(self, batch: dict[str, Tensor], reduction: str = "mean") -> tuple[Tensor, None]:
        """Our loss of a batch of LeRobot's loader; reduction: `mean`, or `none` for one a window (B,)."""
        valid = ~batch[PADDED]
        ones = torch.ones_like(batch[ACTION][..., 0])
        errors = self.policy.loss(Batch(self._history(batch), batch[ACTION], valid, ones)) * valid
        if reduction == "none":
            return errors.sum(dim=1) / valid.sum(dim=1), None
        return errors.sum() / valid.sum(), None

    def _history(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """LeRobot's features as our fields, name -> (B, history, *shape)."""
        history: dict[str, Tensor] = {}
        for key, names in self.config.layout.items():
            rows, is_picture = batch[key], names[0].startswith(IMAGE)
            if rows.ndim == (4 if is_picture else 2):
                rows = rows[:, None].expand(-1, self.config.n_obs_steps, *rows.shape[1:])
            if is_picture:
                history[names[0]] = self._pictures(rows)
            else:
                history |= FieldVector(self.policy.spec.select(names)).split(rows)
        return history

    def _pictures(self, pictures: Tensor) -> Tensor:
        """(B, T, 3, h, w) in [0, 1] as bytes of the size that the policy was trained on (B, T, h, w, 3)."""
        images = self.policy.observation.images
        assert images is not None
        whole = (pictures.movedim(-3, -1) * 255.0).round().to(torch.uint8)
        if tuple(whole.shape[2:4]) == images.resolution:
            return whole
        small = [shrink(one, images.resolution) for one in whole.flatten(0, 1).cpu().numpy()]
        return torch.from_numpy(np.stack(small)).unflatten(0, whole.shape[:2]).to(pictures.device)
