"""The registries of mmkd: children of mmengine's under the scope ``mmkd``.

Three things differ from a plain child registry, all so that a config may mix mmkd with mmdet and mmseg without
thinking about scopes:

* what mmkd registers is also visible from the root, hence from every scope once the module that holds it is imported:
  ``type='CenterMask'`` works in an mmdet config beside ``type='mmkd.CenterMask'``, which imports what it needs. Names
  that a host has too (:data:`SHARED_NAMES`) are not: a plain one never means mmkd's there, whatever is imported first,
  and ``mmkd.`` is written before it. Where mmkd's own vocabulary is spoken, which is in dicts inherited from
  ``mmkd::...`` and in ``distill=dict(...)`` of ``DenseDistill``, a plain name is mmkd's; in mmrazor's vocabulary,
  ``distiller=dict(...)``, it is mmrazor's;
* a name that mmkd does not have is looked up in the libraries it extends. ``_base_ = 'mmkd::...'`` marks every dict of
  the base with ``_scope_ = 'mmkd'``, and without this no mmdet component inside it would be found. The library that the
  run is about (``default_scope``) goes first, then mmengine's root, then the other libraries;
* parts that need mmrazor are imported only when a name is found nowhere else.
"""

from __future__ import annotations

import sys
from importlib import import_module

from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope

from . import compat

__all__ = [
    'DATASETS',
    'DATA_SAMPLERS',
    'EVALUATOR',
    'HOOKS',
    'LOG_PROCESSORS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'TASK_UTILS',
    'TRANSFORMS',
    'VISBACKENDS',
    'VISUALIZERS',
    'WEIGHT_INITIALIZERS',
]

# The libraries mmkd extends, in the order in which they are searched when no run says which one it is about.
HOST_SCOPES = ('mmdet', 'mmseg', 'mmrazor')

# What both mmkd and one of them call by the same name. A test compares it with the registries of all of them.
SHARED_NAMES = ('ChannelWiseDivergence', 'DISTLoss', 'MGDLoss', 'MobileNetV2', 'PKDLoss', 'StopDistillHook')


class Registry(mmengine_registry.Registry):
    """A child registry of scope ``mmkd`` that falls back to the libraries mmkd extends.

    Args:
        name: Name of the registry.
        parent: The mmengine registry it is a child of.
        locations: Modules imported on first use.
        lazy_locations: Modules imported only when a name is found nowhere else.
    """

    def __init__(self, name: str, parent, locations=(), lazy_locations=()):
        super().__init__(name, parent=parent, scope='mmkd', locations=list(locations))
        self._lazy_locations = list(lazy_locations)

    def _register_module(self, module, module_name=None, force=False):
        super()._register_module(module=module, module_name=module_name, force=force)
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in names:
            if name not in SHARED_NAMES:
                self.root._module_dict.setdefault(name, module)

    def import_from_location(self) -> None:
        """Imports the modules that register into this registry; says what to install if they cannot be imported."""
        if not self._imported:
            with compat.explained_imports():
                super().import_from_location()

    def get(self, key: str):
        """Returns the class registered as ``key``, or None. See the module's docstring for the search order."""
        scope, name = self.split_scope_key(key)
        self.import_from_location()
        if scope is not None and scope != self.scope:
            return super().get(key)
        found = self._search(scope, name)
        if found is None and self._lazy_locations:
            self._import_lazy_locations(name)
            found = self._search(scope, name)
        return super().get(key) if found is None else found  # the last resort of mmengine: a dotted path of a class

    def _search(self, scope: str | None, name: str):
        """Looks in this registry and, for a name without a scope, in the others."""
        if name in self._module_dict or scope is not None:
            return self._module_dict.get(name)
        # Before the root: mmcv's Resize is there, which does not resize masks as mmdet's of that name does. The other
        # libraries come after it: a segmentation run wants mmcv's Pad, since mmseg has none, and not mmdet's.
        running, *others = _host_scopes_by_relevance()
        found = self._get_from_host(running, name)
        if found is None:
            found = self.root._module_dict.get(name)
        for other in others:
            if found is None and (other != 'mmrazor' or 'mmrazor.models' in sys.modules):  # it takes seconds to import
                found = self._get_from_host(other, name)
        return found

    def _get_from_host(self, scope: str, name: str):
        if scope == 'mmrazor':
            compat.import_mmrazor()
        try:
            import_module(f'{scope}.registry')
        except ImportError:
            return None
        host = self.root._search_child(scope)
        if host is None:
            return None
        host.import_from_location()
        return host._module_dict.get(name)

    def _import_lazy_locations(self, name: str) -> None:
        try:
            for location in self._lazy_locations:
                import_module(location)
        except ImportError as error:
            raise ImportError(f'{name} is in none of mmkd, mmdet and mmseg; is it for distillation? {error}') from error
        self._lazy_locations = []


def _host_scopes_by_relevance() -> list[str]:
    """The host scopes, those of the current run first: a segmentation run must find mmseg's ``CrossEntropyLoss``."""
    running = [instance.scope_name for instance in reversed(DefaultScope._instance_dict.values())]
    return list(dict.fromkeys([scope for scope in running if scope in HOST_SCOPES] + list(HOST_SCOPES)))


def _child(name: str, locations=(), lazy_locations=()) -> Registry:
    parent = getattr(mmengine_registry, name)
    return Registry(parent.name, parent, locations or ['mmkd.engine'], lazy_locations)


RUNNERS = _child('RUNNERS')
LOOPS = _child('LOOPS')
HOOKS = _child('HOOKS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')

MODELS = _child(
    'MODELS',
    locations=['mmkd.models', 'mmkd.distillation.losses', 'mmkd.distillation.connectors'],
    lazy_locations=['mmkd.distillation.algorithms'],
)
TASK_UTILS = _child('TASK_UTILS', locations=['mmkd.models'])
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', locations=['mmkd.models'])

DATASETS = _child('DATASETS', locations=['mmkd.datasets'])
DATA_SAMPLERS = _child('DATA_SAMPLERS', locations=['mmkd.datasets'])
TRANSFORMS = _child('TRANSFORMS', locations=['mmkd.datasets'])

METRICS = _child('METRICS', locations=['mmkd.evaluation'])
EVALUATOR = _child('EVALUATOR', locations=['mmkd.evaluation'])
VISUALIZERS = _child('VISUALIZERS', locations=['mmkd.visualization'])
VISBACKENDS = _child('VISBACKENDS', locations=['mmkd.visualization'])
