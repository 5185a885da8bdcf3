"""Distillation algorithms, on mmrazor's. Importing them imports mmrazor, which takes seconds."""

from .dense_distill import DenseDistill
from .dense_distiller import DenseDistiller, LevelConnectors

__all__ = ['DenseDistill', 'DenseDistiller', 'LevelConnectors']
