"""Distils a student from a teacher, as ``mmkd distill`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('distill')
