"""Controllers to rehearse against: servers on loopback that the unmodified client libraries take for the real thing.

Each is a process of its own (`robot-stack emulate ...`), backed by the MuJoCo scene, so that what is commanded moves an
arm that cameras can see, and with faults on demand. What an emulator models without a robot to compare with is said
beside the code; none of it replaces a test on the real machine.
"""
