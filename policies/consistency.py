"""Consistency distillation (Song et al. 2023, arXiv:2303.01469; for robots Prasad et al. 2024, arXiv:2405.07503): a
student jumps in one to three steps to where the many steps of its teacher, a trained policy of ours, would lead.

The student is of the teacher's kind and starts with its weights. From a noisy chunk and from the same chunk after one
step of the teacher it must jump to the same place. The published loss adds a jump to the data of the demonstrations;
ours does not: far from the data that teaches the mean of all ways to do a thing, which is what a teacher is not for.
The teacher is read when training starts and is no part of the student, which acts without it.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from policies import Batch, checkpoint
from policies.beso import Beso, plan_of
from policies.denoiser import Denoiser, Net, Plan, on_device
from policies.diffusion import Diffusion
from policies.samplers import exponential, one_of
from robot_stack.spec import Spec
from robot_stack.types import CheckpointError, ConfigError

METHODS = ("consistency", "regression")
ALIKE = ("acts", "observes", "window", "prediction", "levels", "low", "high")
"""What a student must have in common with its teacher, beside the fields of its rows and the shapes of its weights."""


class Student(Denoiser):
    """A denoiser that learns from a teacher.

    teacher: its checkpoint, or the run that made it. teacher_steps: how many the way from noise to data is cut into.
    method: `consistency`, or `regression`, which flies the teacher all the way in every step of training and learns
    where it arrives: exact, and as many times the work.
    """

    samplers = ("jump",)

    def __init__(
        self,
        spec: Spec,
        net: Net,
        teacher: str,
        teacher_steps: int = 16,
        method: str = "consistency",
        sampler: str = "jump",
        **options: Any,
    ) -> None:
        super().__init__(spec, net, sampler=sampler, **options)
        self.drop = 0.0
        if self.conditioning is not None:  # who is told what is drawn here, once for both
            self.drop, self.conditioning.drop = self.conditioning.drop, 0.0
        self.teacher = teacher
        self.teacher_steps = teacher_steps
        self.method = one_of("method", method, METHODS)

    def fit(self, observe: Mapping[str, Tensor], batches: Iterable[Batch]) -> None:
        """Take the teacher's weights and limits, whatever the data: they are what its way from noise to data means."""
        _read.cache_clear()  # another run may have made another teacher there
        loaded = checkpoint.load(self.teacher)
        self._check(loaded.policy())
        checkpoint.load_weights(self, loaded.folder / "model.safetensors")

    def loss(self, batch: Batch) -> Tensor:
        """Squared distance from where the student should jump to, mean over the network's dimensions (B, horizon)."""
        clean = self.encode(batch.action, batch.observe)
        teacher = _read(self.teacher, clean.device)
        told = torch.rand(len(clean), 1).to(clean.device) >= self.drop
        with torch.no_grad():
            seen = teacher.seen(batch.observe)
            if self.drop > 0.0:
                seen = torch.where(told, seen, teacher.condition(batch.observe, told=False))
        condition = self.condition(batch.observe)
        if self.drop > 0.0:
            condition = torch.where(told, condition, self.condition(batch.observe, told=False))
        if self.method == "regression":
            return self._regression(teacher, seen, torch.randn_like(clean), condition)
        return self._consistency(teacher, seen, clean, condition)

    def _consistency(self, teacher: Denoiser, seen: Tensor, clean: Tensor, condition: Tensor) -> Tensor:
        """Jumps from both ends of one step of the teacher's end at one place. The far jump is made first: under
        autocast the other way round, what is cast without gradient would be used again with."""
        plan = teacher.plan(self.teacher_steps)
        sigmas, told = on_device(clean.device, plan.sigmas), on_device(clean.device, plan.told)
        step = torch.randint(self.teacher_steps, (len(clean),), device=clean.device)
        sigma, after = sigmas[step][:, None, None], sigmas[step + 1][:, None, None]
        noisy = clean + sigma * torch.randn_like(clean)
        jumped = self.estimate(noisy, sigma, told[step], condition)
        with torch.no_grad():
            estimate = teacher.guided(noisy, sigma, told[step], seen)
            nearer = torch.lerp(estimate, noisy, after / sigma)
            level = told[(step + 1).clamp(max=self.teacher_steps - 1)]
            wanted = self.guided(nearer, after, level, condition[None])
            wanted = torch.where(after > 0.0, wanted, estimate)  # the last step ends at the data
        return (jumped - wanted).square().mean(dim=-1)

    def _regression(self, teacher: Denoiser, seen: Tensor, noise: Tensor, condition: Tensor) -> Tensor:
        """Jumps from the teacher's noise, or from anywhere on its way if the student takes several steps, end where the
        teacher does."""
        plan = teacher.plan(self.teacher_steps)
        sigmas, told = on_device(noise.device, plan.sigmas), on_device(noise.device, plan.told)
        way = [noise * plan.start]
        with torch.no_grad():
            for step in range(self.teacher_steps):
                estimate = teacher.guided(way[-1], plan.sigmas[step], told[step], seen)
                way.append(torch.lerp(estimate, way[-1], plan.sigmas[step + 1] / plan.sigmas[step]))
        start = torch.randint(self.teacher_steps if self.steps > 1 else 1, (len(noise),), device=noise.device)
        noisy = torch.stack(way)[start, torch.arange(len(noise), device=noise.device)]
        jumped = self.estimate(noisy, sigmas[start][:, None, None], told[start], condition)
        return (jumped - way[-1]).square().mean(dim=-1)

    def _check(self, teacher: torch.nn.Module) -> None:
        """Raise CheckpointError unless the student is of the teacher's kind."""
        if not isinstance(teacher, Denoiser) or not isinstance(self, type(teacher)):
            kinds = f"a {type(teacher).__name__}, and a {type(self).__name__} cannot learn from one"
            raise CheckpointError(
                f"teacher {self.teacher} is {kinds}; use policy=consistency for Diffusion, "
                "policy=consistency_beso or consistency_unet for Beso"
            )
        differences = list(teacher.spec.difference(self.spec))
        theirs, ours = (type(policy.targets).__name__ for policy in (teacher, self))
        if theirs != ours:
            differences.append(
                f"its actions are made by {theirs}, the student's by {ours}: set actions= as it was there"
            )
        for key in ALIKE:
            if (theirs := getattr(teacher, key, None)) != (ours := getattr(self, key, None)):
                differences.append(f"its {key} is {theirs}, the student's {ours}")
        if differences:
            raise CheckpointError(f"teacher {self.teacher} does not fit: {'; '.join(differences)}")


class DiffusionStudent(Student, Diffusion):
    """Learns from a `Diffusion` that predicts the sample or the velocity."""

    def __init__(self, spec: Spec, net: Net, prediction: str = "sample", **options: Any) -> None:
        if prediction == "noise":
            raise ConfigError(
                "prediction=noise: where all is noise, the noise says nothing of the chunk to jump to; "
                "train a teacher with policy.prediction=velocity or sample, or policy=beso_unet"
            )
        super().__init__(spec, net, prediction=prediction, **options)


class BesoStudent(Student, Beso):
    """Learns from a `Beso`."""

    def plan(self, steps: int) -> Plan:
        """Levels without the smallest, from which there is nothing to jump."""
        return plan_of((*exponential(self.low, self.high, steps + 1)[:steps], 0.0))


@lru_cache(maxsize=1)
def _read(path: str, device: torch.device) -> Denoiser:
    """The teacher, once for a student and its average. What is drawn to build it is not missed by the training."""
    with torch.random.fork_rng(devices=[]):
        teacher = checkpoint.load(path).policy().to(device)
    assert isinstance(teacher, Denoiser)
    return teacher
