"""mmseg's own ways to open a model take a distillation config, and give the student's label maps."""

import numpy as np
import pytest
import torch
from helpers.exportable import ROOT

import mmkd  # noqa: F401  puts the mends in place

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]
CONFIG = str(ROOT / 'configs/kd/structured_kd/pspnet-r101_espnet-c_40k_camvid_pi.py')


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def opened(tmp_path_factory, image):
    """A student of random weights, the file of them, and what the student says of the image."""
    from mmseg.apis import inference_model, init_model

    file = tmp_path_factory.mktemp('student') / 'student.pth'
    model = init_model(CONFIG, device='cpu')
    torch.save(dict(state_dict=model.state_dict(), meta={}), file)
    return str(file), inference_model(model, image).pred_sem_seg.data[0].numpy()


def test_init_model_builds_the_student_alone(opened, image):
    from mmseg.apis import inference_model, init_model

    file, expected = opened
    model = init_model(CONFIG, file, device='cpu')
    assert type(model).__name__ == 'EncoderDecoder' and len(np.unique(expected)) > 1
    assert (inference_model(model, image).pred_sem_seg.data[0].numpy() == expected).all()


def test_the_inferencer_of_mmseg_opens_it(opened, image):
    from mmseg.apis import MMSegInferencer

    file, expected = opened
    inferencer = MMSegInferencer(CONFIG, file, device='cpu')
    assert (inferencer(image)['predictions'] == expected).all()
