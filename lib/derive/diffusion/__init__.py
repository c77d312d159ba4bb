"""Diffusion models: schedules, exact models, losses, samplers, closed forms (`ddpm-three-ways`)."""

from derive.diffusion.empirical import EmpiricalModel
from derive.diffusion.gaussian import GaussianBound, gaussian_elbo, gaussian_sampler_variance
from derive.diffusion.least_error import Mmse, mmse
from derive.diffusion.losses import (
    DdpmLoss,
    add_noise,
    ddpm_loss,
    loss_weight,
    sample_times,
    two_noise_loss,
)
from derive.diffusion.models import ExactModel, GaussianModel, MixtureModel
from derive.diffusion.outputs import to_eps, to_x0
from derive.diffusion.samplers import (
    ddim_sample,
    ddpm_sample,
    denoiser_of,
    exact_denoiser,
    run_reverse,
)
from derive.diffusion.schedules import NoiseSchedule, Posterior, Transition, step_grid
from derive.diffusion.steps import ReverseStep, apply_step, reverse_steps, reverse_variance

__all__ = [
    "DdpmLoss",
    "EmpiricalModel",
    "ExactModel",
    "GaussianBound",
    "GaussianModel",
    "MixtureModel",
    "Mmse",
    "NoiseSchedule",
    "Posterior",
    "ReverseStep",
    "Transition",
    "add_noise",
    "apply_step",
    "ddim_sample",
    "ddpm_loss",
    "ddpm_sample",
    "denoiser_of",
    "exact_denoiser",
    "gaussian_elbo",
    "gaussian_sampler_variance",
    "loss_weight",
    "mmse",
    "reverse_steps",
    "reverse_variance",
    "run_reverse",
    "sample_times",
    "step_grid",
    "to_eps",
    "to_x0",
    "two_noise_loss",
]
