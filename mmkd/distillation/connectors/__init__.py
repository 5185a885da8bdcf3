"""Connectors: what adapts a student's feature to a teacher's."""

from .conv import ConvConnector, build_connector
from .levels import LevelConnectors
from .masked_generation import MaskedGenerationConnector
from .token_map import TokenMapConnector

__all__ = ['ConvConnector', 'LevelConnectors', 'MaskedGenerationConnector', 'TokenMapConnector', 'build_connector']
