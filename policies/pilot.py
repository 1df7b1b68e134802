"""The one call path from rows to a chunk: evaluation and deployment fly a policy through this and nothing else."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from policies import checkpoint
from policies.goal import GoalReader, stored_row
from policies.inference import WARM_UP, Inference
from policies.instruction import InstructionReader
from robot_stack.picture import IMAGE, shrink
from robot_stack.spec import Record, Spec
from robot_stack.station import Topic
from robot_stack.types import CheckpointError, ConfigError, Source, SpecError, TargetKind

REQUESTED = "requested."
"""The act field `requested.x` goes into the field `x` of a chunk."""
GOAL_PLACE = re.compile(r"(.+?):(ep-[^:]+)(?::(\d+))?")
KINDS = {"requested.pose": TargetKind.POSE, "requested.q": TargetKind.JOINTS}


class Flown(Protocol):
    """What is read of a `Station`."""

    @property
    def rate(self) -> float: ...

    @property
    def row(self) -> Spec: ...

    @property
    def chunk(self) -> Topic: ...


class Pilot:
    """A checkpoint, ready to fly.

    path: a checkpoint, or a training run, of which the newest is taken. steps: of the sampler, None for the policy's
    own. device: None for the GPU if there is one. threads: of torch on the CPU; one is fastest for small networks.
    seed: of what is drawn. precision: of the networks' products, float32 or bfloat16. sampler, guidance: as `steps`.
    graph: whether it is asked for one chunk at a time for long, as in flight.

    Ask it again after `window.execute` rows, not in every row: a policy of chunks that is asked in every row loses half
    of its success, because it falls from one way of doing a thing into another.
    """

    def __init__(
        self,
        path: str | Path,
        steps: int | None = None,
        device: str | None = None,
        threads: int = 1,
        seed: int = 0,
        precision: str = "float32",
        sampler: str | None = None,
        guidance: float | None = None,
        graph: bool = True,
    ) -> None:
        torch.set_num_threads(threads)
        self.checkpoint = checkpoint.load(path)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.policy = self.checkpoint.policy()
        self._set("sampler", sampler)
        self._set("guidance", guidance)
        self._told: dict[str, Tensor] = {}
        self._infer = Inference(self.policy, self.device, precision, graph)
        self.window = self.policy.window
        self.steps = steps
        self._generator = Generator().manual_seed(seed)
        self._resolution = self.policy.observation.images.resolution if self.policy.observation.images else None

    @property
    def cameras(self) -> dict[str, tuple[int, int]]:
        """The cameras that it looks through: name -> (height, width) [px]."""
        fields = (field for field in self.checkpoint.spec if field.name.startswith(IMAGE))
        return {field.name.removeprefix(IMAGE): (field.shape[0], field.shape[1]) for field in fields}

    @property
    def reads_words(self) -> bool:
        """Whether what it is told in words makes a difference; in flight they are stored in any case."""
        return isinstance(self.policy.conditioning, InstructionReader)

    def tell(self, goal: str | None, language: str) -> None:
        """What it is to do from now on. goal: a recorded row, STORE:EPISODE or STORE:EPISODE:ROW, the last by default.
        language: in words, which a policy that reads none does without. Neither: it flies untold. Raises ConfigError if
        it cannot be told so, StoreError."""
        reader = self.policy.conditioning
        if goal is not None and not isinstance(reader, GoalReader):
            raise ConfigError(f"goal={goal}: {self.checkpoint.folder} was trained without conditioning=goal")
        if isinstance(reader, GoalReader):
            self._told = reader.entries(_row(goal, reader.fields)) if goal is not None else {}
        elif isinstance(reader, InstructionReader):
            self._told = reader.entries(language) if language else {}

    def check(self, station: Flown, what: str) -> None:
        """Raise CheckpointError unless the policy can fly this station; `what` names it."""
        self.checkpoint.check(station.row, what)
        rate = self.checkpoint.card["rate"]
        if rate != station.rate:
            raise CheckpointError(
                f"checkpoint {self.checkpoint.folder} was trained on {rate:g} rows a second, "
                f"{what} makes {station.rate:g}; set its rate={rate:g}, or train on data of this rate"
            )

    def warm_up(self, rows: Sequence[Record], station: Flown) -> None:
        """Propose a few chunks that nobody flies: the first ones are the slowest."""
        for _ in range(WARM_UP):
            self.chunk(rows, station)

    def chunk(self, rows: Sequence[Record], station: Flown) -> Record:
        """The chunk that follows `window.history` rows, oldest first; its first waypoint is at the last row's time."""
        return self.chunks([rows], station, [self._generator])[0]

    def chunks(
        self, histories: Sequence[Sequence[Record]], station: Flown, generators: Sequence[Generator]
    ) -> list[Record]:
        """One chunk a history, computed together. generators: what is drawn for each."""
        observed = {name: self._stack(histories, name) for name in self.policy.observes}
        told = {name: value.expand(len(histories), *value.shape[1:]) for name, value in self._told.items()}
        action = self._infer(observed | told, self.steps, generators)
        if not torch.isfinite(action).all():
            raise SpecError(f"the policy proposed a number that is not finite, from rows at {_last_times(histories)} s")
        parts = {name: part.numpy() for name, part in self.policy.targets.split(action).items()}
        return [
            self._record({name: part[i] for name, part in parts.items()}, rows[-1], station)
            for i, rows in enumerate(histories)
        ]

    def _set(self, name: str, value: Any) -> None:
        """Another sampler or guidance than it was trained with."""
        if value is None:
            return
        if not hasattr(self.policy, name):
            raise ConfigError(f"{name}={value}: {type(self.policy).__name__} has no {name}; leave it at null")
        setattr(self.policy, name, value)

    def _stack(self, histories: Sequence[Sequence[Record]], name: str) -> Tensor:
        """One field, (B, history, *shape)."""
        if name.startswith(IMAGE) and self._resolution is not None:
            pictures = [[shrink(row[name], self._resolution) for row in rows] for rows in histories]
            return torch.from_numpy(np.stack([np.stack(rows) for rows in pictures]))
        return torch.from_numpy(np.array([[row[name] for row in rows] for rows in histories], np.float32))

    def _record(self, values: dict[str, np.ndarray[Any, Any]], row: Record, station: Flown) -> Record:
        """The chunk of one plan, made from a history whose last row is `row`."""
        horizon, observed = self.window.horizon, float(row["time"])
        kinds = [kind for name, kind in KINDS.items() if name in values]
        record = station.chunk.spec.record(
            time=observed, observed=observed, source=Source.POLICY, kind=kinds[0] if kinds else 0, count=horizon
        )
        stamps = [f"{name}.time" for name in self.policy.observes if name.startswith(IMAGE)]
        record["pictured"] = min((float(row[stamp]) for stamp in stamps if stamp in station.row), default=observed)
        record["times"][:horizon] = observed + np.arange(horizon) / station.rate
        for name, part in values.items():
            record[name.removeprefix(REQUESTED)][:horizon] = part
        return record


def engage(config: Mapping[str, Any]) -> Pilot:
    """The pilot that `eval`, `compare` and `deploy` ask for, by the keys that their configs share."""
    names = ("steps", "device", "threads", "precision", "sampler", "guidance")
    options = {name: config[name] for name in names if name in config}
    pilot = Pilot(config["checkpoint"], **options, graph=config.get("parallel", 1) == 1)
    pilot.tell(config.get("goal"), config.get("language", ""))
    return pilot


def _row(place: str, fields: Sequence[str]) -> dict[str, Any]:
    """The recorded row at STORE:EPISODE or STORE:EPISODE:ROW."""
    found = GOAL_PLACE.fullmatch(place)
    if found is None:
        raise ConfigError(f"goal={place}: expected STORE:EPISODE or STORE:EPISODE:ROW, as in goal=data/lift:ep-000003")
    store, episode, row = found.groups()
    return stored_row(store, episode, fields, None if row is None else int(row))


def _last_times(histories: Sequence[Sequence[Record]]) -> str:
    return ", ".join(f"{float(rows[-1]['time']):.2f}" for rows in histories)
