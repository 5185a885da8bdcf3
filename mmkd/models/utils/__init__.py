from .recompute import recompute, recompute_blocks

__all__ = ['recompute', 'recompute_blocks']
