"""The tools on a student with a teacher: checkpoints, testing, resuming, mistakes, several processes."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
KD = str(ROOT / 'tests/tools/tiny_fcos_kd.py')


@pytest.fixture(scope='session')
def distilled(tmp_path_factory, trained, server):
    """The work dir of two iterations of distillation, by the real command."""
    cwd = tmp_path_factory.mktemp('distilled')
    teacher = dict(TEACHER_FILE=str(trained / 'iter_2.pth'))
    done = server.run([ROOT / 'tools/train.py', KD, '--work-dir', 'run'], cwd, teacher)
    assert done.code == 0, done.output[-3000:]
    return cwd / 'run'


@pytest.fixture
def teacher(trained, monkeypatch):
    monkeypatch.setenv('TEACHER_FILE', str(trained / 'iter_2.pth'))


def test_full_and_student_checkpoints_give_the_same_predictions_with_either_config(tool, tiny, distilled, tmp_path):
    """No teacher file is there: the config's default, teacher.pth, does not exist."""
    predictions = []
    for name, config, checkpoint in [('a', KD, 'iter_2'), ('b', tiny, 'iter_2'), ('c', KD, 'iter_2_student')]:
        out = tmp_path / f'{name}.pkl'
        done = tool('test', config, distilled / f'{checkpoint}.pth', '--out', out)
        assert done.code == 0, done.err
        assert 'coco/bbox_mAP:' in done.out
        predictions.append([image['pred_instances']['scores'] for image in pickle.loads(out.read_bytes())])
    assert len(predictions[0]) == 2 and all(len(scores) == 10 for scores in predictions[0])
    for other in predictions[1:]:
        assert all(torch.equal(x, y) for x, y in zip(predictions[0], other, strict=True))


def test_the_student_file_loads_strictly_into_the_plain_student(distilled, tiny):
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    student = torch.load(distilled / 'iter_2_student.pth', weights_only=False)['state_dict']
    full = torch.load(distilled / 'iter_2.pth', weights_only=False)['state_dict']
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tiny).model)
    model.load_state_dict(student, strict=True)
    for key, value in student.items():
        assert torch.equal(value, full[f'architecture.{key}']), key


def test_a_resumed_distillation_ends_where_the_uninterrupted_one_did(tool, distilled, teacher, tmp_path):
    work_dir = tmp_path / 'resumed'
    done = tool('train', KD, '--work-dir', work_dir, '--resume', distilled / 'iter_1.pth')
    assert done.code == 0, done.err
    resumed, straight = (torch.load(d / 'iter_2.pth', weights_only=False) for d in (work_dir, distilled))
    assert resumed['meta']['iter'] == straight['meta']['iter'] == 2
    for key, value in straight['state_dict'].items():
        torch.testing.assert_close(resumed['state_dict'][key], value, msg=key)
    assert (work_dir / 'iter_2_student.pth').is_file()


@pytest.mark.parametrize(
    'options, message',
    [
        (['model.teacher.ckpt=nowhere.pth'], "model.teacher.ckpt: checkpoint 'nowhere.pth' is not a file"),
        (['model.teacher.bbox_head.feat_channels=16'], "'bbox_head.cls_convs.0.conv.weight'"),
        (['model.distill.cls.taps=bbox_head.conv_class'], 'bbox_head.conv_class'),
        (['model.distill.fpn.levels=(0,7)'], 'distill.fpn'),
        (['model.distill.cls.loss.temprature=2'], 'temprature'),
        (['model.distill.cls.weight=2'], "distill.cls: the keys are taps"),
        (['model.student.bbox_head.num_classes=3'], 'model.student.bbox_head.num_classes=3, but train_dataloader'),
    ],
)  # fmt: skip
def test_a_mistake_about_the_teacher_or_the_losses_is_one_line_before_training(
    tool, teacher, options, message, tmp_path
):
    done = tool('train', KD, '--work-dir', 'run', '--cfg-options', *options)
    assert done.code == 2
    assert message in done.err
    assert 'Traceback' not in done.err and 'Iter(train)' not in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_of_another_number_of_classes_is_refused(tool, tiny, teacher, trained, tmp_path, monkeypatch):
    checkpoint = torch.load(trained / 'iter_2.pth', weights_only=False)
    for key in ('weight', 'bias'):
        one = checkpoint['state_dict'][f'bbox_head.conv_cls.{key}']
        checkpoint['state_dict'][f'bbox_head.conv_cls.{key}'] = torch.cat([one] * 3)
    (tmp_path / 'files').mkdir()
    torch.save(checkpoint, tmp_path / 'files/three.pth')
    monkeypatch.setenv('TEACHER_FILE', str(tmp_path / 'files/three.pth'))
    done = tool('train', KD, '--cfg-options', 'model.teacher.bbox_head.num_classes=3')
    assert done.code == 2
    assert 'distill.cls' in done.err and 'Traceback' not in done.err


# ---- several processes -----------------------------------------------------------------------------------------------

CHECK_RANKS = """
from pathlib import Path
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmkd.registry import HOOKS

@HOOKS.register_module()
class SaveEachRank(Hook):
    def after_train(self, runner):
        torch.save(runner.model.module.state_dict(), Path(runner.work_dir, f'rank{get_rank()}.pt'))
"""


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


@pytest.mark.slow
def test_two_processes_train_equal_parameters_and_test_as_one_does(trained, tmp_path, server):
    (tmp_path / 'rank_saver.py').write_text(CHECK_RANKS)
    (tmp_path / 'two.py').write_text(
        f"_base_ = '{KD}'\n"
        "custom_imports = dict(imports=['rank_saver'])\n"
        "custom_hooks = [dict(type='mmkd.StudentCheckpointHook'), dict(type='SaveEachRank')]\n"
        'train_cfg = dict(max_iters=3)\n'
    )
    environment = {
        **os.environ,
        'PORT': free_port(),
        'PYTHON': sys.executable,
        'PYTHONPATH': str(tmp_path),
        'TEACHER_FILE': str(trained / 'iter_2.pth'),
        'OMP_NUM_THREADS': '1',
    }

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    run(str(ROOT / 'tools/dist_train.sh'), 'two.py', '2', '--work-dir', 'run')
    first, second = (torch.load(tmp_path / f'run/rank{rank}.pt') for rank in (0, 1))
    start = torch.load(trained / 'iter_1.pth', weights_only=False)['state_dict']
    assert first.keys() == second.keys()
    for key, value in first.items():
        if 'running_' not in key and 'num_batches' not in key:  # plain batch norm counts its own half of the batch
            assert torch.equal(value, second[key]), key
    assert any(not torch.equal(first[f'architecture.{key}'], value) for key, value in start.items())

    environment['PORT'] = free_port()
    run(str(ROOT / 'tools/dist_test.sh'), 'two.py', 'run/iter_3_student.pth', '2', '--out', 'two.pkl')
    # without what the run's own hook, of a file beside it, would need
    done = server.run([ROOT / 'tools/test.py', KD, 'run/iter_3.pth', '--out', 'one.pkl'], tmp_path)
    assert done.code == 0, done.output[-3000:]
    two, one = (pickle.loads((tmp_path / name).read_bytes()) for name in ('two.pkl', 'one.pkl'))
    assert [image['img_id'] for image in two] == [image['img_id'] for image in one]
    for x, y in zip(two, one, strict=True):
        torch.testing.assert_close(x['pred_instances']['scores'], y['pred_instances']['scores'])


@pytest.mark.parametrize('script, args', [('dist_train.sh', ['c.py']), ('dist_test.sh', ['c.py', 'x.pth', 'many'])])
def test_launchers_say_how_they_are_used(script, args):
    done = subprocess.run([str(ROOT / 'tools' / script), *args], capture_output=True, text=True)
    assert done.returncode == 2 and 'usage:' in done.stderr


@pytest.mark.parametrize('script, tool_args', [('slurm_train.sh', ['c.py', 'w']), ('slurm_test.sh', ['c.py', 'x.pth'])])
def test_slurm_launchers_hand_their_arguments_to_srun(script, tool_args, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '4', 'SRUN_ARGS': '--a --b'}
    command = [str(ROOT / 'tools' / script), 'part', 'job', *tool_args, '--cfg-options', 'a="[1, 2]"']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[:2] == ['-p', 'part'] and '--ntasks=4' in words and '--ntasks-per-node=4' in words
    assert '--a' in words and '--b' in words
    assert words[-2:] == ['--cfg-options', 'a="[1, 2]"'] and '--launcher=slurm' in words
    assert Path(next(word for word in words if word.endswith('.py') and 'tools' in word)).is_file()
