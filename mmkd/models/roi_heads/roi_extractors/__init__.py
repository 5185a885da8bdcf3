from .adaptive_level_roi_extractor import AdaptiveRoIExtractor, pool_by_level

__all__ = ['AdaptiveRoIExtractor', 'pool_by_level']
