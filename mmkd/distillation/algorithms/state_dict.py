"""Which state dicts the algorithm accepts, beside its own."""

from __future__ import annotations

from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmkd.utils.student import STUDENT_PREFIX

__all__ = ['adapt_state_dict']


def adapt_state_dict(algorithm: nn.Module, state_dict: dict[str, Any], prefix: str = '') -> None:
    """Brings a state dict that is about to be loaded into the form of this algorithm's, in place.

    * A checkpoint of mmrazor's algorithms holds the teacher; it is left out.
    * A checkpoint of the student alone goes to the student. The connectors stay as they are.

    Raises:
        ValueError: Not one key is the student's. (mmengine, which loads with ``strict=False``, would go on.)
    """
    for key in [key for key in state_dict if key.startswith(f'{prefix}teacher.')]:
        del state_dict[key]
    own = {prefix + key: value for key, value in algorithm.state_dict().items()}
    keys = [key for key in state_dict if key.startswith(prefix)]
    if keys and not any(key.startswith(prefix + STUDENT_PREFIX) for key in keys):
        for key in keys:
            state_dict[f'{prefix}{STUDENT_PREFIX}{key[len(prefix) :]}'] = state_dict.pop(key)
        for key, value in own.items():
            if not key.startswith(prefix + STUDENT_PREFIX):
                state_dict[key] = value
        print_log('The checkpoint holds a student alone; it was loaded as such.', logger='current')
    if keys and not any(key.startswith(prefix + STUDENT_PREFIX) and key in own for key in state_dict):
        raise ValueError(
            f'the checkpoint has {len(keys)} keys and none is one of the student, first {keys[0]!r}, expected '
            f'{next(iter(own))!r} or the same without {STUDENT_PREFIX!r}'
        )
