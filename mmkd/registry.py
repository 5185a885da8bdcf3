"""The registries of mmkd: children of mmengine's under the scope ``mmkd``.

Three things differ from a plain child registry, all so that a config may mix mmkd with mmdet and mmseg without
thinking about scopes:

* what mmkd registers is also visible from the root, hence from every scope: ``type='DenseDistill'`` and
  ``type='mmkd.DenseDistill'`` both work in an mmdet or mmseg config;
* a name that mmkd does not have is looked up in the libraries it extends. ``_base_ = 'mmkd::...'`` marks every dict of
  the base with ``_scope_ = 'mmkd'``, and without this no mmdet component inside it would be found;
* parts that need mmrazor are imported only when one of their names is asked for.
"""

from __future__ import annotations

from importlib import import_module

from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope

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
            self.root._module_dict.setdefault(name, module)

    def get(self, key: str):
        """Returns the class registered as ``key``, or None. See the module's docstring for the search order."""
        scope, name = self.split_scope_key(key)
        self.import_from_location()
        found = None
        if scope is None and name not in self._module_dict:
            # Before the root: mmcv's Resize is there, which does not resize masks as mmdet's of that name does.
            found = self._get_from_hosts(name)
        if found is None:
            found = super().get(key)
        if found is None and scope in (None, self.scope) and self._lazy_locations:
            lazy_locations, self._lazy_locations = self._lazy_locations, []
            for location in lazy_locations:
                import_module(location)
            found = super().get(key)
        return found

    def _get_from_hosts(self, name: str):
        for scope in _host_scopes_by_relevance():
            if scope == 'mmrazor' and self._lazy_locations:
                continue  # importing mmrazor takes seconds: only once mmkd's own lazy parts are wanted
            try:
                import_module(f'{scope}.registry')
            except ImportError:
                continue
            host = self.root._search_child(scope)
            if host is not None and host is not self:
                host.import_from_location()
                if name in host._module_dict:
                    return host._module_dict[name]
        return None


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
