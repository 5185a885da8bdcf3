"""Writes what a model finds in images or in a video: pictures, COCO results or label maps.

The model is a config and a checkpoint, full or student-only; or a student-only file alone, which carries its config; or
a file that `mmkd export` wrote. All give the same. A run that was broken off goes on where it stopped.

written into the folder:
  results.json   all objects in COCO's format; classes.json has the names of their categories
  results/       one file an image: .json (objects), .png (label maps; depths in thousandths, 16 bits)
  pictures/      one an image; of a video, video.mp4 too

examples:
  mmkd predict cells.py work_dirs/cells/iter_4000.pth photos --out found
  mmkd predict work_dirs/cells/iter_4000_student.pth clip.mp4 --out found
  mmkd predict student.onnx photos/one.jpg --out found
"""

import argparse
import hashlib
from pathlib import Path

HELP = 'predict on images or a video with a checkpoint, a student-only or an ONNX file'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    from mmkd.apis.config import add_cfg_options

    parser.add_argument(
        'model', nargs='+', metavar='CONFIG CHECKPOINT', help='or STUDENT.pth alone, or MODEL.onnx alone'
    )
    parser.add_argument('source', metavar='SOURCE', help='an image, a folder of images or a video')
    parser.add_argument('--out', required=True, help='the folder to write to')
    parser.add_argument('--score-thr', type=float, default=0.5, help='objects from this score on are drawn')
    parser.add_argument('--no-pictures', action='store_true', help='write results only')
    parser.add_argument('--device', default='cpu', help='where a checkpoint runs; default %(default)s')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> None:
    """Predicts."""
    from mmkd.apis.inference.models import open_model
    from mmkd.apis.inference.predicting import predict

    model = open_model(args.model, args.device, cfg_options=args.cfg_options)
    made_from = dict(model={path: _digest(path) for path in args.model}, cfg_options=repr(args.cfg_options))
    print('\n'.join(predict(model, args.source, args.out, args.score_thr, not args.no_pictures, made_from)))


def _digest(path: str) -> str | None:
    if '::' in path:  # a config of a package
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
