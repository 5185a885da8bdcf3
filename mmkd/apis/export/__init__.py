"""One ONNX file of a trained model: raw image in, final boxes, masks, classes or depth out.

:mod:`mmkd.apis.export.pasting` and :mod:`mmkd.apis.export.runtime` need neither PyTorch nor the OpenMMLab packages; a
product can carry these two files alone.
"""
