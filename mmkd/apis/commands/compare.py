"""Draws the predictions of several models on test images, side by side with the ground truth, and where each student
follows its teacher; on request also layers of the networks, and what each class gains.

Example:
    mmkd compare --out pictures --features neck --gain \
        --model teacher teacher.py work_dirs/teacher/iter_1000.pth \
        --model student student.py work_dirs/student/iter_1000.pth \
        --model 'student + KD' student_kd.py work_dirs/student_kd/iter_1000_student.pth
"""

import argparse

HELP = 'draw several models side by side, and where a student follows its teacher'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('TITLE', 'CONFIG', 'CHECKPOINT'),
        help='a column; given once for each model. Of a distillation config the student is drawn',
    )
    parser.add_argument('--out', required=True, help='folder for the pictures and the page that holds them')
    parser.add_argument('--number', type=int, default=8, help='how many images, spread over the test set')
    parser.add_argument('--score-thr', type=float, default=0.5, help='objects with a higher score are drawn')
    parser.add_argument('--teacher', help='title of the model that the others are compared with; default "teacher"')
    parser.add_argument('--features', metavar='LAYER', help='show a layer that all models have, such as neck')
    parser.add_argument('--level', type=int, default=0, help='which map of the layer, where it gives several')
    parser.add_argument('--gain', action='store_true', help='test all on the whole test set; chart what classes gain')
    parser.add_argument('--device', default='cpu')


def run(args: argparse.Namespace) -> None:
    """Draws."""
    from mmkd.apis.comparison import compare
    from mmkd.apis.config import read_config
    from mmkd.apis.errors import user_errors
    from mmkd.apis.preflight import check_test_config
    from mmkd.visualization.models import ComparedModel

    with user_errors('comparing the models'):
        models = [ComparedModel(title, read_config(config), checkpoint) for title, config, checkpoint in args.model]
        for model in models:
            check_test_config(model.cfg)
        number = compare(models, args)
    print(f'{number} pictures in {args.out}, together in {args.out}/index.html')
