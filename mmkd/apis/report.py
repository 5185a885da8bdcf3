"""``mmkd report``: what a work dir holds of one or several runs, as one HTML file."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmkd.visualization.curves import logged_keys, plot_losses, plot_scalars, read_scalars
from mmkd.visualization.page import Code, Picture, Section, Table, write_page

from .errors import UserError

__all__ = ['named_runs', 'run_sections', 'write_report']

PICTURES = 12  # of a run
# what a training record holds beside its losses and what mmengine logs
NO_SCORES = ('loss', 'lr', 'base_lr', 'time', 'data_time', 'memory', 'grad_norm', 'grad_share', 'grad_cosine')
STAMPED = '[0-9]' * 8 + '_*'  # folders and files that mmengine names by the time


def named_runs(work_dirs: Sequence[str], names: Sequence[str] | None = None) -> dict[str, Path]:
    """Work dirs by the names that they are shown under.

    Args:
        work_dirs: Of trainings.
        names: As many, all different; by default the names of the folders.

    Raises:
        UserError: A folder is not there, or the names do not fit.
    """
    for folder in work_dirs:
        if not Path(folder).is_dir():
            raise UserError(f'work_dirs: {folder!r} does not exist (looked for from {Path.cwd()})')
    names = list(names or [Path(folder).resolve().name for folder in work_dirs])
    if len(names) != len(work_dirs) or len(set(names)) != len(names):
        raise UserError(f'--names: {len(work_dirs)} work dirs need as many different names, got {names}')
    return dict(zip(names, map(Path, work_dirs), strict=True))


def write_report(runs: Mapping[str, Path], path: Path, title: str = '', before: Sequence[Section] = ()) -> None:
    """Writes a page about runs.

    Args:
        runs: Name to work dir.
        path: The page.
        title: Its title; by default the names of the runs.
        before: Sections that come first.

    Raises:
        UserError: Nothing was trained in any of the folders.
    """
    sections = run_sections(runs)
    write_page(
        path, title or ' / '.join(runs), '\n'.join(_about(name, runs[name]) for name in runs), [*before, *sections]
    )


def run_sections(runs: Mapping[str, Path]) -> list[Section]:
    """What a page about runs shows: table, curves, pictures, configs, environment; see :func:`write_report`."""
    if not any(read_scalars(folder) for folder in runs.values()):
        folders = ', '.join(str(folder) for folder in runs.values())
        raise UserError(f'work_dirs: no record of a training in {folders} (looked for */vis_data/scalars.json there)')
    return [
        Section('Runs', [_table(runs), *_tests(runs)]),
        Section('Curves', _curves(runs)),
        Section('Pictures', [picture for name, folder in runs.items() for picture in _pictures(name, folder)]),
        Section('Config', [part for name, folder in runs.items() for part in _config(name, folder)]),
        Section('Environment', [part for name, folder in runs.items() for part in _environment(name, folder)]),
    ]


def _about(name: str, folder: Path) -> str:
    log = _log(folder)
    found = re.search(r'Distillation: (.*)', log)
    return f'{name}: {found[1]}' if found else f'{name}: {folder}'


def _scores(folder: Path) -> list[str]:
    """The keys that validations log."""
    return [
        key
        for key in logged_keys(folder)
        if not key.startswith(NO_SCORES)
        and 'loss' not in key
        and any('loss' not in r for r in read_scalars(folder, key))
    ]


def _table(runs: Mapping[str, Path]) -> Table:
    """A column for each run, with its last scores."""
    columns = {}
    for name, folder in runs.items():
        records = read_scalars(folder)
        last = records[-1] if records else {}
        times = [record['time'] for record in records if 'time' in record]
        pointer = folder / 'last_checkpoint'
        columns[name] = {
            'iterations': str(last.get('step', '')),
            'loss': _shown(last.get('loss')),
            **{key: _shown(read_scalars(folder, key)[-1][key]) for key in _scores(folder)},
            'seconds per iteration': _shown(float(np.median(times))) if times else '',
            'checkpoint': Path(pointer.read_text().strip()).name if pointer.is_file() else '',
        }
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    rows = [(key, *(column.get(key, '') for column in columns.values())) for key in keys]
    return Table(('last', *columns), [row for row in rows if _is_told(row)])


def _is_told(row: Sequence[str]) -> bool:
    """Whether there is anything in a row; COCO's -1 stands for 'no such objects'."""
    return any(cell not in ('', '-1') for cell in row[1:])


def _tests(runs: Mapping[str, Path]) -> list[Table]:
    """The last test in each work dir, or in a folder of it."""
    tests = {}
    for name, folder in runs.items():
        files = sorted([*folder.glob(f'{STAMPED}/{STAMPED}.json'), *folder.glob(f'*/{STAMPED}/{STAMPED}.json')])
        metrics = json.loads(files[-1].read_text()) if files else {}
        tests[name] = {key: value for key, value in metrics.items() if isinstance(value, (int, float))}
    keys = [key for key in dict.fromkeys(key for found in tests.values() for key in found) if 'time' not in key]
    rows = [(key, *(_shown(found.get(key)) for found in tests.values())) for key in keys]
    rows = [row for row in rows if _is_told(row)]
    return [Table(('tested', *tests), rows)] if rows else []


def _shown(value: float | None) -> str:
    return '' if value is None else f'{value:.4g}'


def _curves(runs: Mapping[str, Path]) -> list[Picture]:
    trained = {name: folder for name, folder in runs.items() if read_scalars(folder)}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, 'curve.png')
        plot_losses(trained, file)
        curves = [Picture(file, 'Losses; smoothed, and as they are behind that')]
        keys = dict.fromkeys(key for folder in runs.values() for key in logged_keys(folder))
        groups = {
            'Scores of the validations': _leading(runs),
            'The share of each term in the gradient': [key for key in keys if key.startswith('grad_share')],
            'Cosine of the gradient of each term with that of the task': [
                k for k in keys if k.startswith('grad_cosine')
            ],
            'Learning rate and norm of the gradient': [key for key in keys if key in ('lr', 'grad_norm')],
        }
        for caption, shown in groups.items():
            for start in range(0, len(shown), 3):
                plot_scalars(trained, shown[start : start + 3], file, columns=3)
                curves.append(Picture(file, caption))
    return curves


def _leading(runs: Mapping[str, Path]) -> list[str]:
    """The scores without those of a kind: ``segm_mAP``, and not ``segm_mAP_50``, ``segm_mAP_s``."""
    scores = list(dict.fromkeys(key for folder in runs.values() for key in _scores(folder)))
    return [key for key in scores if not any(key.startswith(f'{other}_') for other in scores)]


def _pictures(name: str, folder: Path) -> list[Picture]:
    """What the run has drawn: of each picture the last, and the first to compare it with."""
    series: dict[str, list[tuple[int, Path]]] = {}
    for file in folder.glob('*/vis_data/vis_image/*'):
        found = re.fullmatch(r'(.+)_(\d+)', file.stem)
        if found:
            series.setdefault(found[1], []).append((int(found[2]), file))
    shown = []
    for title, files in sorted(series.items()):
        ends = sorted({min(files), max(files)})
        shown += [Picture(file, f'{name}: {title}, iteration {step}') for step, file in ends]
    return shown[:PICTURES]


def _config(name: str, folder: Path) -> list[Code]:
    files = sorted(folder.glob('*/vis_data/config.py')) or sorted(folder.glob('*.py'))
    return [Code(f'{name}: {files[-1].relative_to(folder)}', files[-1].read_text())] if files else []


def _environment(name: str, folder: Path) -> list[Code]:
    found = re.search(r'System environment:\n(.*?)\n-{20,}', _log(folder), re.DOTALL)
    return [Code(f'{name}: environment', found[1])] if found else []


def _log(folder: Path) -> str:
    files = sorted(folder.glob(f'{STAMPED}/*.log'))
    return files[-1].read_text(errors='replace') if files else ''
