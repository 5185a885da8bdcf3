"""The configs that stand in pages are read from an empty folder; those on data of one's own train."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.coco import with_polygons
from helpers.pages import PAGES, ROOT, config_blocks, name_of
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.apis import preflight
from mmkd.utils.errors import UserError
from mmkd.utils.student import student_config

NUCLEI = ROOT / 'tests/data/nuclei'
CASES = [pytest.param(text, id=f'{name_of(page)}-{i}') for page in PAGES for i, text in enumerate(config_blocks(page))]
SIDE = 96  # images of a step


def written(text: str, folder: Path) -> Config:
    (folder / 'my_config.py').write_text(text)
    return Config.fromfile(folder / 'my_config.py')


@pytest.mark.parametrize('text', CASES)
def test_config_is_read_and_only_files_are_missing(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = written(text, tmp_path)
    try:
        (preflight.check_train_config if cfg.get('train_dataloader') else preflight.check_test_config)(cfg)
    except UserError as error:
        for line in str(error).splitlines():
            assert 'does not exist' in line or 'is not a file' in line, line


def own_data(cfg: Config) -> Iterator[dict]:
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = cfg[key].dataset
        while 'ann_file' not in dataset:
            dataset = dataset.dataset
        yield dataset


def trains_on_own_data(text: str) -> bool:
    return 'train_dataloader' in text and 'ann_file' in text


def make_coco_data(dataset: dict) -> None:
    """Two images of nuclei with the classes of the config, where it looks for them; polygons to train on, RLE else."""
    root = Path(dataset['data_root'])
    split = 'train' if 'train' in dataset['ann_file'] else 'val'
    data = json.loads((NUCLEI / f'instances_{split}.json').read_text())
    data['images'] = data['images'][:2]
    kept = {image['id'] for image in data['images']}
    classes = dataset['metainfo']['classes']
    data['categories'] = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
    data['annotations'] = [
        {**annotation, 'category_id': 1 + i % len(classes)}
        for i, annotation in enumerate(a for a in data['annotations'] if a['image_id'] in kept)
    ]
    file = root / dataset['ann_file']
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(with_polygons(data) if split == 'train' else data))
    images = root / dataset['data_prefix']['img']
    images.mkdir(parents=True, exist_ok=True)
    for image in data['images']:
        shutil.copy(NUCLEI / split / image['file_name'], images)


def shrink(cfg: Config) -> None:
    """One step on a small image, one validation, with random weights: whether it runs is what matters."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        loader.pop('batch_sampler', None)
    for dataset in own_data(cfg):
        for step in dataset.pipeline:
            for name in ('scale', 'scales', 'crop_size'):
                if name in step:
                    step[name] = [(SIDE, SIDE)] if name == 'scales' else (SIDE, SIDE)
    if cfg.train_cfg.get('by_epoch', True) and 'max_iters' not in cfg.train_cfg:
        cfg.train_cfg.update(max_epochs=1, val_interval=1, val_begin=1)
    else:
        cfg.train_cfg.update(max_iters=1, val_interval=1, val_begin=1)
    cfg.default_hooks.logger.interval = 1
    student = student_config(cfg.model)
    student.backbone.pop('init_cfg', None)
    if cfg.model.get('teacher'):
        cfg.model.teacher.update(ckpt=None, allow_random=True)
        cfg.model.dry_run = dict(size=(SIDE, SIDE))


@pytest.mark.slow
@pytest.mark.parametrize('text', [case for case in CASES if trains_on_own_data(case.values[0])])
def test_config_on_own_data_trains_and_validates(text, tmp_path, monkeypatch, installed):
    monkeypatch.chdir(tmp_path)
    cfg = written(text, tmp_path)
    for dataset in own_data(cfg):
        make_coco_data(dataset)
    shrink(cfg)
    cfg.dump(tmp_path / 'my_config.py')
    done = installed.server.run([installed.site / 'mmkd/.mim/tools/train.py', 'my_config.py'], tmp_path)
    assert done.code == 0, done.output[-3000:]
    assert re.search(r'(Iter|Epoch)\(val\)', done.output), done.output[-3000:]
    names = {path.name for path in tmp_path.glob('work_dirs/my_config/*.pth')}
    assert names & {'iter_1.pth', 'epoch_1.pth'}
    assert bool(cfg.model.get('teacher')) == any(name.endswith('_student.pth') for name in names)
