"""Every kind of model, exported and compared with PyTorch object by object on real images of several sizes."""

import re
from dataclasses import replace

import pytest
from helpers.exportable import IMAGES, KINDS, config_of, save_lively_weights

from mmkd.apis.inference.models import TorchModel

pytest.importorskip('onnxruntime')

from mmkd.apis.export import exporting  # noqa: E402  needs onnx
from mmkd.apis.export.runtime import OnnxModel  # noqa: E402

# Of random weights many objects have one score, up to the last digits: which are the best hundred is chance.
TIES = 0.06

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]


@pytest.mark.parametrize('kind', KINDS)
def test_file_says_what_the_model_says(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, 'latency_table', lambda *args: [])
    monkeypatch.setitem(exporting.TOLERANCES, 'float32', replace(exporting.TOLERANCES['float32'], share=TIES))
    cfg = config_of(kind, longest_side=256)
    save_lively_weights(cfg, tmp_path / 'weights.pth')
    model = TorchModel(cfg, str(tmp_path / 'weights.pth'))
    options = exporting.ExportOptions(images=str(IMAGES), number=1)
    report = exporting.export(model, tmp_path / 'out.onnx', options)  # raises where more than a few are off
    off, compared = re.search(r'onnxruntime: (\d+) of (\d+) ', '\n'.join(report)).groups()
    assert int(off) <= TIES * int(compared) and int(compared) > 0
    metadata = OnnxModel(tmp_path / 'out.onnx').metadata
    assert metadata['classes'] == model.metadata['classes']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out.onnx', 'weights.pth']
