"""Distillation algorithms, on mmrazor's. Importing them imports mmrazor, which takes seconds."""

from ..connectors import LevelConnectors
from ..recipes.dense_distiller import DenseDistiller
from .adversarial_distill import AdversarialDistill
from .dense_distill import DenseDistill

__all__ = ['AdversarialDistill', 'DenseDistill', 'DenseDistiller', 'LevelConnectors']
