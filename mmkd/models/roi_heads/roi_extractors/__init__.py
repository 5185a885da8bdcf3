from .adaptive_level_roi_extractor import AdaptiveRoIExtractor

__all__ = ['AdaptiveRoIExtractor']
