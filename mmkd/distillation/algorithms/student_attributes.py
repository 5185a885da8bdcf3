"""The student's attributes at the algorithm, for all that expects the plain student in its place."""

from __future__ import annotations

from typing import Any

__all__ = ['StudentAttributes']


class StudentAttributes:
    """Gives an algorithm the attributes of its student, beside its own.

    Hooks and tools of the hosts ask the model of a run for what they need: ``model.bbox_head`` (YOLOXModeSwitchHook),
    ``model.set_epoch`` (SetEpochInfoHook), ``model.with_neck``, ``model.backbone``. An attribute that the algorithm has
    itself is its own; so is every name with an underscore before it, since those are the settings that PyTorch keeps at
    a module (the parameters that DDP ignores are named from the algorithm on), and the protocol of copying. What is set
    at the algorithm stays there; what is set at a part, as in ``model.bbox_head.use_l1 = True``, the student sees.

    A base class before mmrazor's algorithms, which hold the student as ``architecture``.
    """

    def __getattr__(self, name: str) -> Any:
        """What neither the algorithm nor its class has, from the student.

        Raises:
            AttributeError: The student has it neither.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            student = self.__dict__.get('_modules', {}).get('architecture')  # none while copying and building
            if name.startswith('_') or student is None:
                raise
            try:
                return getattr(student, name)
            except AttributeError as error:
                raise AttributeError(
                    f'{type(self).__name__!r} has no attribute {name!r}, nor has its student: {error}'
                ) from None
