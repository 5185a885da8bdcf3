"""tools/train.py and tools/test.py on a plain detector."""

import pickle
import shutil

import pytest
import torch


def test_training_from_another_folder_fills_the_default_work_dir(trained):
    assert (trained / 'iter_2.pth').is_file()
    assert (trained / 'last_checkpoint').read_text().endswith('iter_2.pth')


def test_a_resumed_run_ends_where_the_uninterrupted_one_did(tool, tiny, trained, tmp_path):
    work_dir = tmp_path / 'resumed'
    work_dir.mkdir()
    shutil.copy(trained / 'iter_1.pth', work_dir)
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_1.pth'))

    done = tool('train', tiny, '--work-dir', work_dir, '--resume')

    assert done.code == 0, done.err
    assert 'Iter(train) [2/2]' in done.out and 'Iter(train) [1/2]' not in done.out
    resumed, straight = (torch.load(d / 'iter_2.pth', weights_only=False) for d in (work_dir, trained))
    assert resumed['state_dict'].keys() == straight['state_dict'].keys()
    for key, value in straight['state_dict'].items():
        # equal only if momentum, data order and schedule came back too
        torch.testing.assert_close(resumed['state_dict'][key], value, msg=key)


def test_resume_with_a_path_takes_that_file(tool, tiny, trained, tmp_path):
    done = tool(
        'train', tiny, '--work-dir', tmp_path / 'b', '--resume', trained / 'iter_2.pth',
        '--cfg-options', 'train_cfg.max_iters=3',
    )  # fmt: skip
    assert done.code == 0, done.err
    assert 'Iter(train) [3/3]' in done.out and 'Iter(train) [2/3]' not in done.out


def test_cfg_options_reach_the_run_and_its_config_dump(tool, tiny, tmp_path):
    options = ['optim_wrapper.optimizer.lr=0.0625', 'train_cfg.max_iters=1']
    done = tool('train', tiny, '--work-dir', tmp_path / 'c', '--cfg-options', *options)
    assert done.code == 0, done.err
    assert 'lr: 6.2500e-02' in done.out
    assert 'lr=0.0625' in (tmp_path / 'c/tiny_fcos.py').read_text()


def test_auto_scale_lr_scales_with_the_batch(tool, tiny, tmp_path):
    options = ['auto_scale_lr.base_batch_size=16', 'optim_wrapper.optimizer.lr=0.08', 'train_cfg.max_iters=1']
    done = tool('train', tiny, '--work-dir', tmp_path / 'd', '--auto-scale-lr', '--cfg-options', *options)
    assert done.code == 0, done.err
    assert 'lr: 1.0000e-02' in done.out  # batch 2 of 16: 0.08 / 8


def test_testing_writes_predictions_and_pictures(tool, tiny, trained, tmp_path):
    done = tool('test', tiny, trained / 'iter_2.pth', '--out', 'predictions/all.pkl', '--show-dir', tmp_path / 'drawn')
    assert done.code == 0, done.err
    assert 'coco/bbox_mAP:' in done.out
    predictions = pickle.loads((tmp_path / 'predictions/all.pkl').read_bytes())
    assert len(predictions) == 2 and len(predictions[0]['pred_instances']['bboxes']) == 10
    assert len(list((tmp_path / 'drawn').rglob('*.jpg'))) == 2


def test_tta_tests_the_flipped_image_too(tool, tiny, trained):
    done = tool('test', tiny, trained / 'iter_2.pth', '--tta')
    assert done.code == 0, done.err
    assert 'coco/bbox_mAP:' in done.out


def test_a_checkpoint_of_another_model_is_refused_by_key(tool, tiny, trained, tmp_path):
    options = ['model.bbox_head.feat_channels=16']
    done = tool('test', tiny, trained / 'iter_2.pth', '--work-dir', tmp_path / 'e', '--cfg-options', *options)
    assert done.code == 2
    assert 'iter_2.pth' in done.err and "'bbox_head.cls_convs.0.conv.weight'" in done.err
    assert 'Traceback' not in done.err
    assert not (tmp_path / 'e').exists()


def test_a_checkpoint_with_surplus_parameters_is_refused(tool, tiny, trained, tmp_path):
    """A deeper network of the same kind holds all that a shallower one needs; mmengine would load it in silence."""
    checkpoint = torch.load(trained / 'iter_2.pth', weights_only=False)
    checkpoint['state_dict']['backbone.layer4.2.conv1.weight'] = torch.zeros(1)
    torch.save(checkpoint, tmp_path / 'deeper.pth')
    done = tool('test', tiny, tmp_path / 'deeper.pth')
    assert done.code == 2
    assert "not in the model, first 'backbone.layer4.2.conv1.weight'" in done.err


@pytest.mark.parametrize(
    'args, message',
    [
        (['nowhere.py'], "config: 'nowhere.py' is not a file"),
        (['TINY', '--cfg-options', 'data_root=/nowhere'], "data_root: '/nowhere/' does not exist"),
        (['TINY', '--cfg-options', 'train_dataloader.dataset.ann_file=x.json'], 'train_dataloader.dataset.ann_file: '),
        (['TINY', '--cfg-options', 'model.bbox_head.num_classes=80'], 'model.bbox_head.num_classes=80, but train_'),
        (['TINY', '--cfg-options', 'modle.neck=1'], "no key 'modle'; did you mean 'model'?"),
        (['TINY', '--cfg-options', 'model.neck'], 'expected key=value'),
        (['TINY', '--cfg-options', 'model.neck.type=FNP'], "model.neck.type: FNP is not in the"),
        (['TINY', '--cfg-options', 'model.neck.num_out=3'], 'model.neck.num_out: '),
        (['TINY', '--resume', 'nowhere.pth'], "--resume: checkpoint 'nowhere.pth' is not a file"),
        (['TINY', '--cfg-options', 'load_from=nowhere.pth'], "load_from: checkpoint 'nowhere.pth' is not a file"),
        (['TINY', '--auto-scale-lr'], 'auto_scale_lr.base_batch_size is missing'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(tool, tiny, tmp_path, args, message):
    done = tool('train', *[tiny if arg == 'TINY' else arg for arg in args], '--work-dir', 'a/b')
    assert done.code == 2
    assert message in done.err
    assert 'Traceback' not in done.err
    assert list(tmp_path.iterdir()) == []


def test_starting_from_a_file_of_another_network_is_refused(tool, tiny, tmp_path):
    torch.save(dict(state_dict={'stem.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    done = tool('train', tiny, '--work-dir', 'run', '--cfg-options', 'load_from=other.pth')
    assert done.code == 2 and "first is 'stem.weight'" in done.err
    assert not (tmp_path / 'run').exists()


def test_resuming_from_weights_alone_is_refused(tool, tiny, trained, tmp_path):
    checkpoint = torch.load(trained / 'iter_2.pth', weights_only=False)
    torch.save(dict(state_dict=checkpoint['state_dict'], meta=checkpoint['meta']), tmp_path / 'weights.pth')
    done = tool('train', tiny, '--resume', 'weights.pth')
    assert done.code == 2 and 'weights.pth has weights only' in done.err


def test_resuming_another_model_is_refused_by_key(tool, tiny, trained):
    options = ['model.bbox_head.feat_channels=16']
    done = tool('train', tiny, '--resume', trained / 'iter_2.pth', '--cfg-options', *options)
    assert done.code == 2 and "'bbox_head.cls_convs.0.conv.weight'" in done.err


def test_float16_on_a_cpu_is_refused(tool, tiny, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    done = tool('train', tiny, '--amp-dtype', 'float16')
    assert done.code == 2 and '--amp-dtype: float16 needs an accelerator' in done.err


def test_amp_on_a_cpu_trains_in_bfloat16(tool, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    done = tool('train', tiny, '--amp', '--work-dir', tmp_path / 'half')
    assert done.code == 0, done.err
    weights = torch.load(tmp_path / 'half/iter_2.pth', weights_only=False)
    assert all(value.dtype == torch.float32 for value in weights['state_dict'].values() if value.is_floating_point())
    assert 'mmkd.AutocastOptimWrapper' in next((tmp_path / 'half').glob('*.py')).read_text()


@pytest.mark.parametrize(
    'args, message',
    [
        (['nowhere.pth'], "checkpoint: 'nowhere.pth' is not a file"),
        (['CHECKPOINT', '--out', 'predictions.json'], 'a name ending in .pkl was expected'),
        (['CHECKPOINT', '--cfg-options', 'data_root=/nowhere'], 'data_root: '),
    ],
)
def test_a_mistake_in_testing_is_one_line(tool, tiny, trained, args, message):
    done = tool('test', tiny, *[trained / 'iter_2.pth' if arg == 'CHECKPOINT' else arg for arg in args])
    assert done.code == 2
    assert message in done.err and 'Traceback' not in done.err
