"""Checkpoints: read without running code, unwrapped, and refused when they do not fit."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from torch import nn

from mmkd.utils.checkpoint import check_state_dict_fits, load_checkpoint_file, state_dict_of, strip_prefix


def small_model():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), bn=nn.BatchNorm2d(4)))


def saved(checkpoint, tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(checkpoint, path)
    return path


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ('run_by_a_checkpoint',)


class ReachesThroughGetattr:
    """``getattr(ndarray, '__subclasses__')``: what an allow-listed ``getattr`` would permit."""

    def __reduce__(self):
        return getattr, (np.ndarray, '__subclasses__')


def test_file_of_a_training_run_is_read(tmp_path):
    hub = MessageHub('test_file_of_a_training_run')
    hub.update_scalar('train/loss', torch.tensor(2.0))
    hub.update_scalar('train/loss', np.float32(4.0))
    hub.update_info('array', np.arange(3))
    hub.update_info('text', np.array(['a', 'bc']))
    hub.update_info('number', np.int64(7))
    path = saved(
        dict(
            state_dict=small_model().state_dict(),
            message_hub=hub.state_dict(),
            meta=dict(dataset_meta=ConfigDict(classes=('cell',)), flag=np.bool_(True), half=np.float16(0.5)),
        ),
        tmp_path,
    )
    checkpoint = load_checkpoint_file(path)
    assert checkpoint['message_hub']['log_scalars']['train/loss'].mean() == 3.0
    assert checkpoint['message_hub']['runtime_info']['number'] == 7
    assert checkpoint['message_hub']['runtime_info']['array'].tolist() == [0, 1, 2]
    assert checkpoint['message_hub']['runtime_info']['text'].tolist() == ['a', 'bc']
    assert checkpoint['meta']['dataset_meta'].classes == ('cell',)


@pytest.mark.parametrize('harmful', [RunsCode(), ReachesThroughGetattr()])
def test_code_in_a_file_is_refused_and_does_not_run(harmful, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(dict(state_dict=small_model().state_dict(), extra=harmful), tmp_path)
    with pytest.raises(ValueError, match=r'checkpoint\.pth holds objects .* could run code'):
        load_checkpoint_file(path)
    assert not (tmp_path / 'run_by_a_checkpoint').exists()


@pytest.mark.parametrize('content', [b'', b'<html>not found</html>', b'PK\x03\x04 cut off', b'\x80\x02'])
def test_damaged_file_is_named(content, tmp_path):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'damaged\.pth'):
        load_checkpoint_file(path)


def test_cut_off_file_is_named(tmp_path):
    path = saved(dict(state_dict=small_model().state_dict()), tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r'checkpoint\.pth'):
        load_checkpoint_file(path)


def test_missing_file_folder_and_list_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist'):
        load_checkpoint_file(tmp_path / 'no.pth')
    with pytest.raises(FileNotFoundError, match='is a folder'):
        load_checkpoint_file(tmp_path)
    with pytest.raises(ValueError, match='holds a list'):
        load_checkpoint_file(saved([1], tmp_path))


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: dict(state_dict=s, meta={}), lambda s: dict(model=s, it=1)])
def test_state_dict_is_found_however_it_is_wrapped(wrap):
    state_dict = small_model().state_dict()
    assert state_dict_of(wrap(state_dict)) is state_dict


@pytest.mark.parametrize('checkpoint', [{}, dict(meta=1), dict(state_dict=3, weight=torch.ones(1))])
def test_checkpoint_without_parameters_is_refused(checkpoint):
    with pytest.raises(ValueError, match='no parameters found'):
        state_dict_of(checkpoint)


def test_prefix_is_taken_from_the_start_only_and_versions_go_along():
    model = nn.ModuleDict(dict(architecture=small_model(), teacher=small_model()))
    state_dict = model.state_dict()
    state_dict['head.architecture.weight'] = torch.ones(1)
    student = strip_prefix(state_dict, 'architecture.')
    assert list(student) == list(small_model().state_dict())
    assert student._metadata == small_model().state_dict()._metadata
    small_model().load_state_dict(student)


def test_fitting_state_dict_passes_and_model_stays():
    model = small_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state_dict = {k: v + 1 for k, v in model.state_dict().items() if k != 'bn.num_batches_tracked'}
    check_state_dict_fits(model, dict(state_dict, surplus=torch.ones(1)))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_missing_keys_are_counted_and_named():
    state_dict = {f'module.{k}': v for k, v in small_model().state_dict().items()}
    state_dict['conv.weight'] = state_dict.pop('module.conv.weight')
    message = (
        r"^teacher\.ckpt: 5 of 6 keys are missing, first 'conv.bias'; "
        r"5 keys of the file are not in the model, first 'module.conv.bias'\."
    )
    with pytest.raises(ValueError, match=message):
        check_state_dict_fits(small_model(), state_dict, 'teacher.ckpt')


def test_shapes_are_compared():
    state_dict = small_model().state_dict()
    state_dict['conv.weight'] = torch.zeros(4, 3, 1, 1)
    message = r"1 of 6 keys have another shape, first 'conv.weight': \(4, 3, 1, 1\), expected \(4, 3, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        check_state_dict_fits(small_model(), state_dict)


class Upgraded(nn.Conv2d):
    """A layer that renamed its weight and brings old files up to date, as mmcv's deformable convolution does."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
        if local_metadata.get('version', 1) < 2 and f'{prefix}old' in state_dict:
            state_dict[f'{prefix}weight'] = state_dict.pop(f'{prefix}old')
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def test_keys_that_loading_upgrades_are_not_missing():
    model = nn.Sequential(Upgraded(3, 4, 3))
    old = {'0.old': torch.ones(4, 3, 3, 3), '0.bias': torch.ones(4)}
    check_state_dict_fits(model, old)
    assert '0.old' in old
    assert not torch.equal(model[0].bias, torch.ones(4))
    del old['0.bias']
    with pytest.raises(ValueError, match=r"1 of 2 keys are missing, first '0.bias'"):
        check_state_dict_fits(model, old)
