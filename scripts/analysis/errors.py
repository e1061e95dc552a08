"""The figure of the error over T: every variant and dtype, whatever device and number of threads it ran on."""

import math

from . import style

FIELDS = ("B", "H", "N", "inputs")  # what one figure has in common
DTYPE_LINES = {"f32": "-", "bf16": (0, (5, 1.5)), "f16": (0, (1, 1.2))}


def has_error(cell):
    """Whether there is something to draw: on a logarithmic axis 0 has no place."""
    return cell.status != "failed" and math.isfinite(cell.error) and cell.error > 0


def _largest(cells, key, value):
    """{key(cell): {T: the largest value}}"""
    curves = {}
    for cell in cells:
        curve = curves.setdefault(key(cell), {})
        curve[cell.T] = max(curve.get(cell.T, 0.0), value(cell))
    return curves


def _draw_tolerances(axes, cells, looks):
    """What rounding explains, by the harness's derivation; one line for each dtype and type of products."""
    allowed = _largest([cell for cell in cells if cell.tolerance_ratio > 0],
                       lambda cell: (cell.series.op, cell.series.dtype, cell.products),
                       lambda cell: cell.error / cell.tolerance_ratio)
    for (op, _, _), curve in sorted(allowed.items()):
        axes.plot(sorted(curve), [curve[T] for T in sorted(curve)], color=looks.of_op(op).color, linewidth=0.6,
                  alpha=0.7, zorder=1)
    if allowed:
        axes.plot([], [], color=style.GREY, linewidth=0.6, label="tolerance")


def error_figure(group, looks, machine, width):
    """Colours and markers are the variants', lines the dtypes'."""
    figure, axes = style.new_figure(width)
    cells = [cell for cell in group.cells if has_error(cell)]
    curves = _largest(cells, lambda cell: (cell.series.op, cell.series.variant, cell.series.dtype),
                      lambda cell: cell.error)
    named = set()
    for (op, variant, dtype), curve in sorted(curves.items()):
        label = None if (op, variant) in named else style.escaped(f"{op} {variant}")
        named.add((op, variant))
        look = {**looks.of(op, variant).plot(), "linestyle": DTYPE_LINES.get(dtype, "-")}
        axes.plot(sorted(curve), [curve[T] for T in sorted(curve)], zorder=3, **look)
        if label:
            axes.plot([], [], label=label, **{**look, "linestyle": "none"})
    for dtype, line in DTYPE_LINES.items():
        if any(of == dtype for _, _, of in curves):
            axes.plot([], [], color=style.GREY, linestyle=line, label=dtype)
    _draw_tolerances(axes, cells, looks)
    axes.set_yscale("log")
    axes.set_ylabel("largest error, relative to the output's scale")
    style.length_axis(axes, [T for curve in curves.values() for T in curve],
                      "context length" if group.mode == "decode" else "sequence length T")
    style.set_title(axes, group.describe(), machine, width)
    style.add_legend(axes, width)
    return figure
