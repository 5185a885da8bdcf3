"""Checkpoints: read without running code, unwrapped, and refused when they do not fit."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from torch import nn

from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.errors import CheckpointError, UserError
from mmkd.utils.state_dict import check_start_fits, check_state_dict_fits, state_dict_of, strip_prefix


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


def test_cut_off_file_is_named(tmp_path):
    path = saved(dict(state_dict=small_model().state_dict()), tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r'checkpoint\.pth'):
        load_checkpoint_file(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'version https://git-lfs.github.com/spec/v1', "is no PyTorch file, it begins with b'version https://git-lfs"),
        (b'PK\x03\x04 cut off', 'is damaged or cut off'),
        (b'\x80\x02', 'damaged.pth'),
    ],
)
def test_what_is_wrong_with_a_damaged_file_is_said_in_one_line(content, message, tmp_path):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_checkpoint_file(path)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 400


def test_flipped_bytes_are_noticed(tmp_path):
    """PyTorch does not look at the checksums that it writes."""
    path = saved(dict(state_dict=small_model().state_dict()), tmp_path)
    content = bytearray(path.read_bytes())
    weight = small_model().state_dict()['bn.running_var'].numpy().tobytes()  # ones: found without parsing the file
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError, match=r"\.pth is damaged: '.*data/\d+' in it does not match its checksum"):
        load_checkpoint_file(path)


@pytest.mark.parametrize('legacy', [True, False])
def test_both_formats_of_pytorch_are_read(legacy, tmp_path):
    state_dict = small_model().state_dict()
    torch.save(state_dict, tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
    loaded = load_checkpoint_file(tmp_path / 'a.pth', None)
    assert all(torch.equal(loaded[key], value) for key, value in state_dict.items())


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused(value, dtype, tmp_path):
    state_dict = {key: value.clone() for key, value in small_model().state_dict().items()}
    state_dict['bn.weight'] = torch.full((4,), value, dtype=dtype)
    state_dict['bn.bias'][1] = value
    message = r"checkpoint\.pth is of no use: 2 of its 7 tensors hold NaN or infinity, first 'bn.weight'"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint_file(saved(dict(state_dict=state_dict), tmp_path))


def test_masks_of_attention_are_minus_infinity(tmp_path):
    load_checkpoint_file(saved(dict(state_dict=dict(attn_mask=torch.full((2, 2), float('-inf')))), tmp_path))


def test_an_empty_name_is_taken_for_an_empty_variable():
    with pytest.raises(CheckpointError, match="got '', an empty name; is it set from an environment variable"):
        load_checkpoint_file('')


def test_safetensors_are_read(tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    safetensors.save_file(dict(weight=torch.ones(2)), tmp_path / 'a.safetensors')
    assert torch.equal(load_checkpoint_file(tmp_path / 'a.safetensors')['weight'], torch.ones(2))
    (tmp_path / 'a.safetensors').write_bytes(b'no')
    with pytest.raises(CheckpointError, match=r'a\.safetensors is damaged'):
        load_checkpoint_file(tmp_path / 'a.safetensors')


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
        r"5 keys of the file are not in the model, first 'module.conv.bias'"
    )
    with pytest.raises(ValueError, match=message):
        check_state_dict_fits(small_model(), state_dict, 'teacher.ckpt')


def test_shapes_are_compared():
    state_dict = small_model().state_dict()
    state_dict['conv.weight'] = torch.zeros(4, 3, 1, 1)
    message = r"1 of 6 keys have another shape, first 'conv.weight': \(4, 3, 1, 1\), expected \(4, 3, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        check_state_dict_fits(small_model(), state_dict)


# ---- what a training may start from ----------------------------------------------------------------------------------


class Detector(nn.Module):
    def __init__(self, width=4, classes=3):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
        self.head = nn.Sequential(nn.Conv2d(width, 4, 1), nn.Conv2d(4, classes, 1))


def test_a_start_may_lack_parts_and_have_others():
    backbone = {key: value for key, value in Detector().state_dict().items() if key.startswith('backbone.')}
    check_start_fits(Detector(), dict(backbone, other=torch.ones(1)), 'load_from')


def test_a_start_may_have_another_number_of_classes_and_says_what_stays_at_random(monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.utils.state_dict.print_log', lambda message, **kwargs: said.append(message))
    check_start_fits(Detector(classes=1), Detector(classes=80).state_dict(), 'load_from: a.pth')
    assert said == [
        'load_from: a.pth: 2 tensors are for another number of classes and stay as they are: head.1.weight, head.1.bias'
    ]


def test_a_start_of_another_width_is_refused():
    message = (
        r"^load_from: a.pth: 7 of the 10 tensors .* first 'head.0.weight': \(4, 8, 1, 1\), expected \(4, 4, 1, 1\)"
    )
    with pytest.raises(CheckpointError, match=message):
        check_start_fits(Detector(), Detector(width=8).state_dict(), 'load_from: a.pth')


def test_a_start_of_which_nothing_fits_is_refused():
    with pytest.raises(CheckpointError, match=r"none of the 10 parameters .* whose first is 'conv.weight', expected"):
        check_start_fits(Detector(), small_model().state_dict(), 'load_from: a.pth')


# ---- what a model needs ----------------------------------------------------------------------------------------------


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
