"""Every kind of model, exported and compared with PyTorch object by object on real images of several sizes."""

import pytest
from helpers.exportable import IMAGES, KINDS, config_of, save_lively_weights

from mmkd.apis.inference.models import TorchModel

pytest.importorskip('onnxruntime')

from mmkd.apis.export.exporting import ExportOptions, export  # noqa: E402  needs onnx
from mmkd.apis.export.runtime import OnnxModel  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]


@pytest.mark.parametrize('kind', KINDS)
def test_file_says_what_the_model_says(kind, tmp_path):
    cfg = config_of(kind)
    save_lively_weights(cfg, tmp_path / 'weights.pth')
    model = TorchModel(cfg, str(tmp_path / 'weights.pth'))
    report = export(model, tmp_path / 'out.onnx', ExportOptions(images=str(IMAGES), number=2))
    assert 'onnxruntime: 0 of ' in '\n'.join(report)
    metadata = OnnxModel(tmp_path / 'out.onnx').metadata
    assert metadata['classes'] == model.metadata['classes']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out.onnx', 'weights.pth']
