"""mmrazor's own distillation trains, saves and resumes on this stack once mmkd has imported it."""

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.nn import functional as F

from mmkd import compat

pytestmark = pytest.mark.slow


class ToyPoints(BaseDataset):
    """Eight random points with labels."""

    def load_data_list(self):
        generator = torch.Generator().manual_seed(0)
        return [dict(inputs=torch.randn(4, generator=generator), data_samples=i % 3) for i in range(8)]

    def prepare_data(self, index):
        sample = self.get_data_info(index)
        return dict(inputs=sample['inputs'], data_samples=sample['data_samples'])


class ToyNet(BaseModel):
    """Two linear layers, with the three modes of an OpenMMLab model."""

    def __init__(self, width=8, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.body = nn.Linear(4, width)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 3)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.head(F.relu(self.norm(self.body(torch.stack(list(inputs))))))
        return dict(loss=F.cross_entropy(logits, torch.tensor(data_samples))) if mode == 'loss' else logits


@pytest.fixture
def toys():
    """Registers the toys in mmengine's root, and takes them out again."""
    for registry, toy in ((DATASETS, ToyPoints), (MODELS, ToyNet)):
        registry.register_module(module=toy, force=True)
    yield
    DATASETS._module_dict.pop('ToyPoints')
    MODELS._module_dict.pop('ToyNet')
    DefaultScope._instance_dict.clear()
    MessageHub._instance_dict.clear()


def distillation_config(work_dir, teacher_file, epochs, **changes):
    return Config(
        dict(
            default_scope='mmrazor',
            experiment_name=f'toy_{epochs}',
            work_dir=str(work_dir),
            model=dict(
                type='SingleTeacherDistill',
                architecture=dict(type='ToyNet', width=8),
                teacher=dict(type='ToyNet', width=16),
                teacher_ckpt=str(teacher_file),
                distiller=dict(
                    type='ConfigurableDistiller',
                    student_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
                    teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head')),
                    distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=1)),
                    loss_forward_mappings=dict(
                        loss_kl=dict(
                            preds_S=dict(from_student=True, recorder='logits'),
                            preds_T=dict(from_student=False, recorder='logits'),
                        )
                    ),
                ),
            ),
            train_dataloader=dict(
                batch_size=4, dataset=dict(type='ToyPoints'), sampler=dict(type='DefaultSampler', shuffle=False)
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            param_scheduler=[dict(type='LinearLR', start_factor=0.5, by_epoch=True, end=4)],
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
            randomness=dict(seed=0),
            **changes,
        )
    )


def test_mmrazor_trains_saves_and_resumes(tmp_path, toys):
    compat.import_mmrazor()
    torch.manual_seed(0)
    teacher_file = tmp_path / 'teacher.pth'
    torch.save(dict(state_dict=ToyNet(16).state_dict()), teacher_file)

    straight = Runner.from_cfg(distillation_config(tmp_path / 'straight', teacher_file, epochs=4))
    before = straight.model.architecture.body.weight.clone()
    straight.train()
    assert not torch.equal(straight.model.architecture.body.weight, before)
    logged = straight.message_hub.log_scalars
    assert logged['train/distill.loss_kl'].current() > 0
    assert logged['train/student.loss'].mean() > 0

    Runner.from_cfg(distillation_config(tmp_path / 'resumed', teacher_file, epochs=2)).train()
    resumed = Runner.from_cfg(distillation_config(tmp_path / 'resumed', teacher_file, epochs=4, resume=True))
    resumed.train()
    assert resumed.iter == straight.iter == 8
    for name, value in straight.model.architecture.state_dict().items():
        torch.testing.assert_close(resumed.model.architecture.state_dict()[name], value, msg=name)
