"""The protocol of the reduced runs: what is compared, what is refused, what counts as a gain."""

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

import mmkd  # noqa: F401  makes _base_ = 'mmkd::...' resolve

PROJECT = Path(__file__).parents[2] / 'projects' / 'reduced_runs'


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PROJECT))
    yield
    for name in ('run', 'protocol', 'report', 'training'):
        sys.modules.pop(name, None)


def write_table(**changes):
    Path('plain.py').write_text('train_cfg = dict(max_iters=8)\ntrain_dataloader = dict(batch_size=4)\nlr = 1\n')
    Path('kd.py').write_text("_base_ = 'plain.py'\n")
    Path('page.md').write_text('before\n<!-- table tiny: begin -->\nold\n<!-- table tiny: end -->\nafter\n')
    content = dict(
        title='Tiny',
        page='page.md',
        metric='mIoU',
        seeds=[1, 2, 3],
        baseline='alone',
        arms=dict(alone=dict(config='plain.py'), kd=dict(label='+ KD', config='kd.py')),
    )
    Path('tiny.yml').write_text(yaml.safe_dump(content | changes))
    from protocol import Table

    return Table.read('tiny.yml')


def write_log(run, test, val=(40.0, 50.0, 50.5, 51.0), iterations=8):
    records = []
    for number, score in enumerate(val, 1):
        records += [dict(loss=1.0, step=2 * number), dict(mIoU=score, step=0)]
    lines = [{**run.header(), 'iterations': iterations, 'seconds': 9, 'cpu_seconds': 7}, *records]
    run.log.parent.mkdir(parents=True, exist_ok=True)
    run.log.write_text(''.join(f'{json.dumps(line)}\n' for line in [*lines, dict(mode='test', mIoU=test)]))


def write_scores(table, **scores):
    for arm, values in scores.items():
        for seed, value in zip(table.seeds_of(arm), values, strict=False):
            write_log(table.run(arm, seed), value)


def test_differences_are_paired_by_seed_and_have_students_interval():
    from report import paired_difference

    difference = paired_difference([52.0, 45.0, 49.0], [50.0, 44.0, 46.0])  # 2, 1, 3: mean 2, standard deviation 1
    assert difference.mean == 2.0
    assert difference.half == pytest.approx(4.302653 / np.sqrt(3))  # t of two degrees of freedom, from a table
    assert difference.verdict == 'not shown'
    assert paired_difference([52.0, 45.9, 48.0], [50.0, 44.0, 46.0]).verdict == 'gain'  # 2, 1.9, 2
    assert paired_difference([48.0, 42.1, 44.0], [50.0, 44.0, 46.0]).verdict == 'loss'
    assert paired_difference([99.0], [1.0]).verdict == 'not shown'  # of one seed nothing can be said


def test_the_page_gets_the_table_and_keeps_the_rest():
    from report import write_report

    table = write_table()
    write_scores(table, alone=[50.0, 44.0, 46.0], kd=[52.0, 45.9, 48.0])
    write_report(table)
    text = Path('page.md').read_text()
    assert text.startswith('before\n') and text.endswith('after\n') and 'old' not in text
    assert '| alone | 1, 2, 3 | 46.7 ± 3.1 | | | | 7 |' in text
    assert '| + KD | 1, 2, 3 | 48.6 ± 3.1 | +2.0 | +1.8 to +2.1 | **gain** | 7 |' in text
    assert Path('docs/results/pictures/tiny.png').is_file()


def test_a_schedule_that_still_gains_is_said():
    from report import table_of

    table = write_table()
    for seed in table.seeds:
        write_log(table.run('alone', seed), 50.0)
    assert 'gained +0.5 points on val: it is flat' in table_of(table)
    for seed in table.seeds:
        write_log(table.run('alone', seed), 50.0, val=(40, 45, 48, 51))
    assert 'gained +3.0 points on val: **it is not flat yet**' in table_of(table)


@pytest.mark.parametrize('option', ['train_cfg.max_iters', 'train_dataloader.batch_size'])
def test_arms_of_unequal_length_or_batch_are_refused_before_anything_runs(monkeypatch, option):
    import run

    monkeypatch.setattr(run, 'ROOT', Path.cwd())
    arms = dict(alone=dict(config='plain.py'), kd=dict(config='kd.py', options={option: 12}))
    write_table(arms=arms)
    monkeypatch.setattr(run, 'run_all', lambda *args: pytest.fail('something was run'))
    monkeypatch.setattr(sys, 'argv', ['run.py', 'tiny.yml'])
    with pytest.raises(
        SystemExit, match=r"unequal budgets: alone trains for \{'max_iters': 8, 'batch_size': 4\}, kd for .*12"
    ):
        run.main()


def test_logs_of_unequal_length_are_refused():
    from report import table_of

    table = write_table()
    write_scores(table, alone=[50.0])
    write_log(table.run('kd', 1), 60.0, iterations=9)
    with pytest.raises(SystemExit, match='unequal budgets in the logs'):
        table_of(table)


def test_what_is_finished_is_skipped_and_a_log_of_other_options_is_refused():
    from protocol import missing_runs

    table = write_table()
    write_scores(table, alone=[50.0, 44.0])
    assert [run.name for run in missing_runs(table, {})] == ['kd_seed1', 'kd_seed2', 'alone_seed3', 'kd_seed3']
    assert [run.name for run in missing_runs(table, {}, only=['kd'], seeds=[2])] == ['kd_seed2']
    changed = write_table(options=dict(lr=2))
    with pytest.raises(SystemExit, match=r"alone_seed1\.json: it is the log of .* the table now asks for .*'lr': 2"):
        missing_runs(changed, {})


def test_the_best_rate_on_val_goes_into_all_arms_and_a_weight_into_its_own():
    from protocol import best_options, search_runs

    table = write_table(
        search=dict(
            seed=7,
            lr=dict(arm='alone', option='lr', values=[1, 2, 4]),
            weight=dict(arm='kd', option='weight', values=[10, 20], into=['kd']),
        )
    )
    for run, score in zip(search_runs(table, 'lr'), [40.0, 48.0, 43.0], strict=True):
        assert run.seed == 7 and not run.test
        write_log(run, 99.0, val=(score,))
    for run, score in zip(search_runs(table, 'weight'), [50.0, 41.0], strict=True):
        assert run.options['lr'] == 2
        write_log(run, 99.0, val=(score,))
    assert best_options(table) == dict(alone=dict(lr=2), kd=dict(lr=2, weight=10))


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(baselin='alone'), r"unknown keys \['baselin'\]"),
        (dict(baseline='plain'), "baseline 'plain' is none of the arms"),
        (dict(arms=dict(alone=dict(confg='plain.py'))), r"arms.alone has the keys \['confg'\]"),
        (
            dict(arms=dict(alone=dict(config='a', seeds=[1]), kd=dict(config='b'))),
            r'kd has seeds \[2, 3\] that alone lacks',
        ),
    ],
)
def test_mistakes_in_a_table_are_named(changes, message):
    with pytest.raises(SystemExit, match=message):
        write_table(**changes)


def test_the_tables_of_the_project_are_sound_and_their_logs_are_theirs(monkeypatch):
    monkeypatch.chdir(PROJECT.parents[1])
    from protocol import Table, best_options, check_budgets, missing_runs

    for path in sorted((PROJECT / 'tables').glob('*.yml')):
        table = Table.read(path)
        check_budgets(table)
        missing_runs(table, best_options(table))  # raises where a log is of other options
        page = Path(table.page).read_text()
        assert f'<!-- table {table.name}: begin -->' in page and f'<!-- table {table.name}: end -->' in page


def test_every_arm_is_prepared_alike_so_that_all_see_the_same_images(monkeypatch):
    """A run of DenseDistill is prepared by mmkd.compat; that of a plain student would draw other crops."""
    import training

    done = []
    runner = types.SimpleNamespace(iter=8, train=lambda: done.append('train'), test=lambda: done.append('test') or {})
    monkeypatch.setattr(training.Runner, 'from_cfg', lambda cfg: runner)
    monkeypatch.setattr(training, 'prepare_runner', lambda given: done.append(given))
    monkeypatch.setattr(training, '_records', lambda work_dir: [])
    training._train_and_test(write_table().run('alone', 1))
    assert done == [runner, 'train', 'test']


TINY = """
default_scope = 'mmseg'
size = (32, 32)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', size=size, mean=[0.] * 3, std=[255.] * 3, seg_pad_val=255),
    backbone=dict(type='mmkd.ESPNet', depths=(1, 1)),
    decode_head=dict(type='mmkd.ESPNetCHead', num_classes=2, loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
data = dict(
    type='BaseSegDataset', data_root='data', data_prefix=dict(img_path='images', seg_map_path='labels'),
    metainfo=dict(classes=('left', 'right')), img_suffix='.png', reduce_zero_label=False,
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')])
loader = dict(batch_size=2, num_workers=0, dataset=data)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'), **loader)
val_dataloader = test_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=False), **loader)
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=1)
val_cfg, test_cfg = dict(type='ValLoop'), dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None)
log_processor = dict(by_epoch=False)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
"""


@pytest.mark.slow
def test_a_table_runs_from_nothing_and_again_runs_nothing(monkeypatch, capsys):
    import cv2
    import run

    monkeypatch.setattr(run, 'ROOT', Path.cwd())
    for folder in ('data/images', 'data/labels'):
        Path(folder).mkdir(parents=True)
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 255, (32, 32, 3), np.uint8)
        label = np.repeat([[0, 1]], 16, axis=1).repeat(32, axis=0).astype(np.uint8)
        cv2.imwrite(f'data/images/{number}.png', image)
        cv2.imwrite(f'data/labels/{number}.png', label)
    write_table(seeds=[1, 2], arms=dict(alone=dict(config='plain.py'), kd=dict(config='kd.py', options={'lr': 2})))
    Path('plain.py').write_text(TINY)
    content = yaml.safe_load(Path('tiny.yml').read_text())
    content['teacher'] = dict(config='plain.py', ckpt='teacher.pth')
    Path('tiny.yml').write_text(yaml.safe_dump(content))
    monkeypatch.setattr(sys, 'argv', ['run.py', 'tiny.yml'])
    run.main()
    logs = Path('docs/results/logs/tiny')
    assert sorted(path.stem for path in logs.glob('*')) == [
        'alone_seed1',
        'alone_seed2',
        'kd_seed1',
        'kd_seed2',
        'teacher',
    ]
    lines = [json.loads(line) for line in (logs / 'kd_seed2.json').read_text().splitlines()]
    assert lines[0]['seed'] == 2 and lines[0]['options'] == {'lr': 2} and lines[0]['iterations'] == 2
    assert 'mIoU' in lines[-1] and lines[-1]['mode'] == 'test'
    assert sum('loss' in line for line in lines) == 2
    scores = [json.loads((logs / f'{arm}_seed1.json').read_text().splitlines()[-1]) for arm in ('alone', 'kd')]
    assert scores[0]['mIoU'] == scores[1]['mIoU']  # one seed, one network, one order of the data
    assert '**gain**' not in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in logs.iterdir()}
    run.main()
    assert {path: path.stat().st_mtime_ns for path in logs.iterdir()} == before

    (logs / 'kd_seed1.json').unlink()
    Path('kd.py').write_text("_base_ = 'plain.py'\nmodel = dict(backbone=dict(depth=1))\n")
    with pytest.raises(SystemExit, match='^2$'):
        run.main()
    assert re.search(r'error: kd_seed1: .*depth.* \(.*output\.txt shows more\)\n', capsys.readouterr().err)
    assert not (logs / 'kd_seed1.json').exists()
