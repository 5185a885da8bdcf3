from .dla_up import DLANeck, DLAUp, IDAUp

__all__ = ['DLANeck', 'DLAUp', 'IDAUp']
