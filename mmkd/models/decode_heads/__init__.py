from .espnet_head import ESPNetCHead, ESPNetHead

__all__ = ['ESPNetCHead', 'ESPNetHead']
