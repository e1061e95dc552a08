"""Figures against the machine: memory over T, and the roofline."""

import numpy as np
from matplotlib import ticker

from . import style
from .scaling import short


def memory_figure(group, looks, machine, width):
    """What an operator's tensors take (sequences, state or cache), thick, and each variant's scratch memory."""
    figure, axes = style.new_figure(width)
    curves = group.shown_curves()
    for op in group.ops():
        tensors = {cell.T: cell.set_bytes for (name, _), cells in curves.items() if name == op for cell in cells}
        look = looks.of_op(op)
        axes.plot(sorted(tensors), [tensors[T] for T in sorted(tensors)], color=look.color, linestyle=look.line,
                  linewidth=2.4, alpha=0.45, label=f"{op} tensors", zorder=2)
        for (name, variant), cells in curves.items():
            if name == op:
                axes.plot([cell.T for cell in cells], [cell.extra_bytes for cell in cells], zorder=3, clip_on=False,
                          label=f"{op} {short(variant, group.setting['device'])} scratch", **looks.of(op, variant).plot())
    axes.set_ylim(0, 2 * max(max(cell.set_bytes, cell.extra_bytes) for cells in curves.values() for cell in cells))
    style.byte_axis(axes.yaxis)
    style.length_axis(axes, [cell.T for cells in curves.values() for cell in cells],
                      "context length" if group.mode == "decode" else "sequence length T")
    axes.set_ylabel("memory of one decoding step" if group.mode == "decode" else "memory of one forward pass")
    style.set_title(axes, group.describe(), machine, width)
    style.add_legend(axes, width)
    return figure


def _levels(copy):
    """Bandwidths worth a line of their own: one for every level that is at least a quarter slower than the last."""
    levels = []
    for working_set, bandwidth in copy:
        if levels and bandwidth > 0.75 * levels[-1][1]:
            levels[-1] = (working_set, max(bandwidth, levels[-1][1]))
        else:
            levels.append((working_set, bandwidth))
    return levels


def _draw_ceilings(axes, ceilings, low, high):
    """Bandwidths as diagonals up to the highest arithmetic rate, rates as horizontals from the fastest bandwidth on."""
    roofs = [(ceilings.fma_flops, "fp32 FMA")]
    if ceilings.bf16_dot_flops > 0:
        roofs.append((ceilings.bf16_dot_flops, f"bf16 {ceilings.bf16_instruction}"))
    peak = max(flops for flops, _ in roofs)
    for _, bandwidth in _levels(ceilings.copy):
        axes.plot([low, peak / bandwidth], [low * bandwidth, peak], color=style.GREY, linewidth=0.7, zorder=1)
    fastest = max(bandwidth for _, bandwidth in ceilings.copy)
    for flops, name in roofs:
        axes.plot([flops / fastest, high], [flops, flops], color=style.GREY, linewidth=0.7, zorder=1)
        axes.annotate(f"{name} {flops / 1e9:.3g} GFLOP/s", xy=(high, flops), xytext=(-2, 2),
                      textcoords="offset points", ha="right", va="bottom", fontsize=6, color=style.GREY)


def _name_bandwidths(figure, axes, ceilings, low):
    """Along each diagonal, when the layout is known: its angle on the page depends on it."""
    figure.canvas.draw()
    for working_set, bandwidth in _levels(ceilings.copy):
        (x0, y0), (x1, y1) = axes.transData.transform([(low, low * bandwidth), (2 * low, 2 * low * bandwidth)])
        angle = np.degrees(np.arctan2(y1 - y0, x1 - x0))
        axes.annotate(f"{bandwidth / 1e9:.3g} GB/s, {style.byte_label(working_set)}", xy=(low, low * bandwidth),
                      xytext=(4, 1 + 4 * np.tan(np.radians(angle))), textcoords="offset points", fontsize=5.5,
                      color=style.GREY, rotation=angle, rotation_mode="anchor", va="bottom")


def roofline_figure(group, looks, machine, width, ceilings):
    """FLOP/s reached against FLOPs per byte, both of the least work that the problem takes; T grows along a curve."""
    figure, axes = style.new_figure(width)
    style.log_axis(axes.yaxis, "FLOP/s")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}" if x >= 1 else f"1/{1 / x:g}"))
    intensities = []
    for (op, variant), cells in sorted(group.shown_curves().items()):
        intensity = [cell.flops / cell.bytes for cell in cells]
        reached = [cell.flops / cell.median_ns * 1e9 for cell in cells]
        intensities += intensity
        look = looks.of(op, variant)
        axes.plot(intensity, reached, label=f"{op} {short(variant, group.setting['device'])}", zorder=3,
                  **{**look.plot(), "linewidth": 0.5})
        axes.plot(intensity[-1:], reached[-1:], zorder=4, **{**look.plot(), "markersize": 6.5})
    rates = [rate for rate in (ceilings.fma_flops, ceilings.bf16_dot_flops) if rate > 0]
    ridges = [rate / bandwidth for rate in rates for _, bandwidth in ceilings.copy]
    low, high = min(intensities + ridges) / 4, max(intensities + ridges) * 4
    _draw_ceilings(axes, ceilings, low, high)
    axes.plot([], [], color=style.GREY, linewidth=0.7, label="measured ceilings")
    axes.set_xlim(low, high)
    axes.set_xlabel("arithmetic intensity (FLOP/byte)")
    axes.set_ylabel("arithmetic rate reached")
    axes.plot([], [], color=style.GREY, marker="o", markersize=6.5, linestyle="none", label="longest T")
    style.set_title(axes, group.describe(), machine, width)
    style.add_legend(axes, width)
    _name_bandwidths(figure, axes, ceilings, low)
    return figure
