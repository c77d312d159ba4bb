"""The few small networks that chapters share, with weights drawn from a given generator."""

from derive.nets.conv import ConvNet
from derive.nets.dense import MLP, TimeMLP
from derive.nets.seeded import seeded

__all__ = ["MLP", "ConvNet", "TimeMLP", "seeded"]
