"""The plain student inside a distillation config or checkpoint: what is tested, exported and shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config, ConfigDict
from torch import nn

from .checkpoint import load_checkpoint_file
from .state_dict import check_state_dict_fits, state_dict_of, strip_prefix

__all__ = ['is_distillation', 'load_student', 'student_config']

# Under this name mmrazor's algorithms, and so mmkd's, hold the student; it begins the student's parameter names.
STUDENT_PREFIX = 'architecture.'


def is_distillation(model: Mapping) -> bool:
    """Whether a model config describes a student with a teacher (mmkd's short form or mmrazor's vocabulary)."""
    return any(isinstance(model.get(key), Mapping) for key in ('student', 'architecture')) and any(
        key in model for key in ('teacher', 'distill', 'distiller')
    )


def student_config(model: ConfigDict) -> ConfigDict:
    """Returns the config of the student alone; a config without a teacher is returned as it is.

    Predictions come from the student only, so this is all that testing needs: no teacher, no mmrazor.

    Args:
        model: ``cfg.model``; its student may be given in full or by ``cfg_path``.
    """
    if not is_distillation(model):
        return model
    student = model.get('student') or model.get('architecture')
    if 'cfg_path' in student:
        from mmkd.distillation.teacher.network import resolve_network

        student = resolve_network(student, 'model.student')
    student = ConfigDict(student)
    if model.get('data_preprocessor') is not None:
        student.setdefault('data_preprocessor', model['data_preprocessor'])
    if '_scope_' in model:
        student.setdefault('_scope_', model['_scope_'])
    return student


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
