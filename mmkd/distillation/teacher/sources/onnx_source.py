"""An ONNX file, run by onnxruntime: ``teacher=dict(source='onnx', file='teacher.onnx')``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

MEAN = STD = None  # the file says nothing of it
HAS_WEIGHTS = True


class OnnxNetwork(nn.Module):
    """A session of onnxruntime with images (N, 3, H, W) as its input.

    Args:
        file: The file.
        outputs: Names of the outputs that are given; default all.
        providers: Of onnxruntime.
    """

    def __init__(self, file: str, outputs: Sequence[str] | None, providers: Sequence[str]):
        super().__init__()
        import onnxruntime

        if not Path(file).is_file():
            raise FileNotFoundError(f'teacher.file: {file!r} is not a file (looked for from {Path.cwd()})')
        self.session = onnxruntime.InferenceSession(file, providers=list(providers))
        self.input, *others = self.session.get_inputs()
        names = [output.name for output in self.session.get_outputs()]
        if others:
            raise ValueError(f'teacher.file: {file!r} has {1 + len(others)} inputs, one was expected: the images')
        unknown = [name for name in outputs or () if name not in names]
        if unknown:
            raise ValueError(f'teacher.outputs: {unknown[0]!r} is none of the outputs, which are {", ".join(names)}')
        self.outputs = list(outputs or names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        batch = images.detach().float().cpu().numpy()
        fixed = self.input.shape[0]
        parts = [batch] if not isinstance(fixed, int) else np.split(batch, range(fixed, len(batch), fixed))
        found = [self.session.run(self.outputs, {self.input.name: np.ascontiguousarray(part)}) for part in parts]
        # depends on the images as far as a graph is concerned, so that it counts as a map of them
        return tuple(torch.from_numpy(np.concatenate(values)).to(images.device) for values in zip(*found, strict=True))


def build(
    file: str, outputs: Sequence[str] | None = None, providers: Sequence[str] = ('CPUExecutionProvider',)
) -> nn.Module:
    """The network; arguments as of :class:`OnnxNetwork`."""
    return OnnxNetwork(file, outputs, providers)
