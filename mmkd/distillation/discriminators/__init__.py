"""Discriminators: the networks of the holistic term, and what trains them."""

from .holistic import HolisticDiscriminator, SelfAttention

__all__ = ['HolisticDiscriminator', 'SelfAttention']
