"""A hundred and more wrong inputs: the command that a user types, what is wrong, and the line that says so."""

from .row import Row
from .rows_checkpoints import CHECKPOINTS
from .rows_coco import COCO
from .rows_configs import CONFIGS
from .rows_images import IMAGES
from .rows_machine import MACHINE
from .rows_numbers import NUMBERS
from .rows_segmentation import SEGMENTATION
from .rows_tools import TOOLS

__all__ = ['ROWS', 'Row']

ROWS = [*CHECKPOINTS, *CONFIGS, *NUMBERS, *COCO, *IMAGES, *SEGMENTATION, *MACHINE, *TOOLS]
