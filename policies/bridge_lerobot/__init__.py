"""LeRobot's policies as ours, and ours as LeRobot's.

`LeRobotPolicy` trains and flies any policy of LeRobot by its type name: `robot-stack train policy=lerobot_act`.
`open_pretrained` makes a policy of ours of a folder that LeRobot saved; `export` is the way back.
"""

from policies.bridge_lerobot.policy import LeRobotPolicy
from policies.bridge_lerobot.pretrained import open_pretrained

__all__ = ["LeRobotPolicy", "open_pretrained"]
