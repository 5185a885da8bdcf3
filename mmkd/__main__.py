"""``python -m mmkd``: the ``mmkd`` command."""

from mmkd.apis.cli import main

if __name__ == '__main__':
    main()
