"""Lists the pretrained weights that the configs start from: where each comes from, its licence, and whether it is here.

Nothing is downloaded.
"""

import argparse

HELP = 'list pretrained weights: where from, licence, whether they are here'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--json', action='store_true', help='print the list as JSON')


def run(args: argparse.Namespace) -> None:
    import json

    from mmkd.apis import weights

    print(json.dumps(weights.as_dicts()) if args.json else weights.as_table())
