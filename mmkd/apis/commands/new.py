"""Makes a project of a folder of images: checks their labels, splits and converts them, and writes the configs of a
teacher, a student and a student with its teacher, with a page of commands that train them.

Reads COCO, labelme, YOLO and YOLO-seg, Pascal VOC, and label maps (PNG, of classes or of objects). Images alone are
labelled by a trained model (--teacher). The folder itself is not changed.

Example:
    mmkd new photos
    mmkd new photos --format masks --kind instances --classes nucleus --out nuclei
"""

import argparse

HELP = 'from a folder of images to a project that trains a student with its teacher'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    formats = ('coco', 'labelme', 'yolo', 'voc', 'masks', 'images')
    parser.add_argument('folder', help='the images with their labels, in any folders below it')
    parser.add_argument('--out', help='the project; default <folder>_kd here')
    parser.add_argument('--force', action='store_true', help='write configs and labels anew where a project is already')
    parser.add_argument('--format', choices=formats, help='of the labels, where the folder has several')
    parser.add_argument(
        '--kind',
        choices=('semantic', 'instances', 'boxes'),
        help='what is to be learnt: of label maps, what their numbers stand for; masks may also be learnt as boxes, or '
        'as a map of classes with the background',
    )
    parser.add_argument('--classes', nargs='+', help='their names, in the order of their numbers')
    parser.add_argument('--val', type=float, default=0.2, help='fraction to validate with, if the folder has no splits')
    parser.add_argument('--max-iters', type=int, help='how long is trained; default about fifty times all images')
    parser.add_argument(
        '--teacher',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='a trained model that labels the images',
    )
    parser.add_argument('--score-thr', type=float, default=0.5, help='objects it is surer of become labels')
    parser.add_argument('--device', default='cpu', help='where it runs')


def run(args: argparse.Namespace) -> None:
    """Makes the project and tells what was found."""
    from mmkd.apis.new_project import create_project

    created = create_project(args)
    print(f'{created.summary()}\nchecked:\n{created.findings()}\n')
    print(f'{created.folder}: look at data_report.html, then go on as README.md says')
