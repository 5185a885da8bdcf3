from .crowded_coco_metric import CrowdedCocoMetric
from .voc_server_metric import VOCServerMetric, voc_palette

__all__ = ['CrowdedCocoMetric', 'VOCServerMetric', 'voc_palette']
