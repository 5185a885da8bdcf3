"""Loading a teacher's checkpoint, or saying why it is not one of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

import torch
from mmengine.logging import print_log
from torch import nn

from mmkd.utils.checkpoint import checkpoint_key, load_checkpoint_file
from mmkd.utils.errors import CheckpointError
from mmkd.utils.state_dict import check_state_dict_fits, missing_keys, state_dict_of, strip_prefix

__all__ = ['load_teacher_weights']


def load_teacher_weights(
    model: nn.Module,
    ckpt: str,
    key: str = 'teacher.ckpt',
    needed: Callable[[nn.Module], Collection[str] | None] | None = None,
    keep: Callable[[str], bool] = lambda name: True,
) -> list[str]:
    """Loads a checkpoint into a teacher.

    Accepted are state dicts and training checkpoints, wrapped by DDP (``module.``) or by a distillation algorithm
    (``architecture.``: a student may be the next teacher). What belongs to parts that the model does not have, such as
    an auxiliary head, is left out; what does not fit in a part that it has is an error: a V-39 backbone finds all it
    needs in a V-99 checkpoint, and computes nothing of use with it.

    Args:
        model: The teacher.
        ckpt: A path or an address, see :func:`mmkd.utils.download.open_address`.
        key: The config key of the checkpoint, for messages.
        needed: Gives the names of the weights that have to be there, None for all of them; only asked if some are not.
            The others are logged and become NaN, so that nothing could use them unnoticed.
        keep: Which of the checkpoint's weights are looked at.

    Returns:
        The names of the weights that are not there and not needed.

    Raises:
        CheckpointError: It cannot be read (:func:`load_checkpoint_file`), or a key is missing, mis-shaped,
            or surplus inside a part of the model; the first is named.
    """
    name = f'{key} {str(ckpt)!r}'
    with checkpoint_key(key):
        state_dict = state_dict_of(load_checkpoint_file(ckpt), str(ckpt))
        state_dict = {name: value for name, value in state_dict.items() if keep(name)}
    for prefix in ('module.', 'architecture.'):
        if any(k.startswith(prefix) for k in state_dict) and not any(k.startswith(prefix) for k in model.state_dict()):
            state_dict = strip_prefix(state_dict, prefix)
    absent = missing_keys(model, state_dict)
    names = needed(model) if absent and needed is not None else None
    absent = [] if names is None else [k for k in absent if k not in names]
    check_state_dict_fits(model, state_dict, name, optional=absent)
    parts = {child for child, _ in model.named_children()}
    unused = model.load_state_dict(state_dict, strict=False).unexpected_keys
    surplus = [k for k in unused if k.split('.')[0] in parts and not k.endswith('num_batches_tracked')]
    if surplus:
        raise CheckpointError(
            f'{name}: {len(surplus)} of its {len(state_dict)} keys have no place in the model, first {surplus[0]!r}. '
            'Is this a checkpoint of the model that the config describes?'
        )
    _leave_out(model, absent, name)
    return absent


def _leave_out(model: nn.Module, absent: list[str], name: str) -> None:
    if not absent:
        return
    tensors = model.state_dict()  # share their storage with the model's
    for key in absent:
        if tensors[key].is_floating_point():
            with torch.no_grad():
                tensors[key].fill_(float('nan'))
    parts = ', '.join(f'{part} ({n})' for part, n in Counter(k.split('.')[0] for k in absent).items())
    print_log(
        f'{name} lacks {len(absent)} tensors of the teacher, which are not needed, since its forward ends at the last '
        f'tap: {parts}',
        logger='current',
    )
