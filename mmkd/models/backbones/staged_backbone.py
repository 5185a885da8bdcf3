"""What backbones written here have in common: which maps they return, what is frozen, where weights come from."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from mmengine.model.weight_init import constant_init
from torch.nn.modules.batchnorm import _BatchNorm

from .pretrained import pretrained_last

__all__ = ['StagedBackbone']


class StagedBackbone(BaseModule):
    """A backbone of stages that follow each other.

    Args:
        stages: Names of the modules that ``out_indices`` counts, in the order of the forward; those after the last one
            asked for need not be built.
        frozen_parts: What is frozen for ``frozen_stages`` 0, 1, ..., each with all before it.
        out_indices: Which stages to return, increasing.
        frozen_stages: -1 freezes nothing.
        norm_eval: Keep the batch norms in eval mode while training: their running statistics do not move.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: Indices or frozen stages out of range.
    """

    def __init__(
        self,
        stages: Sequence[str],
        frozen_parts: Sequence[Sequence[str]],
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_eval: bool,
        init_cfg: dict | list[dict] | None,
    ):
        super().__init__(init_cfg)
        last = len(stages) - 1
        indices = tuple(out_indices)
        if not indices or sorted(set(indices)) != list(indices) or not set(indices) <= set(range(len(stages))):
            raise ValueError(
                f'{type(self).__name__}: out_indices is {indices!r}, expected increasing values of 0 ({stages[0]}) to '
                f'{last} ({stages[last]})'
            )
        if frozen_stages not in range(-1, len(frozen_parts)):
            raise ValueError(
                f'{type(self).__name__}: frozen_stages is {frozen_stages!r}, expected -1 (nothing) to '
                f'{len(frozen_parts) - 1} (all)'
            )
        self.out_indices = indices
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.stages = tuple(stages[: indices[-1] + 1])
        self._frozen = [name for part in frozen_parts[: frozen_stages + 1] for name in part]

    def init_weights(self) -> None:
        """Initialises as ``init_cfg`` says, with the offsets of deformable layers at zero unless a file has them.

        Raises:
            FileNotFoundError: The file of ``dict(type='Pretrained', checkpoint=...)`` does not exist.
            ValueError: It does not have all weights of this backbone.
        """
        with pretrained_last(self):
            super().init_weights()
            for module in self.modules():
                if hasattr(module, 'conv_offset'):
                    constant_init(module.conv_offset, 0)

    def train(self, mode: bool = True) -> StagedBackbone:
        """As ``nn.Module.train``, but what is frozen stays in eval mode."""
        super().train(mode)
        self.freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def freeze(self) -> None:
        """Takes the gradients of the frozen stages away, and puts them into eval mode."""
        for name in self._frozen:
            module = getattr(self, name, None)
            if module is not None:
                module.eval()
                module.requires_grad_(False)
