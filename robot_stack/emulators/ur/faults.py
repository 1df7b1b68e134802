"""What ends a program of the controller's own accord."""


class RuntimeFault(Exception):  # noqa: N818  UR calls it a runtime exception
    """The program cannot go on and ends: the reason, in words."""
