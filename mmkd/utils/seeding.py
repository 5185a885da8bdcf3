"""Random numbers that depend on where they are drawn, and not on what was drawn before."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = ['seed_generators']


def seed_generators(*key: int, accelerator: bool = True) -> None:
    """Seeds the generators of Python, numpy and torch from a key of whole numbers that are not negative.

    Equal keys give equal numbers, and keys that differ in one place give numbers that have nothing to do with each
    other, which ``seed + 1`` does not promise.

    Args:
        key: For example the seed of a run and an iteration. Keys of one use have the same length.
        accelerator: Whether torch's generators on the accelerator are seeded too.
    """
    words = [int(word) for word in np.random.SeedSequence(key).generate_state(3)]
    random.seed(words[0])
    np.random.seed(words[1])
    if accelerator:
        torch.manual_seed(words[2])
    else:  # many times faster: the other looks for devices each time
        torch.default_generator.manual_seed(words[2])
