"""Exceptions out of a running training or test that are about its data or settings, and what to do about them."""

from __future__ import annotations

import re

__all__ = ['explain']

# Type and pattern of an exception, and the line that takes its place; {1} is the first group of the pattern.
KNOWN = (
    (
        ValueError,
        r'Expected more than 1 value per channel when training, got input size (.*)',
        'train_dataloader.batch_size: batch norm needs more than one value for each channel, and a layer was given '
        "{1}; set batch_size to 2 or more, with train_dataloader.drop_last=True, or a norm_cfg of type 'GN'",
    ),
    (
        RuntimeError,
        r'DataLoader worker \(pid\(?s?\)? ?([\d, ]*)\).*(?:killed|exited)',
        'a data worker (process {1}) was killed, most often for want of memory: set num_workers of the data loaders to '
        'less; 0 shows in this process what goes wrong',
    ),
    (
        RuntimeError,
        r'Given groups=.* to have (\d+) channels, but got (\d+) channels',
        'model: a convolution that expects {1} channels was given {2}; set the in_channels of that part of the model '
        'to what the part before it puts out (MMKD_TRACEBACK=1 shows which)',
    ),
    (
        ValueError,
        r'^(distill\.\w+: .*)',
        'model.{1} (MMKD_TRACEBACK=1 shows more)',
    ),
    (
        RuntimeError,
        r'port: (\d+),.*EADDRINUSE',
        'port {1} is in use, perhaps by another run on this machine; choose another one, with PORT=... before '
        'tools/dist_train.sh, or MASTER_PORT=...',
    ),
    (
        Exception,
        r'Cannot find valid image after (\d+)',
        'train_dataloader.dataset: {1} samples in a row were dropped by the pipeline; is there a step that drops '
        'every image, such as FilterAnnotations with min_gt_bbox_wh above the size of the objects?',
    ),
)


def explain(error: BaseException) -> str | None:
    """The one line that says what a user can do about an exception, or None where that is not known."""
    for kind, pattern, line in KNOWN:
        match = re.search(pattern, str(error), re.S) if isinstance(error, kind) else None
        if match:
            return ' '.join(line.format(match[0], *match.groups()).split())
    return None
