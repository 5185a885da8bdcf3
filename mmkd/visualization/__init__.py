from .curves import plot_losses
from .side_by_side import draw_classes, draw_depth, draw_instances, save_side_by_side

__all__ = ['draw_classes', 'draw_depth', 'draw_instances', 'plot_losses', 'save_side_by_side']
