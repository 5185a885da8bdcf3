"""Draws losses and scores of runs, as ``mmkd curves`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('curves')
