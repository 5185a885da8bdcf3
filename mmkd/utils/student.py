"""The plain student inside a distillation config or checkpoint: what is tested, exported and shipped."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from torch import nn

from .checkpoint import load_checkpoint_file
from .model_config import is_distillation, student_config
from .state_dict import check_state_dict_fits, state_dict_of, strip_prefix

__all__ = ['STUDENT_PREFIX', 'is_distillation', 'load_student', 'student_config', 'student_of']

# Under this name mmrazor's algorithms, and so mmkd's, hold the student; it begins the student's parameter names.
STUDENT_PREFIX = 'architecture.'


def load_student(model: nn.Module, path: str | Path) -> None:
    """Loads a full distillation checkpoint, a student-only file or a plain one into the plain student; strictly.

    Args:
        model: The student, without teacher.
        path: The checkpoint file, or the address of one. In a full one the names begin with ``architecture.``; whatever
            else it holds (connectors, discriminator, an old mmrazor teacher) is left out.

    Raises:
        CheckpointError: It cannot be read (:func:`load_checkpoint_file`), or a parameter is missing, surplus or
            mis-shaped; names the first. (mmengine would only warn.)
    """
    state_dict = state_dict_of(load_checkpoint_file(path), str(path))
    if any(key.startswith(STUDENT_PREFIX) for key in state_dict):
        state_dict = strip_prefix(state_dict, STUDENT_PREFIX)
    check_state_dict_fits(model, state_dict, str(path), own_depth=0)
    model.load_state_dict(state_dict, strict=False)  # there may be counters, num_batches_tracked, more or less


def student_of(cfg: Config) -> Config:
    """A copy of a whole config with the plain student in place of the distillation algorithm."""
    plain = Config(cfg._cfg_dict.to_dict(), filename=cfg.filename)
    plain.model = student_config(plain.model)
    return plain
