"""Writes a model as an ONNX file, as ``mmkd export`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('export')
