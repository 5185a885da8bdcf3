"""``mmkd distill``: two networks in, a distilled student out."""

from .run import distill

__all__ = ['distill']
