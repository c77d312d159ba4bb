"""Random projections and the Johnson-Lindenstrauss lemma (chapter `jl-lemma`)."""

from derive.random_projection.attention import attention_temperature
from derive.random_projection.codes import coherence, optimise_code
from derive.random_projection.dimension import chi2_failure, lower_bound_dim, min_dim
from derive.random_projection.distortion import DistortionReport, distortion
from derive.random_projection.hadamard import fwht
from derive.random_projection.hashing import hamming, hamming_to_cosine, simhash
from derive.random_projection.maps import RandomMap
from derive.random_projection.matrices import gaussian_matrix, sign_matrix
from derive.random_projection.structured import count_sketch, project, random_map, srht

__all__ = [
    "DistortionReport",
    "RandomMap",
    "attention_temperature",
    "chi2_failure",
    "coherence",
    "count_sketch",
    "distortion",
    "fwht",
    "gaussian_matrix",
    "hamming",
    "hamming_to_cosine",
    "lower_bound_dim",
    "min_dim",
    "optimise_code",
    "project",
    "random_map",
    "sign_matrix",
    "simhash",
    "srht",
]
