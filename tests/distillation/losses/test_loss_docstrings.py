"""The examples in the docstrings run, and every public function and module has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import mmkd.distillation.connectors
import mmkd.distillation.losses

PACKAGES = (mmkd.distillation.losses, mmkd.distillation.connectors)
MODULES = [f'{package.__name__}.{info.name}' for package in PACKAGES for info in pkgutil.iter_modules(package.__path__)]
PUBLIC = [getattr(package, name) for package in PACKAGES for name in package.__all__ if name != 'DistillationLoss']


@pytest.mark.parametrize('name', MODULES)
def test_examples_give_what_they_say(name):
    torch.manual_seed(0)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize('public', PUBLIC, ids=lambda public: public.__name__)
def test_public_name_has_an_example_and_says_what_it_takes(public):
    assert (
        '>>>' in public.__doc__ or 'taps=dict(' in public.__doc__ or "taps='" in public.__doc__
    )  # of a head: its config
    for parameter in inspect.signature(public).parameters:
        assert parameter in public.__doc__, f'{parameter} is not documented'
