"""Both networks are looked at as they run in training, on a batch with a made-up ground truth, and without a trace."""

import copy

import pytest
import torch
from helpers.distillation_toys import ToyDetector, batch, toy, two_losses
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.teacher.isolation import as_in_training
from mmkd.registry import MODELS
from mmkd.utils.model_config import resolve_network

MSE = dict(type='FeatureMSELoss', align='student')


@MODELS.register_module()
class MoreInTraining(ToyDetector):
    """Its backbone gives two maps in training and one in testing, as that of DDRNet; of other widths."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = TwoInTraining(kwargs.get('channels', 4))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.stem(self.backbone(inputs))
        return super().forward(inputs, data_samples, mode)


class TwoInTraining(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(channels, 7, 1), nn.Conv2d(channels, 5, 1)
        self.register_buffer('seen', torch.zeros(1))

    def forward(self, x):
        if self.training:
            self.seen += 1
            return self.narrow(x), self.wide(x)
        return self.wide(x)


@MODELS.register_module()
class AsksForBoxes(ToyDetector):
    """Looks at the ground truth whatever it is asked for, as the heads of Sparse R-CNN do."""

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.boxes = [sample.gt_instances.bboxes for sample in data_samples]
        return super().forward(inputs, data_samples, mode)


def build(distill, **options):
    torch.manual_seed(0)
    networks = dict(student=toy(dropout=0.0), teacher=dict(toy(channels=8), allow_random=True))
    return DenseDistill(**{**networks, 'distill': distill, 'dry_run': dict(size=(32, 32)), **options})


def test_the_student_is_measured_in_training_mode_and_the_teacher_in_eval_mode():
    levels = dict(student=(0,), teacher=(0,))
    entry = dict(taps='stem', levels=levels, connector='conv1x1', loss=MSE)
    networks = dict(
        student=dict(type='mmkd.MoreInTraining'),
        teacher=dict(type='mmkd.MoreInTraining', channels=8, allow_random=True),
    )
    algorithm = build(dict(x=entry), **networks)
    (connector,) = algorithm.distiller.connectors['x'].levels
    assert (connector.conv.in_channels, connector.conv.out_channels) == (5, 7)
    assert algorithm.train()(batch(), mode='loss')['distill.loss_x'] > 0
    with pytest.raises(ValueError, match='distill.x: .*in training the student gives 2, the teacher 1'):
        build(dict(x=dict(entry, levels=None)), **networks).prepare()


def test_looking_at_the_student_leaves_no_trace():
    algorithm = build(two_losses(), student=dict(type='mmkd.MoreInTraining'))
    alone = MODELS.build(dict(type='mmkd.MoreInTraining'))
    alone.load_state_dict(algorithm.student.state_dict())
    algorithm.train()
    algorithm.student.backbone.bn.eval()  # frozen, say
    algorithm.prepare()
    assert not algorithm.student.backbone.bn.training and algorithm.student.stem.training
    assert algorithm.student.stem.seen == 0 and not algorithm.student.backbone.bn.running_mean.any()
    assert all(parameter.grad is None for parameter in algorithm.parameters())
    for name, value in alone.state_dict().items():
        assert torch.equal(algorithm.student.state_dict()[name], value), name


def test_a_network_that_asks_for_the_ground_truth_gets_one():
    algorithm = build(two_losses(), teacher=dict(type='mmkd.AsksForBoxes', channels=8, allow_random=True))
    algorithm.prepare()
    (boxes,) = algorithm.teacher.model.boxes
    assert boxes.shape == (2, 4) and (boxes[:, 2:] > boxes[:, :2]).all() and boxes.max() <= 32


def test_in_training_mode_batch_norms_keep_their_statistics():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    before = copy.deepcopy(model.state_dict())
    with as_in_training(model):
        assert [module.training for module in model] == [True, False, True]
        model(torch.ones(1, 3, 1, 1))
    assert not any(module.training for module in model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# ---- networks of the hosts -------------------------------------------------------------------------------------------


def without_downloads(config):
    """The same network with random weights, and batch norms for one process."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key in ('init_cfg', 'pretrained'):
                config[key] = None
            without_downloads(value)
        if config.get('type') == 'SyncBN':
            config['type'] = 'BN'
    elif isinstance(config, (list, tuple)):
        for value in config:
            without_downloads(value)
    return config


HOSTS = {
    'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py': dict(
        x=dict(taps='backbone', levels=dict(student=(1,), teacher=(0,)), connector='conv1x1', loss=MSE)
    ),
    'mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py': dict(
        x=dict(taps='backbone', levels=dict(student=(1,), teacher=(0,)), connector='conv1x1', loss=MSE)
    ),
    'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py': dict(
        neck=dict(taps='neck', loss=dict(type='PKDLoss')),
        cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss', activation='sigmoid')),
        mask=dict(taps='mask_head.mask_feature_head.conv_pred', loss=MSE),
    ),
    'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py': dict(neck=dict(taps='neck', loss=dict(type='PKDLoss'))),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', HOSTS)
def test_networks_of_the_hosts_are_looked_at(name):
    config = without_downloads(resolve_network(dict(cfg_path=name), 'student'))
    with DefaultScope.overwrite_default_scope(name.split('::')[0]):
        algorithm = build(
            HOSTS[name], student=config, teacher=dict(config, allow_random=True), dry_run=dict(size=(128, 128))
        )
        algorithm.student.init_weights()  # without it the boxes of Sparse R-CNN are none
        algorithm.teacher.model.init_weights()
        algorithm.prepare()
    assert algorithm.teacher.mode == 'auto'
    if 'cls' in HOSTS[name]:  # its head runs twice, to predict as well
        with algorithm.teacher_recorders.attached(algorithm.teacher.model):
            algorithm.teacher.run(torch.zeros(1, 3, 128, 128), [sample()], None)
        assert len(algorithm.teacher_recorders.get_recorder('cls').data_buffer) == 5
        assert algorithm.teacher_recorders.get_recorder('cls').calls == 10


def sample():
    from mmkd.distillation.taps.dummy_batch import dummy_batch

    return dummy_batch((128, 128), None)[1][0]
