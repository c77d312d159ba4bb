"""`sampled` and `observed`: claims that chance could spoil, tested at a stated confidence."""

import bisect
import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np

from derive.check._number import _array, _reals, number
from derive.check._record import CheckRefused, Record, Verdict, require_label_and_wrong, settle

POWER = 0.99
_NEARER = 1e-100  # than this a wrong version is the claim itself, in standard errors
Relation = Literal["=", "<=", ">="]


def sampled(
    label: str,
    draws: Any,
    expected: Any,
    *,
    wrong: Mapping[str, Any],
    relation: Relation = "=",
    share: float = 1e-9,
) -> Record:
    r"""Check a mean or a probability by Monte Carlo, at a stated risk of a false alarm.

    Booleans are tested by the exact binomial law. Other draws are tested by the mean divided by
    its standard error; the critical value is widened by the skewness term of that ratio's
    Edgeworth expansion, $(2z^2+1)|\gamma|/(6\sqrt n)$, and a sample for which the term is
    larger than 1 is refused as too small. For each wrong version the power is
    computed: the probability that such a sample rejects it while the claim is true.

    Args:
        label: The claim's label.
        draws: Independent draws, shape (n,); or (n, k) for k quantities at once.
        expected: The claimed mean, or k of them.
        wrong: At least two named wrong values of `expected`.
        relation: "=": the mean is `expected`; "<=", ">=": it is at most, at least `expected`.
            The power of an inequality is computed at the measured mean.
        share: This check's share of the book's false-alarm probability, split evenly over the
            k quantities.

    Raises:
        CheckFailed: If the data reject the claim, or fail to reject a wrong version.
        CheckRefused: If the power against a wrong version is below 0.99 (the message says how
            many draws are needed), if the draws are constant, or too few or too skew.

    Source:
        P. Hall, The Bootstrap and Edgeworth Expansion (1992), section 2.6, for the skewness term.

    Example:
        >>> import numpy as np
        >>> tosses = np.random.default_rng(0).random(4000) < 0.5
        >>> sampled("fair", tosses, 0.5, wrong={"a third": 1 / 3, "two thirds": 2 / 3}).kind
        'sampled'
    """
    require_label_and_wrong(label, wrong)
    if relation not in ("=", "<=", ">="):
        raise CheckRefused(f"{label}: relation must be '=', '<=' or '>=', got {relation!r}.")
    share = number(label, "share", share)
    if not 0 < share <= 1e-6:
        raise CheckRefused(f"{label}: share must be in (0, 1e-6], got {share}.")
    columns = _columns(label, draws, relation, share)
    target = _targets(label, expected, len(columns))

    def judge(version: Any) -> Verdict:
        values = _targets(label, version, len(columns))
        tests = [column.test(value) for column, value in zip(columns, values, strict=True)]
        worst = max(range(len(tests)), key=lambda i: tests[i].excess)
        column, test = columns[worst], tests[worst]
        num = f"{column.num} draws" if len(columns) == 1 else f"{len(columns)} x {column.num} draws"
        figure = f"{column.estimate:.3g} ± {column.error:.1g} against {values[worst]:.4g}, {num}"
        return Verdict(
            all(test.holds for test in tests),
            figure,
            left=f"{column.estimate:.6g} (standard error {column.error:.2g}, {column.num} draws)",
            right=f"{relation} {values[worst]:.6g}",
            difference=f"{test.statistic}, false alarm {share:.0e}",
            measured={
                "p": test.p,
                "p values": [float(f"{test.p:.4g}") for test in tests],
                "relation": relation,
                "exact law": isinstance(column, _Proportion),
                "used": float(max(test.used for test in tests)),
                "estimate": column.estimate,
                "standard error": column.error,
            },
        )

    power = min(_power(label, columns, relation, target, name, wrong[name]) for name in wrong)
    return settle(
        label, "sampled", judge, expected, wrong, false_alarm=share, power=round(power, 4)
    )


def observed(
    label: str,
    effects: Any,
    *,
    wrong: Mapping[str, Any],
    low: float = -np.inf,
    high: float = np.inf,
    share: float = 1.0,
) -> Record:
    """Check that an experiment comes out as predicted, seed after seed.

    Args:
        label: The claim's label.
        effects: One number for each seed, at least three.
        wrong: At least two named arrays of effects that must not pass: a control experiment, or
            what a wrong theory predicts.
        low: The prediction's lower end.
        high: Its upper end.
        share: The least share of seeds whose effect must lie in [low, high].

    Raises:
        CheckFailed: If too few seeds agree, or a wrong version agrees as well.
        CheckRefused: With fewer than three seeds, or with no prediction (both ends infinite).

    Example:
        >>> observed("heats", [3.1, 2.7, 3.4], low=2, wrong={"off": [0.1, 0, 0.2],
        ...          "reversed": [-3.0, -2.5, -3.2]}).figure
        '3 of 3 seeds in [2, inf]'
    """
    require_label_and_wrong(label, wrong)
    low, high = number(label, "low", low), number(label, "high", high)
    share = number(label, "share", share)
    if not low < high or (np.isinf(low) and np.isinf(high)):
        raise CheckRefused(f"{label}: the prediction [{low}, {high}] excludes nothing or all.")
    if not 0.5 < share <= 1:
        raise CheckRefused(f"{label}: share must be in (0.5, 1], got {share}.")

    def judge(version: Any) -> Verdict:
        values = _reals(label, "effects", version).ravel()
        if len(values) < 3:
            raise CheckRefused(f"{label}: needs at least 3 seeds, got {len(values)}.")
        inside = (low <= values) & (values <= high)
        quartiles = np.quantile(values, [0.25, 0.5, 0.75])
        return Verdict(
            bool(inside.mean() >= share),
            f"{int(inside.sum())} of {len(values)} seeds in [{low:.4g}, {high:.4g}]",
            left=f"median {quartiles[1]:.4g}, quartiles {quartiles[0]:.4g} to {quartiles[2]:.4g}",
            right=f"[{low:.4g}, {high:.4g}] for {share:.0%} of the seeds",
            measured={
                "median": float(quartiles[1]),
                "effects": values.tolist(),
                "inside": float(inside.mean()),
                "stated share": share,
            },
        )

    return settle(label, "observed", judge, effects, wrong)


class _Test(NamedTuple):
    holds: bool
    excess: float  # > 0 where the value is rejected; orders the columns by how bad they are
    p: float
    used: float  # share of the room for chance that the data used up; > 1 where rejected
    statistic: str


class _Mean:
    """Draws with a sample mean: tests by the studentised mean."""

    def __init__(self, label: str, draws: np.ndarray, relation: Relation, share: float):
        self.relation, self.num = relation, len(draws)
        with np.errstate(over="ignore", invalid="ignore"):
            self.estimate = float(draws.mean())
            sd = float(draws.std(ddof=1))
        if not sd < 1e100:  # its third power is needed
            raise CheckRefused(
                f"{label}: the draws overflow, got {draws.min():.3g} to {draws.max():.3g}."
            )
        if sd <= 1e-12 * abs(self.estimate):
            raise CheckRefused(f"{label}: all draws are {self.estimate:.6g}; nothing is random.")
        self.error = sd / np.sqrt(self.num)
        skewness = float(np.mean((draws - self.estimate) ** 3)) / sd**3
        tails = 2 if relation == "=" else 1
        z = _quantile(share / tails)
        widening = (2 * z**2 + 1) * abs(skewness) / (6 * np.sqrt(self.num))
        if widening > 1:
            raise CheckRefused(
                f"{label}: {self.num} draws of skewness {skewness:.2g} are too few for this "
                f"confidence; draw at least {int(self.num * widening**2) + 1}."
            )
        self.critical = z + widening

    def test(self, value: float) -> _Test:
        z = (self.estimate - value) / self.error
        distance = {"=": abs(z), "<=": z, ">=": -z}[self.relation]
        p = _tail(distance) * (2 if self.relation == "=" else 1)
        excess = distance - self.critical
        used = max(distance, 0) / self.critical
        return _Test(excess <= 0, excess, p, used, f"z = {z:.2f}, critical {self.critical:.2f}")

    def power(self, truth: float, wrong: float) -> float:
        distance = (truth - wrong) / self.error
        distance = {"=": abs(distance), "<=": distance, ">=": -distance}[self.relation]
        return _tail(self.critical - distance)

    def draws_needed(self, truth: float, wrong: float) -> int:
        distance = abs(truth - wrong) / self.error
        wanted = self.critical + _quantile(1 - POWER)
        return int(self.num * (wanted / distance) ** 2) + 1 if distance > _NEARER else 0


class _Proportion:
    """Draws that are true or false: tests by the exact binomial law."""

    def __init__(self, label: str, draws: np.ndarray, relation: Relation, share: float):
        self.label, self.relation = label, relation
        self.num, self.hits = len(draws), int(draws.sum())
        self.estimate = self.hits / self.num
        # Add-one smoothing keeps the error of 0 hits from being zero; it is only displayed.
        smooth = (self.hits + 1) / (self.num + 2)
        self.error = float(np.sqrt(smooth * (1 - smooth) / self.num))
        self.share = share / (2 if relation == "=" else 1)

    def test(self, value: float) -> _Test:
        lowest, highest = self._accepted(value)
        p_low, p_high = self._at_most(self.hits, value), self._more_than(self.hits - 1, value)
        p = {"=": min(1.0, 2 * min(p_low, p_high)), "<=": p_high, ">=": p_low}[self.relation]
        excess = max(lowest - self.hits, self.hits - highest)
        mean = self.num * value
        end = highest if self.hits > mean else lowest
        used = abs(self.hits - mean) / max(abs(end - mean), 1)
        if self.relation != "=" and (self.hits > mean) != (self.relation == "<="):
            used = 0.0  # on the side where anything goes
        statistic = f"{self.hits} of {self.num} hits, p = {p:.2g}"
        return _Test(excess <= 0, excess, float(p), used, statistic)

    def power(self, truth: float, wrong: float) -> float:
        lowest, highest = self._accepted(wrong)
        return 1 - float(self._at_most(highest, truth) - self._at_most(lowest - 1, truth))

    def draws_needed(self, truth: float, wrong: float) -> int:
        # The normal law is good enough for advice; the test itself is exact.
        variance = max(truth * (1 - truth), wrong * (1 - wrong))
        wanted = _quantile(self.share) + _quantile(1 - POWER)
        gap = abs(truth - wrong)
        return int(variance * (wanted / gap) ** 2) + 1 if gap > _NEARER else 0

    def _accepted(self, value: float) -> tuple[int, int]:
        """The numbers of hits that do not reject `value`: each tail cut off holds < share."""
        if not 0 <= value <= 1:
            raise CheckRefused(f"{self.label}: a probability lies in [0, 1], got {value}.")
        counts = range(self.num + 1)
        lowest = bisect.bisect_left(
            counts, True, key=lambda k: self._at_most(k, value) >= self.share
        )
        highest = (
            bisect.bisect_left(
                counts, True, key=lambda k: self._more_than(k - 1, value) < self.share
            )
            - 1
        )
        if self.relation == "<=":
            return 0, highest
        if self.relation == ">=":
            return lowest, self.num
        return lowest, highest

    def _at_most(self, count: int, value: float) -> float:
        from scipy.special import bdtr  # 0.2 s, and most chapters never ask for it

        return 0.0 if count < 0 else float(bdtr(count, self.num, value))

    def _more_than(self, count: int, value: float) -> float:
        from scipy.special import bdtrc

        return 1.0 if count < 0 else float(bdtrc(count, self.num, value))


def _tail(z: float) -> float:
    """P(Z > z) for a standard normal Z, accurate far out."""
    return math.erfc(z / math.sqrt(2)) / 2


def _quantile(share: float) -> float:
    """The z with P(Z > z) = share."""
    return -NormalDist().inv_cdf(share)


def _columns(label: str, draws: Any, relation: Relation, share: float) -> list:
    array = _array(label, "draws", draws)
    if array.dtype != bool:
        array = _reals(label, "draws", array)
    if array.ndim not in (1, 2) or len(array) < 20:
        raise CheckRefused(
            f"{label}: needs at least 20 draws of shape (n,) or (n, k), got shape {array.shape}."
        )
    columns = array.reshape(len(array), -1).T
    kind = _Proportion if array.dtype == bool else _Mean
    return [kind(label, column, relation, share / len(columns)) for column in columns]


def _targets(label: str, values: Any, num: int) -> np.ndarray:
    array = _reals(label, "expected", values).ravel()
    if len(array) not in (1, num):
        raise CheckRefused(f"{label}: {num} quantities were drawn, got {len(array)} values.")
    return np.broadcast_to(array, num)


def _power(
    label: str, columns: list, relation: Relation, target: np.ndarray, name: str, version: Any
) -> float:
    """Power against one wrong version: that of the column which tells it apart best."""
    values = _targets(label, version, len(columns))
    best, needed = 0.0, 0
    for column, claimed, value in zip(columns, target, values, strict=True):
        truth = claimed if relation == "=" else column.estimate
        power = column.power(truth, value)
        if power >= best:
            best, needed = power, column.draws_needed(truth, value)
    if best < POWER:
        advice = f"draw at least {needed}" if needed else "it is the claim itself"
        raise CheckRefused(
            f"{label}: {columns[0].num} draws reject the wrong version {name!r} with probability "
            f"{best:.2g} < {POWER}; {advice}."
        )
    return best
