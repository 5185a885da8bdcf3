"""Converts a checkpoint of another code base, as ``mmkd convert`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('convert')
