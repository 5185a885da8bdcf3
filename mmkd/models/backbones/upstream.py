"""What backbones of mmdet and mmseg leave undone."""

from __future__ import annotations

from ..utils import recompute_blocks

__all__ = ['UpstreamBackbone']


class UpstreamBackbone:
    """Mixin for a subclass of a backbone of mmdet or mmseg, before it in the list of bases.

    What is frozen keeps its statistics too (upstream, those of the first convolution's norm move), and ``train`` and
    ``eval`` return the module, as those of ``nn.Module`` do.
    """

    def settle(self) -> None:
        """Has the blocks recomputed if built ``with_cp``, and freezes. To be called at the end of the constructor.

        Upstream, stages are frozen in ``train`` alone, and DistributedDataParallel looks before that.
        """
        recompute_blocks(self)
        self._freeze_stages()

    def train(self, mode: bool = True) -> UpstreamBackbone:
        super().train(mode)
        return self

    def _freeze_stages(self) -> None:
        super()._freeze_stages()
        if self.frozen_stages >= 0 and hasattr(self, 'conv1'):
            self.conv1.eval()
