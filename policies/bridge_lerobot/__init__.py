"""LeRobot's policies as ours, and ours as LeRobot's.

`LeRobotPolicy` trains and flies any policy of LeRobot by its type name: `robot-stack train policy=lerobot_act`.
`robot-stack policy import` makes a checkpoint of ours of a folder that LeRobot saved; `policy export` is the way back.
"""

from policies.bridge_lerobot.policy import LeRobotPolicy

__all__ = ["LeRobotPolicy"]
