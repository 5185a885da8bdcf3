"""Tests a trained model, as ``mmkd test`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('test')
