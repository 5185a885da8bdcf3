"""Distillation algorithms, on mmrazor's. Importing them imports mmrazor, which takes seconds."""

from .adversarial_distill import AdversarialDistill
from .dense_distill import DenseDistill
from .dense_distiller import DenseDistiller, LevelConnectors

__all__ = ['AdversarialDistill', 'DenseDistill', 'DenseDistiller', 'LevelConnectors']
