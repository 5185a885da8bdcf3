"""The optimizer of a student, built as without a teacher, and what else trains apart from it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import nn
from torch.optim import Optimizer

from mmkd.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmkd.utils.student import STUDENT_PREFIX
from mmkd.utils.unwrap import unwrapped

from .distill_optim_wrapper import DistillOptimWrapper

__all__ = ['DistillOptimWrapperConstructor', 'with_distill_constructor']

DEFAULT = 'DefaultOptimWrapperConstructor'
# What a key of custom_keys begins with that is about the connectors; they are distiller.connectors.<name of the loss>.
DISTILLER_KEYS = ('distiller', 'connectors')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DistillOptimWrapperConstructor:
    """Builds the optimizer of ``DenseDistill``, and the two of ``AdversarialDistill``.

    The inherited ``optim_wrapper`` stays as it is: its constructor, the default one or any of mmdet's and mmseg's, is
    given the plain student, and makes the parameter groups that it would make without a teacher. Connectors and
    whatever else the distillation trains are added as groups of their own, at the base learning rate and weight decay.
    A run of ``DenseDistill`` is always built like this, see :func:`mmkd.engine.prepare_runner`; ``AdversarialDistill``
    needs one key more::

        optim_wrapper = dict(
            discriminator=dict(
                optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4), clip_grad=dict(max_norm=1.0)))

    Args:
        optim_wrapper_cfg: The student's wrapper: ``type``, ``optimizer``, ``clip_grad``, ``accumulative_counts`` ... To
            it belong, in addition, ``discriminator``, with that one's ``optimizer`` and perhaps ``paramwise_cfg`` and
            ``clip_grad``; and ``student_constructor``, where the student's optimizer is to be built by another
            constructor than the default one.
        paramwise_cfg: The student's, by the student's own names (with mmrazor's ``architecture.`` before them they mean
            the same). Keys of ``custom_keys`` that begin with ``distiller`` or ``connectors`` are for the connectors
            and for nothing else; the other options, such as ``norm_decay_mult``, are for both.

    Raises:
        ValueError: An option of the discriminator's optimizer is one that only the student has; or two ``custom_keys``
            are the same key, with and without ``architecture.``.
    """

    def __init__(self, optim_wrapper_cfg: Mapping, paramwise_cfg: Mapping | None = None):
        student = dict(optim_wrapper_cfg)
        self.discriminator = _checked_discriminator(student.pop('discriminator', None))
        self.student_constructor = student.pop('student_constructor', DEFAULT)
        self.student = student
        self.student_paramwise_cfg, self.distiller_paramwise_cfg = _split_paramwise_cfg(paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper | DistillOptimWrapper:
        """Builds the wrapper, or both.

        Raises:
            TypeError: The model is no distillation algorithm; or an optimizer is given for a discriminator that it has
                not.
            ValueError: There is a discriminator without an optimizer; or the student's constructor makes several
                optimizers.
        """
        algorithm = unwrapped(model)
        adversary = vars(algorithm).get('adversary')  # not one of the student's attributes
        if not hasattr(algorithm, 'student') or (self.discriminator is not None and adversary is None):
            kind = 'DenseDistill' if self.discriminator is None else 'AdversarialDistill'
            raise TypeError(
                f"optim_wrapper.constructor: 'mmkd.DistillOptimWrapperConstructor' is for {kind}, the model "
                f'is a {type(algorithm).__name__}'
            )
        if adversary is not None and self.discriminator is None:
            raise ValueError(
                'optim_wrapper.discriminator: dict(optimizer=dict(type=..., lr=...)) was expected, got None'
            )
        student = self._build_student(algorithm)
        if adversary is None:
            return student
        discriminator = build_optim_wrapper(adversary.network, self.discriminator)
        if discriminator.clip_grad_kwargs:
            discriminator.grad_name = f'discriminator.{discriminator.grad_name}'  # in the log
        return DistillOptimWrapper(student, discriminator, adversary)

    def _build_student(self, algorithm: nn.Module) -> OptimWrapper:
        config = dict(self.student, constructor=self.student_constructor, paramwise_cfg=self.student_paramwise_cfg)
        wrapper = build_optim_wrapper(algorithm.student, config)
        groups = self._groups_beside(algorithm)
        if groups and isinstance(wrapper, OptimWrapperDict):
            raise ValueError(
                f'optim_wrapper.constructor: {self.student_constructor!r} makes several optimizers for the student, '
                'and it is not known which of them the connectors belong to; subclass DistillOptimWrapperConstructor'
            )
        names = {id(parameter): name for name, parameter in algorithm.named_parameters()}
        for group in groups:
            if 'param_names' in wrapper.optimizer.param_groups[0]:  # PyTorch wants them in all groups or in none
                group['param_names'] = [names[id(parameter)] for parameter in group['params']]
            wrapper.optimizer.add_param_group(group)
        return wrapper

    def _groups_beside(self, algorithm: nn.Module) -> list[dict[str, Any]]:
        """The parameter groups of what is neither the student's nor the discriminator's, each parameter once."""
        beside = _without_children(algorithm, STUDENT_PREFIX.rstrip('.'), 'discriminator')
        groups: list[dict[str, Any]] = []
        if self.distiller_paramwise_cfg:
            DefaultOptimWrapperConstructor(self.student, self.distiller_paramwise_cfg).add_params(groups, beside)
        else:
            groups.append(dict(params=list(beside.parameters())))
        taken = {id(parameter) for parameter in algorithm.student.parameters()}  # a loss may use the student's head
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if id(parameter) not in taken]
            taken.update(map(id, group['params']))
        return [group for group in groups if group['params']]


def with_distill_constructor(optim_wrapper: Any) -> Any:
    """What a run's ``optim_wrapper`` becomes where the model is a distillation algorithm.

    Args:
        optim_wrapper: As mmengine's Runner takes it.

    Returns:
        A config with :class:`DistillOptimWrapperConstructor`, or a subclass of it that the config has already. What
        was built by the caller is left as it is, and so is a config of several optimizers (mmrazor's
        ``SeparateOptimWrapperConstructor``), which says by name what part of the algorithm each is for.
    """
    if not isinstance(optim_wrapper, Mapping) or 'optimizer' not in optim_wrapper:
        return optim_wrapper
    constructor = optim_wrapper.get('constructor', DEFAULT)
    if isinstance(optim_wrapper['optimizer'], Optimizer) or _is_distill_constructor(constructor):
        return optim_wrapper
    optim_wrapper = copy.copy(optim_wrapper)  # the config, which is saved, stays as it was written
    optim_wrapper.update(constructor='mmkd.DistillOptimWrapperConstructor', student_constructor=constructor)
    return optim_wrapper


def _is_distill_constructor(constructor: str | type) -> bool:
    if isinstance(constructor, str):
        with OPTIM_WRAPPER_CONSTRUCTORS.root.switch_scope_and_registry(None) as registry:
            constructor = registry.get(constructor)
    return isinstance(constructor, type) and issubclass(constructor, DistillOptimWrapperConstructor)


def _checked_discriminator(discriminator: Any) -> dict | None:
    if discriminator is None:
        return None
    if not isinstance(discriminator, Mapping) or not isinstance(discriminator.get('optimizer'), Mapping):
        raise ValueError(
            f'optim_wrapper.discriminator: dict(optimizer=dict(type=..., lr=...)) was expected, got {discriminator!r}'
        )
    if discriminator.get('type', 'OptimWrapper') != 'OptimWrapper':
        raise ValueError(
            'optim_wrapper.discriminator.type: the discriminator is trained in float32, by a plain OptimWrapper; got '
            f'{discriminator["type"]!r}'
        )
    if 'accumulative_counts' in discriminator:
        raise ValueError(
            'optim_wrapper.discriminator.accumulative_counts: the discriminator accumulates gradients as the student '
            'does; leave it out'
        )
    return dict(discriminator)


def _split_paramwise_cfg(paramwise_cfg: Any) -> tuple[Any, Any]:
    """The options for the student and those for what is trained beside it."""
    if not isinstance(paramwise_cfg, Mapping) or not isinstance(paramwise_cfg.get('custom_keys'), Mapping):
        return paramwise_cfg, paramwise_cfg  # what is of a wrong kind is refused by the student's constructor
    students: dict[str, Any] = {}
    distillers: dict[str, Any] = {}
    for key, options in paramwise_cfg['custom_keys'].items():
        if key.startswith(DISTILLER_KEYS):
            distillers[key] = options
            continue
        name = re.sub(r'^architecture(\.|$)', '', key)
        if name in students:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.custom_keys: {name!r} is given twice, with and without '
                f'{STUDENT_PREFIX!r}; leave one out'
            )
        students[name] = options
    return _with_custom_keys(paramwise_cfg, students), _with_custom_keys(paramwise_cfg, distillers)


def _with_custom_keys(paramwise_cfg: Mapping, custom_keys: Mapping) -> dict[str, Any]:
    others = {key: value for key, value in paramwise_cfg.items() if key != 'custom_keys'}
    return dict(others, custom_keys=custom_keys) if custom_keys else others


def _without_children(module: nn.Module, *names: str) -> nn.Module:
    """The same module, not a copy of what is in it, seen without some of its children."""
    view = copy.copy(module)
    view.__dict__['_modules'] = {key: child for key, child in module._modules.items() if key not in names}
    return view
