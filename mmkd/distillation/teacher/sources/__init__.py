"""Teachers from other libraries: ``teacher=dict(source='timm', name=...)``."""

from .network import SOURCES, SourceNetwork, source_teacher

__all__ = ['SOURCES', 'SourceNetwork', 'source_teacher']
