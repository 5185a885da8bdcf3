"""Draws the predictions of several models side by side, as ``mmkd compare`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('compare')
