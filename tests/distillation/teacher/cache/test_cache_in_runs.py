"""The cache in whole runs, in the command, and on two processes."""

import json
import sys

import pytest
import torch
from helpers.distillation_runs import run_config, scalars, train
from helpers.distillation_toys import build, mse, toy
from helpers.two_processes import failures_of
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from mmkd.apis import cache as api
from mmkd.apis import cli
from mmkd.utils.errors import UserError


@DATASETS.register_module()
class RandomToyImages(Dataset):
    """Six images, noise and brightness drawn anew each time."""

    metainfo = dict(classes=('a', 'b', 'c'), palette=[(1, 2, 3)] * 3)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        from mmengine.structures import BaseDataElement

        image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index)) + torch.randn(3, 1, 1)
        return dict(inputs=image, data_samples=BaseDataElement(metainfo=dict(img_shape=(32, 32))))


def config_of(folder, teacher, epochs=4, **cache):
    teacher = dict(teacher, cache=dict(dir=str(folder / 'cache'), views=2, **cache))
    return run_config(str(folder / 'run'), teacher, epochs, train_dataloader=dict(dataset=dict(type='RandomToyImages')))


def test_a_run_asks_the_teacher_once_for_each_view(teacher, tmp_path):
    runner = train(config_of(tmp_path, teacher))
    cache = runner.model.teacher.cache
    assert (cache.computed, cache.read) == (12, 12)

    again = train(config_of(tmp_path, teacher))
    assert (again.model.teacher.cache.computed, again.model.teacher.cache.read) == (0, 24)
    assert scalars(again, 'train/distill.loss_fpn') == scalars(runner, 'train/distill.loss_fpn')


def test_the_command_builds_lists_checks_and_prunes(teacher, tmp_path, capsys, monkeypatch):
    config = config_of(tmp_path, teacher)
    config.val_dataloader = config.val_evaluator = config.val_cfg = None
    config.launcher = 'none'
    monkeypatch.setattr('mmkd.apis.preflight.check_train_config', lambda cfg: None)  # toys have no files
    assert api.build(config) == (0, 12)
    runner = train(config_of(tmp_path, teacher))
    assert runner.model.teacher.cache.computed == 0

    def said(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, 'argv', ['mmkd', 'cache', *arguments])
        cli.main()
        return capsys.readouterr().out

    folder = str(tmp_path / 'cache')
    (found,) = json.loads(said('info', folder, '--json'))
    assert found['images'] == 12 and found['about']['taps'] and not found['damaged']
    assert '12 views of images' in said('check', folder) and '0 files removed' in said('prune', folder)

    path = next((tmp_path / 'cache').rglob('*.safetensors'))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SystemExit, match='1'):
        said('check', folder)
    assert '1 files removed' in said('prune', folder) and not path.exists()
    said('prune', folder, '--days', '0')
    assert not list((tmp_path / 'cache').iterdir()) and said('info', folder) == 'no caches\n'


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match='does not exist; the folder of teacher.cache.dir was expected'):
        api.info(tmp_path / 'nowhere')


def test_a_config_without_a_cache_has_nothing_to_build(teacher, tmp_path):
    with pytest.raises(UserError, match='model.teacher.cache: the config has none'):
        api.build(run_config(str(tmp_path), teacher))


# ---- two processes ---------------------------------------------------------------------------------------------------


def both_write_and_read_what_the_other_wrote(rank, folder):
    torch.manual_seed(0)
    teacher = dict(toy(channels=8, out_channels=10), allow_random=True, dtype='float32', cache=dict(dir=str(folder)))
    algorithm = build(mse(connector='conv1x1'), teacher=teacher)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    ours, theirs = images[rank::2], images[1 - rank :: 2]
    algorithm.loss(ours)
    torch.distributed.barrier()
    algorithm.loss(theirs)
    cache = algorithm.teacher.cache
    assert (cache.computed, cache.read) == (2, 2), (cache.computed, cache.read)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='gloo on one machine is tested on POSIX')
def test_processes_share_a_folder(tmp_path):
    found = failures_of(dict(shared=(both_write_and_read_what_the_other_wrote, [tmp_path / 'cache'])), tmp_path)
    assert not found['shared'], found['shared']
