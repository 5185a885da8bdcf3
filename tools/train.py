"""Trains a model from a config, as ``mmkd train`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('train')
