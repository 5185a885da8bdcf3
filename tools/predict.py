"""Writes what a model finds in images, as ``mmkd predict`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('predict')
