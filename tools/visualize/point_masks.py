"""Draws what CenterMask with points makes masks of, as ``mmkd point_masks`` does."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main('point_masks')
