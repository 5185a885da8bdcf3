"""Distils a student from a teacher: writes a config, checks it, trains, tests, and shows a table.

What is compared of the two networks is chosen by the rules of docs/distill.md and told, with the reasons; the weights
of the losses are set by their gradients on the first batches and written into the config, which can be trained again.

examples:
  mmkd distill mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py \\
      --teacher-ckpt rtmdet_s.pth --compare
  mmkd distill mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py teacher.py --teacher-ckpt teacher.pth \\
      --data photos --recipe cwd
"""

import argparse

HELP = 'two configs in, a distilled student out'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    from mmkd.apis.config import add_common_arguments

    parser.add_argument('student', help='config of the student, a file or package::path')
    parser.add_argument('teacher', help='config of the teacher, or SOURCE:NAME such as timm:tf_efficientnet_lite2')
    parser.add_argument(
        '--teacher-ckpt', metavar='FILE', help="its checkpoint; 'random' for a trial with random weights"
    )
    parser.add_argument('--recipe', default='auto', help='auto, pkd, cwd, logits, pairwise or mse; default %(default)s')
    parser.add_argument('--data', metavar='FOLDER', help="labelled images, as of mmkd new; default: the student's data")
    parser.add_argument('--unlabelled', metavar='FOLDER', help='images without labels, taught by the teacher alone')
    parser.add_argument('--compare', action='store_true', help='train the student without its teacher, too')
    parser.add_argument(
        '--share',
        type=float,
        default=0.1,
        help='gradient of the distillation next to that of the task, on the first batches; default %(default)s',
    )
    parser.add_argument('--max-iters', type=int, help='with --data: how long is trained; default as of mmkd new')
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Distils."""
    import os

    from mmkd.apis.distilling import distill
    from mmkd.apis.launch import finish

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    keys = ('student', 'teacher', 'teacher_ckpt', 'recipe', 'data', 'unlabelled', 'compare', 'share', 'max_iters')
    distill(
        **{key: getattr(args, key) for key in keys},
        work_dir=args.work_dir,
        cfg_options=args.cfg_options,
        launcher=args.launcher,
    )
    finish()
