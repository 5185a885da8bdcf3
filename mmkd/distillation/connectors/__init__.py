"""Connectors: what adapts a student's feature to a teacher's."""

from .conv import ConvConnector, build_connector
from .masked_generation import MaskedGenerationConnector
from .token_map import TokenMapConnector

__all__ = ['ConvConnector', 'MaskedGenerationConnector', 'TokenMapConnector', 'build_connector']
