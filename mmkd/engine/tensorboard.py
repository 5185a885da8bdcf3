"""TensorBoard in every distillation, where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend

__all__ = ['add_tensorboard']


def add_tensorboard(runner: Runner) -> None:
    """Lets a run write for TensorBoard as well: losses by term, learning rates, scores, gradient shares, pictures.

    Nothing is done where TensorBoard is not installed, where the config asks for it itself, or where it says
    ``tensorboard = False``. To look: ``tensorboard --logdir work_dirs``.

    Args:
        runner: A runner whose training has not begun.
    """
    wanted = runner.cfg.get('tensorboard', True) and importlib.util.find_spec('tensorboard') is not None
    # mmengine offers no way to add a backend to a visualizer that is built
    backends = runner.visualizer._vis_backends
    if wanted and not any(isinstance(backend, TensorboardVisBackend) for backend in backends.values()):
        # it makes its file when there is something to write
        backends['TensorboardVisBackend'] = TensorboardVisBackend(save_dir=str(Path(runner.log_dir, 'vis_data')))
