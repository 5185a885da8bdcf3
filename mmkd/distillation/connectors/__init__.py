"""Connectors: what adapts a student's feature to a teacher's."""

from .conv import ConvConnector, build_connector

__all__ = ['ConvConnector', 'build_connector']
