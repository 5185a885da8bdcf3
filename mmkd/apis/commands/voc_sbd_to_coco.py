"""Converts the instance annotations of VOC 2012, and of SBD, to COCO's format.

Example:
    mmkd voc_sbd_to_coco data/VOCdevkit/VOC2012 data/voc_instance --sbd data/benchmark_RELEASE

writes data/voc_instance/instances_{train,val}.json, and images/{train,val} with links to VOC's images.
"""

import argparse

HELP = "write the instances of VOC 2012 and SBD in COCO's format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument('voc', help='the folder VOC2012, or one that holds it')
    parser.add_argument('out', help='the folder to write to')
    parser.add_argument('--sbd', help='the folder of SBD, benchmark_RELEASE; without it, VOC alone is converted')
    parser.add_argument(
        '--images', choices=['link', 'copy', 'none'], default='link', help='what to put into images/{train,val}'
    )


def run(args: argparse.Namespace) -> None:
    """Converts."""
    from mmkd.apis.errors import user_errors
    from mmkd.datasets.converters.voc_sbd import convert

    def report(number: int) -> None:
        if number % 1000 == 0:
            print(f'{number} images ...', flush=True)

    with user_errors('conversion'):
        print('\n'.join(convert(args.voc, args.out, args.sbd, args.images, report)))
