"""Times one step of distillation: mmrazor's, a hand-written loop's, mmkd's with each lever alone and all, cached.

All sides have the same networks, weights, images and losses; the student alone is the floor. Each side is run once to
begin with and its losses are compared: to 1e-5 where the teacher computes in float32, else to 5 %. Then the sides take
turns. Weights are random, which does not matter for the time.

Example:
    python tools/benchmark/kd_step.py pspnet --threads 1 --repeats 5 --json kd_step_pspnet.json
"""

import json
import logging
import statistics
import tempfile
import time

import torch
from timing import machine, parser_of

import mmkd.engine  # noqa: F401
import mmkd.models  # noqa: F401
from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.taps.dummy_batch import dummy_batch
from mmkd.distillation.teacher.network import build_network
from mmkd.utils.model_config import resolve_network

CASES = dict(
    pspnet=dict(
        student=dict(cfg_path='mmkd::pspnet/pspnet_r18_40k_camvid-480x360.py'),
        teacher=dict(cfg_path='mmkd::pspnet/pspnet_r101_40k_camvid-480x360.py'),
        tap='decode_head.conv_seg',
        loss=dict(type='mmkd.PixelWiseLoss', activation='softmax'),
        levels=None,
        size=(128, 160),
        batch=2,
    ),
    centermask=dict(
        student=dict(cfg_path='mmkd::centermask/centermask-lite_v19_fpn_ms-4x_coco.py'),
        teacher=dict(cfg_path='mmkd::centermask/centermask_v39_fpn_ms-3x_coco.py'),
        tap='neck',
        loss=dict(type='mmkd.PKDLoss'),
        levels=3,
        channels=(128, 256),
        size=(192, 256),
        batch=1,
    ),
)
LEVERS = {
    'mmkd, no lever': dict(dtype='float32', mode='loss', early_exit=False),
    'mmkd, no teacher loss': dict(dtype='float32', early_exit=False),
    'mmkd, all exact levers': dict(dtype='float32'),
    'mmkd, channels-last alone': dict(dtype='float32', mode='loss', early_exit=False, channels_last=True),
    'mmkd, bfloat16 alone': dict(dtype='bfloat16', mode='loss', early_exit=False, channels_last=False),
    'mmkd, default': dict(dtype='auto'),
    'mmkd, cached': dict(dtype='auto', cache=True),
}
APPROXIMATE = ('mmkd, bfloat16 alone', 'mmkd, default', 'mmkd, cached')


def parse_args():
    parser = parser_of(__doc__)
    parser.add_argument('case', choices=CASES)
    parser.add_argument('--json', help='write all times there')
    return parser.parse_args()


def distiller_of(case):
    """The losses in mmrazor's vocabulary, which both take."""
    recorders = dict(maps=dict(type='ModuleOutputs', source=case['tap']))
    indices = [None] if case['levels'] is None else range(case['levels'])
    connectors = {}
    if 'channels' in case:
        ours, theirs = case['channels']
        connector = dict(
            type='mmrazor.ConvModuleConnector', in_channel=ours, out_channel=theirs, norm_cfg=None, act_cfg=None
        )
        connectors = {f'connector{i}': connector for i in indices}
    mappings = {}
    for i in indices:
        ours = dict(from_student=True, recorder='maps', **({} if i is None else dict(data_idx=i)))
        if connectors:
            ours['connector'] = f'connector{i}'
        theirs = dict(from_student=False, recorder='maps', **({} if i is None else dict(data_idx=i)))
        mappings[f'loss_{i or 0}'] = dict(preds_S=ours, preds_T=theirs)
    return dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=recorders,
        teacher_recorders=recorders,
        distill_losses=dict.fromkeys(mappings, case['loss']),
        connectors=connectors,
        loss_forward_mappings=mappings,
    )


def network_of(config, key):
    """A network without what is random in a step, so that losses can be compared; no weights are read."""
    config = resolve_network(config, key)
    for head in ('decode_head', 'auxiliary_head'):
        if config.get(head):
            config[head]['dropout_ratio'] = 0.0
    config.backbone.pop('init_cfg', None)
    config.pop('init_cfg', None)
    return build_network(config)


def by_hand(student, teacher, distiller, tap):
    """What one writes without a library: two hooks and a sum."""

    def losses_of(images, samples):
        seen = {}
        hooks = [
            net.get_submodule(tap).register_forward_hook(lambda _, args, out, side=side: seen.setdefault(side, out))
            for side, net in (('student', student), ('teacher', teacher))
        ]
        with torch.no_grad():
            teacher(images, samples, mode='tensor')
        losses = {f'student.{k}': v for k, v in student(images, samples, mode='loss').items()}
        for name, mapping in distiller.loss_forward_mappings.items():
            index, connector = mapping['preds_S'].get('data_idx'), mapping['preds_S'].get('connector')
            ours, theirs = (seen[side] if index is None else seen[side][index] for side in ('student', 'teacher'))
            ours = distiller.connectors[connector](ours) if connector else ours
            losses[f'distill.{name}'] = distiller.distill_losses[name](preds_S=ours, preds_T=theirs)
        for hook in hooks:
            hook.remove()
        return losses

    return losses_of


def sides_of(case_name, folder):
    from mmrazor.models.algorithms import SingleTeacherDistill

    case = CASES[case_name]
    torch.manual_seed(0)
    student, teacher = network_of(case['student'], 'student'), network_of(case['teacher'], 'teacher')
    student.init_weights()
    teachers_weights, students_weights = teacher.state_dict(), student.state_dict()

    def pair():
        networks = [network_of(case[side], side) for side in ('student', 'teacher')]
        networks[0].load_state_dict(students_weights), networks[1].load_state_dict(teachers_weights)
        return networks

    razor = SingleTeacherDistill(distiller_of(case), teacher, architecture=student)
    state = razor.state_dict()
    ours, theirs = pair()
    parts = SingleTeacherDistill(distiller_of(case), theirs, architecture=ours)
    parts.load_state_dict(state)
    alone = pair()[0].train()
    sides = {
        'student alone': (alone, lambda *batch: alone(*batch, mode='loss')),
        'mmrazor': (razor, razor.loss),
        'a loop by hand': (parts, by_hand(ours, theirs, parts.distiller, case['tap'])),
    }
    for name, options in LEVERS.items():
        options = dict(options)
        if options.pop('cache', None):
            options['cache'] = dict(dir=folder, dtype='float16')
        config = resolve_network(case['teacher'], 'teacher')
        own = pair()
        # as a config, so that its weights may be cast
        algorithm = DenseDistill(
            own[0],
            dict(config, allow_random=True, **options),
            distiller=distiller_of(case),
            dry_run=dict(size=case['size']),
        )
        algorithm.teacher.build().load_state_dict(teachers_weights)
        algorithm.load_state_dict(state, strict=False)
        algorithm.distiller.load_state_dict(razor.distiller.state_dict())
        algorithm.prepare()
        sides[name] = (algorithm.train(), algorithm.loss)
    parts.train(), razor.train()
    return sides


def total_of(losses, prefix=''):
    values = [v for k, v in losses.items() if 'loss' in k and k.startswith(prefix)]
    return sum(sum(value) if isinstance(value, list) else value for value in values)


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    case = CASES[args.case]
    image, samples = dummy_batch(case['size'], torch.device('cpu'))
    images = image.repeat(case['batch'], 1, 1, 1) + 0.1 * torch.randn(case['batch'], 1, 1, 1)
    batch = images, samples * case['batch']
    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(args.case, folder)
        times, first = {name: [] for name in sides}, {}
        optimizers = {name: torch.optim.SGD(m.parameters(), 1e-8) for name, (m, _) in sides.items()}
        for turn in range(args.repeats + 1):
            for name, (_, loss_of) in sides.items():
                start = time.process_time()
                losses = loss_of(*batch)
                total = total_of(losses)
                optimizers[name].zero_grad()
                total.backward()
                optimizers[name].step()
                seconds = time.process_time() - start
                if turn:
                    times[name].append(seconds)
                else:
                    first[name] = float(total_of(losses, 'distill')) if name != 'student alone' else None
    for name, value in first.items():
        if value is not None:
            tolerance = 0.05 if name in APPROXIMATE else 1e-5
            assert abs(value / first['mmrazor'] - 1) < tolerance, (name, value, first['mmrazor'])
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f'{machine(args)}, {case["batch"]} x {case["size"][0]} x {case["size"][1]}, medians of {args.repeats}\n')
    print('| | step (s) | spread (s) | / student | / mmrazor | distillation losses |')
    print('| --- | ---: | ---: | ---: | ---: | ---: |')
    for name, median in medians.items():
        value = '' if first[name] is None else f'{first[name]:.5f}'
        print(
            f'| {name} | {median:.3f} | {min(times[name]):.3f} to {max(times[name]):.3f} | '
            f'{median / medians["student alone"]:.2f} | {median / medians["mmrazor"]:.2f} | {value} |'
        )
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(dict(case=args.case, threads=args.threads, seconds=times, losses=first), file, indent=1)


if __name__ == '__main__':
    main()
