"""What the figures and the comparison say beyond medians: exponents, crossovers, ratios, each with its uncertainty."""

import math
from dataclasses import dataclass

import numpy as np

# Two cells differ by a little more than the repetitions of one cell show (where its memory lies, the clock): a point's
# weight in a fit is bounded as if it had at least this relative spread.
LEAST_SPREAD = 0.01


def student_t_cdf(t, dof):
    """For a whole number of degrees of freedom, by the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    theta = math.atan2(t, math.sqrt(dof))
    cosine, sine = math.cos(theta), math.sin(theta)
    if dof % 2 == 1:
        term, total = cosine, cosine if dof > 1 else 0.0
        for i in range(3, dof - 1, 2):
            term *= cosine * cosine * (i - 1) / i
            total += term
        within = 2 / math.pi * (theta + sine * total)
    else:
        term = total = 1.0
        for i in range(2, dof - 1, 2):
            term *= cosine * cosine * (i - 1) / i
            total += term
        within = sine * total
    return 0.5 + within / 2


def student_t_quantile(probability, dof):
    low, high = 0.0, 1.0
    while student_t_cdf(high, dof) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if student_t_cdf(middle, dof) < probability else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class PowerLaw:
    exponent: float
    half_width: float  # of the exponent's 95% confidence interval
    log_factor: float
    first: int  # the range of T that it was fitted to
    last: int
    points: int

    def __call__(self, T):
        return math.exp(self.log_factor + self.exponent * math.log(T))


def asymptotic(points):
    """The points (T, ...) of the upper half of the measured range on the logarithmic axis: T^2 >= T_first * T_last."""
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    return [p for p in points if p[0] * p[0] >= first * last]


def fit_power_law(points):
    """time = factor * T^exponent over the asymptotic range of points (T, times); None with fewer than three there.

    Least squares in the logarithms, each point weighted by 1 / (variance of its log times + LEAST_SPREAD^2). The
    interval comes from the residuals (Student's t, n - 2), so that a curve that is no straight line gets a wide one.
    """
    if not points:
        return None
    points = asymptotic(points)
    if len({T for T, _ in points}) < 3:
        return None
    x = np.log([T for T, _ in points])
    logs = [np.log(times) for _, times in points]
    y = np.array([np.median(log) for log in logs])
    weight = np.array([1 / (LEAST_SPREAD**2 + (np.var(log, ddof=1) if len(log) > 1 else 0)) for log in logs])
    centre_x, centre_y = np.average(x, weights=weight), np.average(y, weights=weight)
    spread_x = np.sum(weight * (x - centre_x) ** 2)
    exponent = np.sum(weight * (x - centre_x) * (y - centre_y)) / spread_x
    residual = y - centre_y - exponent * (x - centre_x)
    dof = len(points) - 2
    error = math.sqrt(np.sum(weight * residual**2) / dof / spread_x)
    return PowerLaw(exponent=float(exponent), half_width=student_t_quantile(0.975, dof) * error,
                    log_factor=float(centre_y - exponent * centre_x), first=min(T for T, _ in points),
                    last=max(T for T, _ in points), points=len(points))


@dataclass(frozen=True)
class Crossover:
    T: float
    time: float


def crossover(challenger, incumbent):
    """Where the challenger's curve {T: time} goes below the incumbent's for good, straight lines between the points
    that both have in log-log. None if it is not below at the last one, or is below at all of them."""
    common = sorted(challenger.keys() & incumbent.keys())
    gaps = [math.log(challenger[T] / incumbent[T]) for T in common]
    if not gaps or gaps[-1] >= 0 or all(gap < 0 for gap in gaps):
        return None
    i = max(i for i, gap in enumerate(gaps) if gap >= 0)
    share = gaps[i] / (gaps[i] - gaps[i + 1])

    def between(a, b):
        return math.exp(math.log(a) + share * (math.log(b) - math.log(a)))

    return Crossover(T=between(common[i], common[i + 1]), time=between(incumbent[common[i]], incumbent[common[i + 1]]))


@dataclass(frozen=True)
class Ratio:
    value: float
    low: float  # 95% interval
    high: float


def ratio_of_medians(new, old, resamples=2000, seed=1):
    """new / old with a percentile bootstrap interval over the repetitions; seeded, so that it is repeatable."""
    random = np.random.default_rng(seed)

    def medians(times):
        times = np.asarray(times, dtype=float)
        return np.median(times[random.integers(len(times), size=(resamples, len(times)))], axis=1)

    low, high = np.percentile(medians(new) / medians(old), [2.5, 97.5])
    return Ratio(value=float(np.median(new) / np.median(old)), low=float(low), high=float(high))
