"""What can end a motion of the controller's own accord."""


class ProtectiveStop(Exception):  # noqa: N818  it is what it is called
    """The safety system stops the arm: the reason, in words."""


class RuntimeFault(Exception):  # noqa: N818  UR calls it a runtime exception
    """The program cannot go on and ends: the reason, in words."""
