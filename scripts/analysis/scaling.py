"""Figures over T: time, time per token, decode latency."""

import string

import numpy as np

from . import style
from .statistics import crossover, fit_power_law


def short(variant, device):
    """cpu_serial in a figure that has only that device: serial."""
    return style.escaped(variant.removeprefix(device + "_"))


def exponent_text(fit):
    digits = 2 if fit.half_width >= 0.005 else 3
    text = f"{fit.exponent:.{digits}f} ± {max(fit.half_width, 10**-digits):.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def draw_curve(axes, cells, look, label, scale):
    """Medians with bars from the fastest to the slowest repetition."""
    T = np.array([cell.T for cell in cells])
    y = np.array([cell.median_ns * scale(cell) for cell in cells])
    low = np.array([min(cell.times_ns) * scale(cell) for cell in cells])
    high = np.array([max(cell.times_ns) * scale(cell) for cell in cells])
    axes.errorbar(T, y, yerr=[y - low, high - y], fmt="none", ecolor=look.color, elinewidth=0.8, capsize=1.4,
                  capthick=0.6, zorder=2)
    axes.plot(T, y, label=label, zorder=3, **look.plot())


def _floors(axes, curves, looks, scale):
    """The least time on this machine, thin: one line for each operator and type of products, where all points have it."""
    lines = {}
    for (op, _), cells in curves.items():
        for cell in cells:
            if np.isfinite(cell.floor_ns):
                lines.setdefault((op, cell.products), {})[cell.T] = cell.floor_ns * scale(cell)
    for (op, _), line in sorted(lines.items()):
        T = sorted(line)
        axes.plot(T, [line[t] for t in T], color=looks.of_op(op).color, linewidth=0.6, alpha=0.7, zorder=1)
    if lines:
        axes.plot([], [], color=style.GREY, linewidth=0.6, label="floor of this machine")


def crossovers(group):
    """[(op, the cells' variants at the crossing, Crossover)] of each other operator that mixes tokens over attention."""
    found = []
    if "attention" not in group.ops():
        return found
    attention = group.best("attention")
    for op in group.ops():
        if op in ("attention", "gemm"):
            continue
        best = group.best(op)
        crossing = crossover({T: cell.median_ns for T, cell in best.items()},
                             {T: cell.median_ns for T, cell in attention.items()})
        if crossing is not None:
            after = min(T for T in best.keys() & attention.keys() if T >= crossing.T)
            found.append((op, best[after].series.variant, attention[after].series.variant, crossing))
    return found


def crossing_text(crossing):
    return f"T ≈ {float(f'{crossing.T:.3g}'):g}"


def _mark_crossovers(axes, group, scale_at):
    """One is described beside its mark; of several, each has a letter there and its description in the legend."""
    device = group.setting["device"]
    found = sorted(crossovers(group), key=lambda entry: entry[-1].T)
    for letter, (op, challenger, incumbent, crossing) in zip(string.ascii_lowercase, found):
        axes.axvline(crossing.T, color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=1)
        axes.plot([crossing.T], [crossing.time * scale_at(crossing.T)], marker="o", markersize=7, markeredgewidth=1.0,
                  markerfacecolor="none", color="black", linestyle="none", zorder=5)
        right = crossing.T > 0.7 * max(cell.T for cell in group.cells)
        beside = (f"{op} ({short(challenger, device)}) overtakes\nattention ({short(incumbent, device)}) "
                  f"at {crossing_text(crossing)}")
        axes.annotate(beside if len(found) == 1 else letter, xy=(crossing.T, 0.03), xycoords=("data", "axes fraction"),
                      xytext=(-4 if right else 4, 0), textcoords="offset points", ha="right" if right else "left",
                      va="bottom", fontsize=6.5, color="#333333")
        if len(found) > 1:
            axes.plot([], [], linestyle="none", marker=rf"$\mathrm{{{letter}}}$", markersize=5, markeredgewidth=0,
                      color="#333333", label=f"{op} overtakes attention at {crossing_text(crossing)}")


def _figure(group, looks, machine, width, *, scale, unit, ylabel, xlabel, with_exponents, crossing_scale=None):
    figure, axes = style.new_figure(width)
    curves = group.shown_curves()
    style.log_axis(axes.yaxis, unit)
    style.length_axis(axes, [cell.T for cells in curves.values() for cell in cells], xlabel)
    axes.set_ylabel(ylabel)
    slowest_first = sorted(curves.items(), key=lambda item: (-item[1][-1].T, -item[1][-1].median_ns))
    slowest_first.sort(key=lambda item: item[0][0] != "attention")
    for (op, variant), cells in slowest_first:
        label = f"{op} {short(variant, group.setting['device'])}"
        fit = fit_power_law([(cell.T, cell.times_ns) for cell in cells]) if with_exponents else None
        draw_curve(axes, cells, looks.of(op, variant), f"{label}:  {exponent_text(fit)}" if fit else label, scale)
    _floors(axes, curves, looks, scale)
    if crossing_scale is not None:
        _mark_crossovers(axes, group, crossing_scale)
    style.set_title(axes, group.describe(), machine, width)
    style.add_legend(axes, width, title="exponent of T, with its 95% interval" if with_exponents else None)
    return figure


def time_figure(group, looks, machine, width):
    return _figure(group, looks, machine, width, scale=lambda cell: 1e-9, unit="s", ylabel="time of one forward pass",
                   xlabel="sequence length T", with_exponents=True, crossing_scale=lambda T: 1e-9)


def token_figure(group, looks, machine, width):
    B = group.setting["B"]
    return _figure(group, looks, machine, width, scale=lambda cell: 1e-9 / cell.tokens, unit="s",
                   ylabel="time per token", xlabel="sequence length T", with_exponents=False,
                   crossing_scale=lambda T: 1e-9 / (B * T))


def latency_figure(group, looks, machine, width):
    return _figure(group, looks, machine, width, scale=lambda cell: 1e-9, unit="s",
                   ylabel="latency of one token" if group.setting["B"] == 1 else "latency of one token a sequence",
                   xlabel="context length", with_exponents=True, crossing_scale=lambda T: 1e-9)
