"""Testing a checkpoint from the first check to its scores, and the options by which a command changes it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner

from mmkd.utils.errors import UserError
from mmkd.utils.student import load_student, student_config
from mmkd.utils.unwrap import unwrapped

from . import build, launch, preflight
from .errors import leaves_nothing_behind, user_errors

__all__ = ['apply_drawing', 'apply_tta', 'dump_predictions', 'load_checkpoint', 'test']


def test(cfg: Config, checkpoint: str, out: str | None = None, tta: bool = False) -> dict[str, float]:
    """Checks a config against the disk, builds what its test needs, and tests a checkpoint.

    Args:
        cfg: A plain config, or a student with its teacher, of which the plain student is tested: no teacher, no file
            of one. ``work_dir`` and ``launcher`` are set, as :func:`mmkd.apis.load_config` does.
        checkpoint: A full checkpoint or a student-only file; both fit either config.
        out: A file ending in ``.pkl``, to which the predictions are written.
        tta: Whether to augment, see :func:`apply_tta`.

    Returns:
        The scores by their names.

    Raises:
        UserError: Something in the config cannot be, or the checkpoint does not fit; nothing is left behind then.
    """
    _check_files(checkpoint, out)
    if 'model' in cfg:
        cfg.model = student_config(cfg.model)
    # The checkpoint is loaded by load_checkpoint, strictly; nothing is to be loaded or resumed beside it.
    cfg.load_from, cfg.resume = None, False
    preflight.check_test_config(cfg)
    if tta:
        apply_tta(cfg)

    launch.prepare_launch(cfg)
    with leaves_nothing_behind(cfg.work_dir):
        with user_errors('building the run', cfg):
            runner = launch.build_runner(cfg)
            load_checkpoint(runner, checkpoint)
            build.build_testing(runner)
            dump_predictions(runner, out)
        return runner.test()


def _check_files(checkpoint: str, out: str | None) -> None:
    if '://' not in checkpoint and not Path(checkpoint).expanduser().is_file():
        raise UserError(f'checkpoint: {checkpoint!r} is not a file (looked for from {Path.cwd()})')
    if out is not None and not out.endswith(('.pkl', '.pickle')):
        raise UserError(f'--out: {out!r} was given, a name ending in .pkl was expected')


def apply_drawing(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Turns on drawing, as ``--show`` and ``--show-dir`` of mmdet do.

    Raises:
        UserError: The config has no hook that draws.
    """
    if not show and not show_dir:
        return
    hook = cfg.get('default_hooks', {}).get('visualization')
    if not hook:
        raise UserError('--show, --show-dir: default_hooks.visualization is missing from the config')
    hook.draw = True
    if show:
        hook.show, hook.wait_time = True, wait_time
    if show_dir:
        hook.test_out_dir = show_dir


def apply_tta(cfg: Config) -> None:
    """Wraps the model for test-time augmentation, by ``tta_model`` and ``tta_pipeline`` or, for detectors, a flip.

    mmdet's ``DetTTAModel`` merges the boxes of the views and no masks: where a config asks for it, only boxes are
    evaluated. The flip is merged by mmkd's, with masks.

    Raises:
        UserError: A model other than a detector without ``tta_model`` or ``tta_pipeline``.
    """
    for key, default in (('tta_model', _flip_tta_model), ('tta_pipeline', _flip_tta_pipeline)):
        if key not in cfg:
            if cfg.get('default_scope') != 'mmdet':
                raise UserError(f'--tta: {key} is missing from the config')
            cfg[key] = default(cfg)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in _innermost_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.tta_pipeline
    if cfg.tta_model.get('type') in ('DetTTAModel', 'mmdet.DetTTAModel'):
        _evaluate_boxes_only(cfg)


def _flip_tta_model(cfg: Config) -> ConfigDict:
    test_cfg = cfg.model.get('test_cfg') or {}
    test_cfg = test_cfg.get('bbox') or test_cfg.get('rcnn') or test_cfg
    return ConfigDict(
        type='mmkd.InstanceTTAModel',
        tta_cfg=dict(
            nms=deepcopy(test_cfg.get('nms') or dict(type='nms', iou_threshold=0.5)),
            max_per_img=test_cfg.get('max_per_img', 100),
        ),
    )


def _flip_tta_pipeline(cfg: Config) -> list:
    pipeline = deepcopy(next(_innermost_datasets(cfg.test_dataloader.dataset)).pipeline)
    meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
    flips = [ConfigDict(type='RandomFlip', prob=1.0), ConfigDict(type='RandomFlip', prob=0.0)]
    pack = [ConfigDict(type='PackDetInputs', meta_keys=meta_keys)]
    return [*pipeline[:-1], ConfigDict(type='TestTimeAug', transforms=[flips, pack])]


def _innermost_datasets(dataset: ConfigDict):
    if 'dataset' in dataset:
        yield from _innermost_datasets(dataset.dataset)
    elif 'datasets' in dataset:
        for part in dataset.datasets:
            yield from _innermost_datasets(part)
    else:
        yield dataset


def _evaluate_boxes_only(cfg: Config) -> None:
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    for evaluator in evaluators:
        metrics = evaluator.get('metric')
        if isinstance(metrics, (list, tuple)) and set(metrics) - {'bbox'}:
            print_log('--tta: masks are not merged over views, so only boxes are evaluated', logger='current')
            evaluator.metric = ['bbox']


def load_checkpoint(runner: Runner, path: str) -> None:
    """Loads a full or student-only checkpoint into the runner's model, strictly.

    Raises:
        CheckpointError: It cannot be read or does not fit; see :func:`mmkd.utils.student.load_student`.
    """
    model = unwrapped(runner.model)
    if isinstance(model, BaseTTAModel):
        model = model.module
    load_student(model, path)


def dump_predictions(runner: Runner, path: str | None) -> None:
    """Adds the metric that writes the predictions to ``path``; does nothing without one."""
    if path is None:
        return
    if runner.cfg.get('default_scope') == 'mmdet':
        from mmdet.evaluation import DumpDetResults as Dump  # packs the masks
    else:
        from mmengine.evaluator import DumpResults as Dump
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    runner.test_evaluator.metrics.append(Dump(out_file_path=path))
