"""Distillation algorithms, on mmrazor's. Importing them imports mmrazor, which takes seconds."""

from ..recipes.dense_distiller import DenseDistiller, LevelConnectors
from .adversarial_distill import AdversarialDistill
from .dense_distill import DenseDistill

__all__ = ['AdversarialDistill', 'DenseDistill', 'DenseDistiller', 'LevelConnectors']
