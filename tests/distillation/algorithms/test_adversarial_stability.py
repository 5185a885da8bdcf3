"""The known failure of holistic distillation, losses that are no numbers, over 500 steps of the shipped config.

Without its clipping of the discriminator's gradients, the run with WGAN-GP has a loss that is NaN after 340 steps: the
discriminator grows until its slope is that of the penalty, and with the teacher's large logits it is by then too fast
to stop.
"""

from pathlib import Path

import pytest
import torch
from helpers.adversarial_toys import build, optimizers, small_discriminator
from mmengine.config import Config

CONFIGS = Path(__file__).parents[3] / 'configs/kd/structured_kd'
STEPS = 500


def scenes(generator, number=4, size=32):
    """Images that fall into a bright and a dark part along a line, as road and sky do, with some noise."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing='ij')
    slope, offset = torch.randn(2, number, 1, 1, generator=generator)
    scene = (y > 0.5 * slope * x + 0.5 * offset).float()[:, None] * torch.tensor([120.0, -90.0, 60.0]).view(1, 3, 1, 1)
    return dict(inputs=[*(scene + 20 * torch.randn(number, 3, size, size, generator=generator))], data_samples=None)


@pytest.mark.slow
@pytest.mark.parametrize('mode', ['wgan-gp', 'hinge'])
def test_500_steps_of_the_shipped_config_stay_finite(mode):
    shipped = Config.fromfile(CONFIGS / 'pspnet-r101_pspnet-r18_40k_cityscapes_pi-pa-ho.py')
    holistic = {k: v for k, v in shipped.model.holistic.items() if k not in ('discriminator', 'taps')}
    discriminator = small_discriminator(**shipped.model.holistic.discriminator, base_channels=16)
    holistic = dict(holistic, discriminator=discriminator, mode=mode, gradient_penalty=10.0)
    pi = dict(taps='conv_seg', loss=shipped.model.distill.pi.loss)
    pa = dict(taps='backbone', loss=shipped.model.distill.pa.loss)
    algorithm = build(holistic, distill=dict(pi=pi, pa=pa))
    with torch.no_grad():
        algorithm.teacher.model.conv_seg.weight *= 30  # far surer of itself than the student: easily told apart
    wrapper = optimizers(
        algorithm,
        of_discriminator=shipped.optim_wrapper.discriminator,
        optimizer=shipped.optim_wrapper.optimizer,
    )
    generator = torch.Generator().manual_seed(0)
    start = algorithm.discriminator.last.weight.detach().clone()
    gaps = []
    for step in range(STEPS):
        log = algorithm.train_step(scenes(generator), wrapper)
        wrong = {name: value.item() for name, value in log.items() if not torch.isfinite(value)}
        assert wrong == {}, f'step {step}'
        gaps.append(log['discriminator.gap'].item())
    assert all(torch.isfinite(value).all() for value in algorithm.state_dict().values())
    # there was a game: the discriminator learned, and told the teacher from the student
    assert (algorithm.discriminator.last.weight - start).norm() > 0.01 * start.norm()
    assert max(gaps) > 0
