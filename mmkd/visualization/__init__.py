from .curves import plot_losses, plot_scalars
from .side_by_side import draw_classes, draw_depth, draw_instances, save_side_by_side

__all__ = ['draw_classes', 'draw_depth', 'draw_instances', 'plot_losses', 'plot_scalars', 'save_side_by_side']
