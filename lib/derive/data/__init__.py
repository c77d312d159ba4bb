"""Data behind one interface: some need no download, none is fetched unless asked for."""

from derive.data.folder import BrokenImageError, ImageFolder
from derive.data.images import LabelledImages, cifar10, digits, mnist, to_pixels
from derive.data.measurements import bench_results, trust_results
from derive.data.texts import Docstrings, docstrings

__all__ = [
    "BrokenImageError",
    "Docstrings",
    "ImageFolder",
    "LabelledImages",
    "bench_results",
    "cifar10",
    "digits",
    "docstrings",
    "mnist",
    "to_pixels",
    "trust_results",
]
