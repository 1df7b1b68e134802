"""What stands on the table: the arm, its cameras, its rates. Lays out every topic and the row of an episode."""

from dataclasses import dataclass, field

from robot_stack.spec import Field, Spec

CHUNK_STEPS = 64
"""Most waypoints in one chunk."""


@dataclass(frozen=True)
class Topic:
    """A stream of records in shared memory. `depth`: how many of the newest a subscriber can fall behind."""

    name: str
    spec: Spec
    depth: int


POSE = "base_from_tcp"

GRIPPER = Topic("gripper", Spec([Field("time", unit="s"), Field("opening", unit="m")]), 16)

REQUEST = Topic(  # from the service to control; its age is the heartbeat of the parent process
    "request",
    Spec(
        [
            Field("time", unit="s"),
            Field("mode", dtype="u1"),
            Field("reset", dtype="u1"),
            Field("recover", dtype="u1"),
            Field("speed", unit="1"),
        ]
    ),
    8,
)
"""mode: types.Mode. reset: 1 clears a latched STOP (only together with HOLD). recover: 1 has the arm's own controller
clear its fault. speed: override, 0..1 of the limits; plans are flown slower by as much."""

EPISODE = Topic(  # from the service to recorder, operator and world
    "episode",
    Spec(
        [
            Field("time", unit="s"),
            Field("number", dtype="i8"),
            Field("recording", dtype="u1"),
            Field("verdict", dtype="i1"),
            Field("seed", dtype="i8"),
        ]
    ),
    8,
)
"""recording 1: rows of episode `number` are wanted from now. 0: it ended; verdict 1 success, 0 failure, -1 unknown,
-2 discard. seed: start state, for a simulated world; the world resets when `number` changes."""

RECORDING = Topic(  # from the recorder
    "recording",
    Spec(
        [
            Field("time", unit="s"),
            Field("number", dtype="i8"),
            Field("rows", dtype="i8"),
            Field("committed", dtype="i8"),
            Field("missed", dtype="i8"),
        ]
    ),
    8,
)
"""number: the open episode or -1. rows: in it. committed: episodes written by this process. missed: row deadlines."""

HEALTH = Spec(
    [
        Field("time", unit="s"),
        Field("count", dtype="i8"),
        Field("rate", unit="Hz"),
        Field("work", unit="s"),
        Field("late", unit="s"),
    ]
)
"""Of one worker, about once a second: iterations so far, measured rate, longest work, worst lateness since the last."""

KEYS = Topic(  # what a person does in the browser, raw
    "keys", Spec([Field("time", unit="s"), Field("pressed", (16,), "u1"), Field("engage", dtype="u1")]), 32
)
"""pressed: teleop.keyboard.KEYS in order, 1 while down."""


@dataclass(frozen=True)
class Station:
    """The measured streams of one robot cell.

    joints: degrees of freedom of the arm. cameras: name -> (height, width). rate: rows a second [Hz].
    control_rate: servo rate of the arm [Hz]. objects: names of bodies whose pose is known (simulation, or a tracker).
    """

    name: str
    joints: int
    cameras: dict[str, tuple[int, int]] = field(default_factory=dict)
    rate: float = 10.0
    control_rate: float = 500.0
    objects: tuple[str, ...] = ()

    @property
    def control(self) -> Topic:
        """What the control loop measured, was asked and sent in one tick."""
        n = self.joints
        return Topic(
            "control",
            Spec(
                [
                    Field("time", unit="s"),  # when the arm's state was measured
                    Field("q", (n,), unit="rad"),
                    Field("dq", (n,), unit="rad/s"),
                    Field("pose", (7,), unit="m,1", frame=POSE),
                    Field("wrench", (6,), unit="N,Nm", frame="base"),
                    *self._request_fields(),
                    Field("target.dq", (n,), unit="rad/s"),
                    Field("speed", unit="1"),  # the override in force, 0..1
                    Field("fault", dtype="S200"),  # why the arm's own controller does not follow; empty while it does
                    Field("reason", dtype="S120"),  # why it is limited, holding or stopped; empty when all is well
                    Field("tick", dtype="i8"),
                    Field("late", unit="s"),  # how late this tick woke
                    Field("work", unit="s"),  # how long the tick before it took
                    Field("missed", dtype="i8"),  # deadlines skipped so far
                ]
            ),
            256,
        )

    @property
    def operator(self) -> Topic:
        """What the person asks for. engaged: the person flies. kind: types.TargetKind. verdict: 1, 0, -1 for none.

        Of kind GUIDE neither `pose` nor `q` counts: the arm is led by hand.
        """
        return Topic(
            "operator",
            Spec(
                [
                    Field("time", unit="s"),
                    Field("engaged", dtype="u1"),
                    Field("kind", dtype="u1"),
                    Field("pose", (7,), unit="m,1", frame=POSE),
                    Field("q", (self.joints,), unit="rad"),
                    Field("grip", unit="m"),
                    Field("verdict", dtype="i1"),
                ]
            ),
            32,
        )

    @property
    def chunk(self) -> Topic:
        """Timed targets of a policy or a replay; the first `count` entries are valid, times rise strictly."""
        k = CHUNK_STEPS
        return Topic(
            "chunk",
            Spec(
                [
                    Field("time", unit="s"),  # when it was published
                    Field("observed", unit="s"),  # time of the row it was computed from
                    Field("pictured", unit="s"),  # the oldest of the pictures in that row; observed, if none
                    Field("source", dtype="u1"),
                    Field("kind", dtype="u1"),
                    Field("count", dtype="i8"),
                    Field("times", (k,), unit="s"),
                    Field("pose", (k, 7), unit="m,1", frame=POSE),
                    Field("q", (k, self.joints), unit="rad"),
                    Field("grip", (k,), unit="m"),
                ]
            ),
            8,
        )

    @property
    def world(self) -> Topic:
        """Where the known objects are. success: the task's own verdict now. seed: start state of this episode."""
        return Topic(
            "world",
            Spec(
                [
                    Field("time", unit="s"),
                    Field("number", dtype="i8"),
                    Field("success", dtype="u1"),
                    *(Field(f"objects.{name}", (7,), unit="m,1", frame=f"base_from_{name}") for name in self.objects),
                ]
            ),
            64,
        )

    def camera(self, name: str) -> Topic:
        """Pictures of one camera."""
        height, width = self.cameras[name]
        return Topic(
            f"camera.{name}",
            Spec(
                [Field("time", unit="s"), Field("sequence", dtype="i8"), Field("image", (height, width, 3), "u1")],
            ),
            8,
        )

    @property
    def row(self) -> Spec:
        """One step of an episode: the newest of each stream at `time`, with each stream's own measured time."""
        n = self.joints
        fields = [
            Field("time", unit="s"),
            Field("q", (n,), unit="rad"),
            Field("dq", (n,), unit="rad/s"),
            Field("pose", (7,), unit="m,1", frame=POSE),
            Field("wrench", (6,), unit="N,Nm", frame="base"),
            Field("state.time", unit="s"),
            Field("grip", unit="m"),
            Field("grip.time", unit="s"),
            *self._request_fields(),
        ]
        if self.objects:
            fields += [f for f in self.world.spec if f.name.startswith("objects.")]
            fields += [Field("objects.time", unit="s")]
        for name, (height, width) in self.cameras.items():
            fields += [Field(f"image.{name}", (height, width, 3), "u1"), Field(f"image.{name}.time", unit="s")]
        return Spec(fields)

    def _request_fields(self) -> list[Field]:
        """Requested by whoever flies, proposed by the policy whoever flies, sent after safety, and who it was."""
        n = self.joints
        return [
            Field("requested.kind", dtype="u1"),
            Field("requested.pose", (7,), unit="m,1", frame=POSE),
            Field("requested.q", (n,), unit="rad"),
            Field("requested.grip", unit="m"),
            Field("proposed.kind", dtype="u1"),
            Field("proposed.pose", (7,), unit="m,1", frame=POSE),
            Field("proposed.q", (n,), unit="rad"),
            Field("proposed.grip", unit="m"),
            Field("target.q", (n,), unit="rad"),
            Field("target.pose", (7,), unit="m,1", frame=POSE),
            Field("target.grip", unit="m"),
            Field("source", dtype="u1"),
            Field("mode", dtype="u1"),
            Field("limited", dtype="u1"),  # 1: safety changed what was requested
        ]
