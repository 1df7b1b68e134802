"""Instructions: what a policy is to do, in words. Learned with the policy from the texts of its episodes; there is
nothing to download. What a text means beyond its own words is not known to it: a sentence embedder that is, frozen, can
take the place of `InstructionReader`, with `tokens` of its own."""

import re
from collections.abc import Mapping
from itertools import pairwise
from zlib import crc32

import torch
from torch import Tensor, nn

from policies.conditioning import Conditioner
from policies.observation import Images
from robot_stack.spec import Spec
from robot_stack.store import Episode
from robot_stack.types import ConfigError

INSTRUCTION = "instruction"
"""Of a history: hashed words (B, 1, words)."""

NO_WORD = 0
"""Stands after the last word of a text."""


class Instruction:
    """words: of a text that are read, pairs of neighbours counted too; the rest is left out. vocabulary: numbers that
    they are hashed to; two may share one. size: of the vector. drop: share of the windows that are not told."""

    def __init__(self, words: int = 32, vocabulary: int = 4096, size: int = 64, drop: float = 0.1) -> None:
        if words < 1 or vocabulary < 2:
            raise ConfigError("conditioning=instruction needs words >= 1 and vocabulary >= 2")
        self.fields: tuple[str, ...] = ()
        self._words, self._vocabulary = words, vocabulary
        self._size, self._drop = size, drop

    def later(self, now: Tensor, last: Tensor, drawn: Tensor) -> Tensor:
        """No row is a goal: there are no fields."""
        return last

    def about(self, episode: Episode) -> dict[str, Tensor]:
        """The text of an episode: what was said, else the name of its task. Raises ConfigError without either."""
        text = str(episode.attrs.get("language") or episode.attrs.get("task") or "")
        if not text:
            raise ConfigError(
                f'episode {episode.id} has no instruction; give it one with `robot-stack data relabel … language="…"`'
            )
        return {INSTRUCTION: tokens(text, self._words, self._vocabulary)}

    def build(self, spec: Spec, images: Images | None) -> Conditioner:
        """The mean of learned vectors of words."""
        return InstructionReader(self._words, self._vocabulary, self._size, self._drop)


class InstructionReader(Conditioner):
    """A bag of words (B, 1, words) as a vector (B, size)."""

    def __init__(self, words: int, vocabulary: int, size: int, drop: float) -> None:
        super().__init__(size, drop)
        self.words, self.vocabulary = words, vocabulary
        self.bag = nn.EmbeddingBag(vocabulary, size, mode="mean", padding_idx=NO_WORD)
        self.head = nn.Sequential(nn.Linear(size, size), nn.Mish(), nn.Linear(size, size))

    def read(self, history: Mapping[str, Tensor]) -> Tensor | None:
        """The vectors of the instructions (B, size)."""
        if INSTRUCTION not in history:
            return None
        vectors: Tensor = self.head(self.bag(history[INSTRUCTION][:, 0]))
        return vectors

    def entries(self, told: str) -> dict[str, Tensor]:
        """What tells one sample a text: `instruction` (1, 1, words)."""
        return {INSTRUCTION: tokens(told, self.words, self.vocabulary)[None, None]}


def tokens(text: str, words: int, vocabulary: int) -> Tensor:
    """The words of a text and its pairs of neighbours, as numbers from 1 to `vocabulary` - 1 (words,).

    Lower case, without signs. Pairs, since a bag has no order, and red on blue is not blue on red. The number is a
    hash, the same on every machine: no list of words has to be learned, kept or agreed upon.
    """
    found = re.findall(r"\w+", text.lower())
    found = [*found, *map(" ".join, pairwise(found))][:words]
    numbers = [1 + crc32(word.encode()) % (vocabulary - 1) for word in found]
    return torch.tensor(numbers + [NO_WORD] * (words - len(found)))
