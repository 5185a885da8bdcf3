"""Converts the instance annotations of VOC 2012, and of SBD, to COCO's format.

Example:
    python tools/dataset/voc_sbd_to_coco.py data/VOCdevkit/VOC2012 data/voc_instance --sbd data/benchmark_RELEASE

writes data/voc_instance/instances_{train,val}.json, and images/{train,val} with links to VOC's images.
"""

import argparse

import mmkd  # noqa: F401


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('voc', help='the folder VOC2012, or one that holds it')
    parser.add_argument('out', help='the folder to write to')
    parser.add_argument('--sbd', help='the folder of SBD, benchmark_RELEASE; without it, VOC alone is converted')
    parser.add_argument(
        '--images', choices=['link', 'copy', 'none'], default='link', help='what to put into images/{train,val}'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.errors import user_errors
    from mmkd.datasets.converters.voc_sbd import convert

    def report(number: int) -> None:
        if number % 1000 == 0:
            print(f'{number} images ...', flush=True)

    with user_errors('conversion'):
        print('\n'.join(convert(args.voc, args.out, args.sbd, args.images, report)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
