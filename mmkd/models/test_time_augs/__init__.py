from .instance_tta import InstanceTTAModel

__all__ = ['InstanceTTAModel']
