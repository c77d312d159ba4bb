"""Valid calls of `derive.diffusion`."""

import math

import torch

from bad_input.entry import Entry
from bad_input.values import CPU, F64, gram, normal, rng, weights
from derive import diffusion as dif

T = 8


def schedule() -> dif.NoiseSchedule:
    return dif.NoiseSchedule.ho_linear(T, beta_start=0.05, beta_end=0.5)


def levels() -> dict:
    return {"alpha": schedule().alpha, "sigma": schedule().sigma}


def mixture() -> dif.MixtureModel:
    return dif.MixtureModel(weights(2), normal(2, 3), torch.stack([gram(3), gram(3, seed=1)]))


def points() -> dif.EmpiricalModel:
    return dif.EmpiricalModel(normal(5, 3), weights(5), chunk=2)


def noisy() -> dict:
    return {"x": normal(4, 3, seed=3), "alpha": 0.8, "sigma": 0.6}


def times(n: int = 4) -> torch.Tensor:
    return torch.tensor([1, 3, 5, 8])[:n]


def net(x, t):
    return 0.5 * x


def denoiser(x, t):
    return 0.5 * x


def one_row(x, t):
    return x[:1]


def words(x, t):
    return "x"


def of(make, method: str):
    return lambda **given: getattr(make(), method)(**given)


def at_step(model: type, make) -> tuple[Entry, ...]:
    names = ("log_prob", "denoise", "score", "denoise_cov_trace", "denoise_cov")
    return (
        *(
            Entry(
                getattr(model, name),
                noisy,
                call=of(make, name),
                more={
                    "mixed: x in float32": {"x": normal(4, 3).float()},
                    "zero: neither signal nor noise": {"alpha": 0.0, "sigma": 0.0},
                },
            )
            for name in names
        ),
        Entry(model.sample, lambda: {"n": 3, "generator": rng()}, call=of(make, "sample")),
    )


def bad_pairs() -> dict:
    return {
        "shape: s of another length": {"s": times(3) - 1},
        "negative: s after t": {"s": times() + 1},
    }


def bad_eta() -> dict:
    return {
        "NaN: eta": {"eta": math.nan},
        "infinity: eta": {"eta": math.inf},
        "huge: eta": {"eta": 1e300},
        "negative: eta": {"eta": -0.5},
    }


def bad_answers(argument: str) -> dict:
    return {
        "shape: one row is answered": {argument: one_row},
        "type: words are answered": {argument: words},
    }


def seen(model) -> torch.Tensor:
    return model.denoise(**noisy())


ENTRIES = (
    Entry(
        dif.EmpiricalModel,
        lambda: {"points": normal(5, 3), "weights": weights(5), "chunk": 2},
        finish=seen,
    ),
    *at_step(dif.EmpiricalModel, points),
    Entry(dif.GaussianModel, lambda: {"mean": normal(3), "cov": gram(3)}, finish=seen),
    Entry(
        dif.MixtureModel,
        lambda: {
            "weights": weights(2),
            "means": normal(2, 3),
            "covs": torch.stack([gram(3), gram(3, seed=1)]),
        },
        finish=seen,
    ),
    *at_step(dif.MixtureModel, mixture),
    Entry(dif.NoiseSchedule, levels),
    Entry(
        dif.NoiseSchedule.at,
        lambda: {"t": times(), "like": normal(4, 3)},
        call=of(schedule, "at"),
        answers={
            f"like: {column}": "whatever numbers it holds" for column in ("NaN", "infinity", "huge")
        },
    ),
    Entry(
        dif.NoiseSchedule.cosine,
        lambda: {"T": T, "s": 0.008, "largest": 0.999},
    ),
    Entry(dif.NoiseSchedule.from_betas, lambda: {"betas": torch.linspace(0.1, 0.5, T, dtype=F64)}),
    Entry(
        dif.NoiseSchedule.ho_linear,
        lambda: {"T": T, "beta_start": 0.05, "beta_end": 0.5},
    ),
    Entry(
        dif.NoiseSchedule.log_snr,
        lambda: {"t": times()},
        call=of(schedule, "log_snr"),
        answers={"t: zero": "infinite at t = 0"},
    ),
    Entry(
        dif.NoiseSchedule.posterior,
        lambda: {"t": times(), "s": 0},
        call=of(schedule, "posterior"),
        more=bad_pairs(),
    ),
    Entry(
        dif.NoiseSchedule.snr,
        lambda: {"t": times()},
        call=of(schedule, "snr"),
        answers={"t: zero": "infinite at t = 0"},
    ),
    Entry(dif.NoiseSchedule.su_linear, lambda: {"T": T}),
    Entry(dif.NoiseSchedule.to, lambda: {"device": CPU}, call=of(schedule, "to")),
    Entry(
        dif.NoiseSchedule.transition,
        lambda: {"t": times(), "s": 0},
        call=of(schedule, "transition"),
        more=bad_pairs(),
    ),
    Entry(
        dif.add_noise,
        lambda: {
            "x0": normal(4, 3),
            "t": times(),
            "schedule": schedule(),
            "noise": normal(4, 3, seed=1),
        },
    ),
    Entry(
        dif.apply_step,
        lambda: {
            "step": dif.reverse_steps(schedule(), [0, 4, 8])[0],
            "x": normal(4, 3),
            "x_0": normal(4, 3, seed=1),
            "noise": normal(4, 3, seed=2),
        },
    ),
    Entry(
        dif.ddim_sample,
        lambda: {
            "denoiser": denoiser,
            "schedule": schedule(),
            "x_T": normal(4, 3),
            "num_steps": 3,
            "eta": 0.5,
            "kind": "trailing",
            "generator": rng(),
            "return_path": True,
        },
    ),
    Entry(
        dif.ddpm_loss,
        lambda: {
            "model": net,
            "x0": normal(4, 3),
            "schedule": schedule(),
            "t": times(),
            "weight": "vlb",
            "parameterization": "eps",
            "generator": rng(),
            "noise": normal(4, 3, seed=1),
        },
        more=bad_answers("model"),
    ),
    Entry(
        dif.ddpm_sample,
        lambda: {
            "denoiser": denoiser,
            "schedule": schedule(),
            "x_T": normal(4, 3),
            "generator": rng(),
            "num_steps": 3,
            "variance": "optimal",
            "mmse_per_dim": weights(3),
            "return_path": False,
        },
    ),
    Entry(
        dif.denoiser_of,
        lambda: {
            "model": net,
            "schedule": schedule(),
            "parameterization": "v",
            "clip": 1.0,
        },
        finish=lambda denoise: denoise(normal(4, 3), 3),
        more=bad_answers("model"),
    ),
    Entry(
        dif.exact_denoiser,
        lambda: {"model": mixture(), "schedule": schedule()},
        finish=lambda denoise: denoise(normal(4, 3), 3),
    ),
    Entry(
        dif.gaussian_elbo,
        lambda: {
            "eigenvalues": weights(3),
            "schedule": schedule(),
            "grid": [0, 4, 8],
            "variance": "optimal",
        },
    ),
    Entry(
        dif.gaussian_sampler_variance,
        lambda: {
            "eigenvalues": weights(3),
            "schedule": schedule(),
            "grid": [0, 4, 8],
            "variance": "posterior",
            "eta": 0.5,
        },
    ),
    Entry(dif.loss_weight, lambda: {"schedule": schedule(), "t": times(), "kind": "vlb"}),
    Entry(
        dif.mmse,
        lambda: {
            "model": mixture(),
            "snr": torch.tensor([0.1, 1.0], dtype=F64),
            "generator": rng(),
            "num_draws": 8,
        },
    ),
    Entry(
        dif.reverse_steps,
        lambda: {
            "schedule": schedule(),
            "grid": [0, 4, 8],
            "variance": "optimal",
            "mmse_per_dim": weights(2),
        },
        more=bad_eta(),
    ),
    Entry(
        dif.reverse_variance,
        lambda: {
            "schedule": schedule(),
            "t": times(),
            "s": times() - 1,
            "kind": "optimal",
            "mmse_per_dim": weights(4),
        },
    ),
    Entry(
        dif.run_reverse,
        lambda: {
            "denoiser": denoiser,
            "steps": dif.reverse_steps(schedule(), [0, 4, 8]),
            "x_T": normal(4, 3),
            "generator": rng(),
            "return_path": True,
        },
        more=bad_answers("denoiser"),
    ),
    Entry(
        dif.sample_times,
        lambda: {"n": 4, "schedule": schedule(), "generator": rng(), "stratified": True},
    ),
    Entry(dif.step_grid, lambda: {"T": T, "num_steps": 3, "kind": "trailing"}),
    Entry(
        dif.to_eps,
        lambda: {
            "output": normal(4, 3),
            "x": normal(4, 3, seed=1),
            "t": times(),
            "schedule": schedule(),
            "parameterization": "x0",
        },
    ),
    Entry(
        dif.to_x0,
        lambda: {
            "output": normal(4, 3),
            "x": normal(4, 3, seed=1),
            "t": times(),
            "schedule": schedule(),
            "parameterization": "eps",
        },
    ),
    Entry(
        dif.two_noise_loss,
        lambda: {
            "model": net,
            "x0": normal(4, 3),
            "schedule": schedule(),
            "t": times(),
            "generator": rng(),
        },
        more=bad_answers("model"),
    ),
)
