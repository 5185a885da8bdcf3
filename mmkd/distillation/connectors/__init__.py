"""Connectors: what adapts a student's feature to a teacher's."""

from .conv import ConvConnector, build_connector
from .masked_generation import MaskedGenerationConnector

__all__ = ['ConvConnector', 'MaskedGenerationConnector', 'build_connector']
