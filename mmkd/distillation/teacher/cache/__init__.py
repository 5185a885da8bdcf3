"""What a teacher gave, kept on disk, so that it need not run again."""

from .output_cache import OutputCache
from .store import Store

__all__ = ['OutputCache', 'Store']
