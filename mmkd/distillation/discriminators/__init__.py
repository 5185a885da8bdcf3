from .holistic import HolisticDiscriminator, SelfAttention

__all__ = ['HolisticDiscriminator', 'SelfAttention']
