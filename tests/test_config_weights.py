"""Every weight of a loss that a shipped config has, pinned to where it comes from."""

from collections.abc import Iterator
from fnmatch import fnmatch

import pytest
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.utils.model_config import resolve_network

CENTERMASK_KD = 'CenterMask_KD: all weights are 1'
DEMO = 'searched on nuclei, docs/results/nuclei_demo.md'
MEANS = 'one of our means: nobody has published a weight'
NUCLEI = 'as the run of docs/results/centermask_kd_dsb2018.md'
PAPER = 'Liu et al. 2019, the paper: 10 for PI and PA'
PSPNET = 'structured KD, run script: 10 on a loss not divided by its 8 images; 0.5'
REDUCED = 'as the run of its page in docs/results'
SIX_TIMES = 'the full recipe times 6, whose cross-entropy has 1/6'

# Of distillation: config, what is weighted, its weight, the source. Each weight has exactly one row.
ROWS = [
    # ---- distillation, by term
    ('*/centermask_v19_from_v99.py', 'distill.cls.loss.loss_weight', 1.0, MEANS),
    ('*/centermask_v19_from_v99.py', 'distill.fpn.loss.loss_weight', 1.0, MEANS),
    ('*/centermask_v19_from_v39_nuclei.py', 'distill.*.loss.loss_weight', 1.0, MEANS),
    ('*/centermask_kd/*', 'distill.cls.loss.loss_weight', 1.0, CENTERMASK_KD),
    ('*/centermask_kd/*', 'distill.bounded.loss.loss_weight', 0.5, 'CenterMask_KD: 1.5 times the own loss in all'),
    ('*/centermask_kd/*', 'distill.correlation.loss.loss_weight', 0.2, 'CenterMask_KD: the sum divided by 5'),
    ('*/centermask_kd/*', 'distill.mse.loss.loss_weight', 1.0, 'CenterMask_KD: the sum of 5 divided by 5'),
    ('*/centermask_kd/*', 'distill.mask.loss.loss_weight', 1.0, 'as all terms of CenterMask_KD'),
    ('*/structured_kd/pspnet-r101_pspnet-*', 'distill.pi.loss.loss_weight', 80.0, PSPNET),
    ('*/structured_kd/pspnet-r101_pspnet-*', 'distill.pa.loss.loss_weight', 0.5, PSPNET),
    ('*/structured_kd/pspnet-r101_espnet*', 'distill.*.loss.loss_weight', 10.0, PAPER),
    ('*/structured_kd/*-ho.py', 'holistic.loss_weight', 0.1, 'structured KD: lambda_d'),
    ('*/structured_kd/*-ho.py', 'holistic.gradient_penalty', 10.0, 'structured KD: lambda_gp'),
    ('*/structured_kd/fcos-*', 'distill.pi.loss.loss_weight', 1.0, 'the authors, of how PI and PA begin'),
    ('*/structured_kd/fcos-*', 'distill.pa.loss.loss_weight', 10.0, PAPER),
    ('*/structured_kd/vnl-*', 'distill.pa.loss.loss_weight', 10.0, PAPER),
    ('*/deeplabv3plus_kd/*_p?*.py', 'distill.pi.loss.loss_weight', 100.0, 'DeepLabV3+-KD, published command'),
    ('*/deeplabv3plus_kd/*_p?*.py', 'distill.pa.loss.loss_weight', 1.0, 'DeepLabV3+-KD, published command'),
    *(
        (
            '*/deeplabv3plus_kd/*_overhaul.py',
            f'distill.{name}.loss.loss_weight',
            1e-5 / divider,
            'DeepLabV3+-KD: 1e-5, dividers 8, 4, 2, 1, 1, 16',
        )
        for name, divider in dict(stage1=8, stage2=4, stage3=2, stage4=1, encoder=1, decoder=16).items()
    ),
    ('*/kd/point_centermask/*', 'distill.*.loss.loss_weight', 1.0, MEANS),
    ('*/features/*_cwd.py', 'distill.cwd.loss.loss_weight', 3.0, 'Shu et al. 2021, logits'),
    ('*/features/*_cwd.py', 'distill.cwd.loss.temperature', 4.0, 'Shu et al. 2021'),
    ('*/features/*_dist.py', 'distill.dist.loss.*weight', 1.0, MEANS),
    ('*/features/*_logit-std.py', 'distill.pi.loss.loss_weight', 9.0, 'Sun et al. 2024, classification'),
    ('*/features/*_logit-std.py', 'distill.pi.loss.temperature', 2.0, 'Sun et al. 2024, classification'),
    ('*/features/pspnet-*_mgd.py', 'distill.mgd.loss.loss_weight', 28.0, 'released 2e-5 times 512 x 45 x 60'),
    ('*/features/centermask-*_mgd.py', 'distill.mgd.loss.loss_weight', 12.0, 'released 2e-5 times 256 x 38 x 63'),
    ('*/features/*_pkd.py', 'distill.pkd.loss.loss_weight', 6.0, "mmrazor's PKD, two-stage"),
    ('*/features/*_fgd.py', 'distill.fgd.loss.fg_weight', 0.25, 'released 1e-3, times 256'),
    ('*/features/*_fgd.py', 'distill.fgd.loss.bg_weight', 0.125, 'released 5e-4, times 256'),
    ('*/features/*_fgd.py', 'distill.fgd.loss.attention_weight', 0.25, 'released 1e-3, times 256'),
    ('*/features/*_fgd.py', 'distill.fgd.loss.global_weight', 1.0, 'released 5e-6, times 256 x 28 x 28'),
    ('*/features/*_fgd.py', 'distill.fgd.loss.loss_weight', 1.0, 'its parts are weighted'),
    (
        '*/features/*_ld.py',
        'distill.ld.loss.loss_weight',
        0.25,
        'Zheng et al. 2022: as GFL itself',
    ),
    ('*/features/*_ld.py', 'distill.ld.loss.temperature', 10.0, 'Zheng et al. 2022'),
    ('*/features/*_ld.py', 'distill.cls.loss.loss_weight', 1.0, MEANS),
    # ---- the runs of docs/results
    ('projects/*_nuclei_pkd.py', 'distill.pkd.loss.loss_weight', 3.0, DEMO),
    ('projects/*/nuclei_*.py', 'distill.cls.loss.loss_weight', 10.0, NUCLEI),
    ('projects/*/nuclei_pi-pa.py', 'distill.fpn.loss.loss_weight', 1.0, NUCLEI),
    ('projects/*/nuclei_mgd.py', 'distill.mgd.loss.loss_weight', 2.6, 'released 2e-5 times 128 x 32 x 32'),
    ('projects/*/nuclei_all.py', 'distill.bounded.loss.loss_weight', 0.5, CENTERMASK_KD),
    ('projects/*/nuclei_all.py', 'distill.correlation.loss.loss_weight', 0.25, 'the sum divided by the 4 features'),
    ('projects/*/nuclei_all.py', 'distill.m*.loss.loss_weight', 1.0, CENTERMASK_KD),
    ('projects/*/camvid_lite0*', 'distill.logits.loss.loss_weight', 2.0, REDUCED),
    ('projects/*/camvid_lite0*', 'distill.pkd.loss.loss_weight', 3.0, REDUCED),
    ('projects/*/camvid_espnet_*', 'distill.*.loss.loss_weight', 10.0, PAPER),
    ('projects/*/camvid_espnet_*', 'holistic.loss_weight', 0.1, 'structured KD: lambda_d'),
    ('projects/*/camvid_espnet_*', 'holistic.gradient_penalty', 10.0, 'structured KD: lambda_gp'),
    ('projects/*/sevenscenes_*', 'distill.pa.loss.loss_weight', 10.0, PAPER),
    ('projects/*/sevenscenes_*', 'holistic.loss_weight', 0.1, 'structured KD: lambda_d'),
    ('projects/*/sevenscenes_*', 'holistic.gradient_penalty', 10.0, 'structured KD: lambda_gp'),
    ('projects/*/voc_boxes_*', 'distill.pa.loss.loss_weight', 10.0, PAPER),
    ('projects/*/voc_boxes_*', 'distill.pi.loss.loss_weight', 1.0, 'the authors, of how PI and PA begin'),
    ('projects/*/voc2012_c16_pi-pa.py', 'distill.pi.loss.loss_weight', 600.0, SIX_TIMES),
    ('projects/*/voc2012_c16_pi-pa.py', 'distill.pa.loss.loss_weight', 6.0, SIX_TIMES),
    ('projects/*/voc2012_c16_pixel.py', 'distill.pixel.loss.loss_weight', 1.0, REDUCED),
    ('projects/*/voc2012_c16_cwd.py', 'distill.cwd.loss.loss_weight', 3.0, 'Shu et al. 2021, logits'),
    ('projects/*/voc2012_c16_cwd.py', 'distill.cwd.loss.temperature', 4.0, 'Shu et al. 2021'),
    ('projects/*/voc2012_c16_dist.py', 'distill.dist.loss.*weight', 1.0, MEANS),
    ('projects/*/voc2012_c16_mgd.py', 'distill.mgd.loss.loss_weight', 0.1, 'released 2e-5 times 64 x 9 x 9'),
    ('projects/*/voc2012_c16_overhaul.py', 'distill.*.loss.loss_weight', 0.5, REDUCED),
]
# The networks' own losses, alone or as students, by the type of the decode head or of the detector.
OWN = {
    'PSPHead': {'auxiliary_head.*': (0.4, 'structured KD'), 'decode_head.*': (1.0, 'structured KD')},
    'mmkd.ESPNetHead': {'decode_head.*': (1.0, 'structured KD')},
    'mmkd.ESPNetCHead': {'decode_head.*': (1.0, 'structured KD')},
    'mmkd.DeepLabV3PlusHead': {'decode_head.*': (1 / 6, 'DeepLabV3+-KD: divided by the batch of 6 once more')},
    'mmkd.LateralPyramidHead': {
        'decode_head.loss_decode.*': (1.0, 'Yin et al. 2019'),
        'decode_head.loss_normal.*': (5.0, 'Yin et al. 2019, released code'),
    },
    'mmkd.PointCenterMask': {
        'bbox_head.loss_size.*': (0.1, 'Wang et al. 2020'),
        'bbox_head.loss_[!s]*': (1.0, 'Wang et al. 2020'),
    },
    'mmkd.CenterMask': {
        'bbox_head.*': (1.0, 'FCOS'),
        'roi_head.mask_head.*': (1.0, 'centermask2'),
        'roi_head.mask_iou_head.*': (0.5, 'centermask2'),
    },
    'FCOS': {'bbox_head.*': (1.0, 'FCOS')},
    'GFL': {
        'bbox_head.loss_cls.*': (1.0, 'Li et al. 2020'),
        'bbox_head.loss_bbox.*': (2.0, 'Li et al. 2020'),
        'bbox_head.loss_dfl.*': (0.25, 'Li et al. 2020'),
    },
    'MaskRCNN': {'r*_head.*': (1.0, "mmdet's Mask R-CNN")},
}
# what a config has otherwise
OTHERWISE = [('projects/*/voc2012_c*', 'decode_head.*', 1.0, 'as the run of docs/results/deeplabv3plus_kd_voc2012.md')]


def weights(node, key: str = '') -> Iterator[tuple[str, float]]:
    """What weighs a loss: weights, the temperature of a divergence, the factor of the gradient penalty."""
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        path = f'{key}.{name}'.lstrip('.')
        is_weight = str(name).endswith('weight') and name != 'pos_weight'  # of an assigner: -1, none
        if isinstance(value, (int, float)) and (is_weight or name in ('temperature', 'gradient_penalty')):
            yield path, value
        else:
            yield from weights(value, path)


def rows_of(name: str, key: str, student: dict) -> list[tuple]:
    """The rows that speak of a weight."""
    rows = [row for row in OTHERWISE if fnmatch(name, row[0]) and fnmatch(key, row[1])]
    if rows or key.startswith(('distill.', 'holistic.')):
        return rows or [row for row in ROWS if fnmatch(name, row[0]) and fnmatch(key, row[1])]
    kind = student.get('decode_head', student)['type']
    return [(kind, part, *row) for part, row in OWN.get(kind, {}).items() if fnmatch(key, part)]


@pytest.fixture(scope='module')
def found():
    """Of each weight of each config: config, key, weight, rows."""
    weighted = []
    for name in shipped_configs():
        model = Config.fromfile(ROOT / name).model
        student = model.get('student', model)
        if 'cfg_path' in student:
            student = resolve_network(student, 'student')
        parts = dict(distill=model.get('distill'), holistic=model.get('holistic'))
        for key, value in [*weights(student), *weights(parts)]:
            weighted.append((name, key, value, rows_of(name, key, student)))
    return weighted


def test_every_weight_is_that_of_its_source(found):
    wrong = [
        f'{name}: {key} is {value}, expected: {rows or "a row in this file"}'
        for name, key, value, rows in found
        if len(rows) != 1 or value != pytest.approx(rows[0][2])
    ]
    assert not wrong, '\n'.join(wrong)
    assert len(found) > 300


def test_no_row_is_left_over(found):
    used = {row for *_, rows in found for row in rows}
    assert [row for row in [*ROWS, *OTHERWISE] if row not in used] == []
    own = {(kind, part) for kind, parts in OWN.items() for part in parts}
    assert own - {row[:2] for row in used} == set()


@pytest.mark.parametrize('name', shipped_configs())
def test_every_distillation_loss_says_its_weight(name):
    distill = Config.fromfile(ROOT / name).model.get('distill', {})
    assert [term for term, entry in distill.items() if 'loss_weight' not in entry.loss] == []
