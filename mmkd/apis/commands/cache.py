"""Looks after the outputs of teachers that runs with teacher.cache keep on disk (docs/fast_teacher.md).

mmkd cache build CONFIG    run the teacher on all views of all training images now, without training
mmkd cache info DIR        list what is in the folder: teacher, taps, images, size
mmkd cache check DIR       read everything and compare the checksums; status 1 if something is damaged
mmkd cache prune DIR       remove what is damaged or half-written; with --days N what nobody has added to for so long
"""

import argparse

HELP = "fill, list, check and prune the teachers' outputs on disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmkd.apis.config import add_common_arguments

    actions = parser.add_subparsers(dest='action', required=True, metavar='build|info|check|prune')
    build = actions.add_parser('build', help='run the teacher of a config on all training images')
    build.add_argument('config', help='a training config whose model.teacher has a cache, a file or package::path')
    add_common_arguments(build)
    others = dict(info='list what is there', check='compare the checksums', prune='remove useless files')
    for name, what in others.items():
        action = actions.add_parser(name, help=what)
        action.add_argument('dir', help='the folder of teacher.cache.dir')
        if name == 'prune':
            action.add_argument('--days', type=float, help='also caches that nothing was added to for so many days')
        else:
            action.add_argument('--json', action='store_true', help='print it as JSON')


def run(args: argparse.Namespace) -> None:
    import json
    import sys

    from mmkd.apis import cache
    from mmkd.apis.config import load_config
    from mmkd.apis.launch import finish

    if args.action == 'build':
        read, computed = cache.build(load_config(args))
        print(f'{computed} views of images were added, {read} were there')
        finish()
    elif args.action == 'prune':
        files, size = cache.prune(args.dir, args.days)
        print(f'{files} files removed, {size / 1e9:.2f} GB')
    else:
        found = (cache.info if args.action == 'info' else cache.check)(args.dir)
        print(json.dumps(cache.as_dicts(found)) if args.json else cache.as_table(found))
        if args.action == 'check' and any(one.damaged for one in found):
            sys.exit(1)
