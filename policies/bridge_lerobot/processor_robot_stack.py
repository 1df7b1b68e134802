"""What LeRobot puts before and after a policy of ours: the device, and no normalisation, which is inside."""

from typing import Any

from lerobot.processor import make_default_pre_post_processors

from policies.bridge_lerobot.configuration_robot_stack import RobotStackConfig


def make_robot_stack_pre_post_processors(config: RobotStackConfig, dataset_stats: Any = None) -> tuple[Any, Any]:
    """Found by LeRobot's factory under this name."""
    return make_default_pre_post_processors(config, None)
