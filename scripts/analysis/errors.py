"""The figure of the error over T: every variant and dtype, whatever device and number of threads it ran on."""

import math

from . import style
from .groups import MOST_CURVES

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


def _draw_curves(axes, curves, looks, name):
    """Each variant is named once, by its marker, whatever dtypes it has."""
    named = set()
    for (op, variant, dtype), curve in sorted(curves.items()):
        look = {**looks.of(op, variant).plot(), "linestyle": DTYPE_LINES.get(dtype, "-")}
        axes.plot(sorted(curve), [curve[T] for T in sorted(curve)], zorder=3, **look)
        if (op, variant) not in named:
            axes.plot([], [], label=style.escaped(name(op, variant)), **{**look, "linestyle": "none"})
        named.add((op, variant))


def _explain_lines(axes, curves, cells):
    for dtype, line in DTYPE_LINES.items():
        if any(of == dtype for _, _, of in curves):
            axes.plot([], [], color=style.GREY, linestyle=line, label=dtype)
    if any(cell.tolerance_ratio > 0 for cell in cells):
        axes.plot([], [], color=style.GREY, linewidth=0.6, label="tolerance")


def error_figure(group, looks, machine, width):
    """Colours and markers are the variants', lines the dtypes'. Too many curves get a panel for each operator."""
    cells = [cell for cell in group.cells if has_error(cell)]
    curves = _largest(cells, lambda cell: (cell.series.op, cell.series.variant, cell.series.dtype),
                      lambda cell: cell.error)
    lengths = [T for curve in curves.values() for T in curve]
    xlabel = "context length" if group.mode == "decode" else "sequence length T"
    ops = sorted({op for op, _, _ in curves})
    if len(curves) <= MOST_CURVES or len(ops) == 1:
        figure, axes = style.new_figure(width)
        _draw_curves(axes, curves, looks, lambda op, variant: f"{op} {variant}")
        _explain_lines(axes, curves, cells)
        _draw_tolerances(axes, cells, looks)
        axes.set_yscale("log")
        axes.set_ylabel("largest error,\nrelative to the output's scale")
        style.length_axis(axes, lengths, xlabel)
        style.set_title(axes, group.describe(), machine, width)
        style.add_legend(axes, width)
        return figure
    figure, panels, rest = style.new_panels(width, len(ops))
    for op, axes in zip(ops, panels):
        _draw_curves(axes, {key: curve for key, curve in curves.items() if key[0] == op}, looks,
                     lambda _, variant: variant)
        _draw_tolerances(axes, [cell for cell in cells if cell.series.op == op], looks)
        axes.set_yscale("log")
        style.length_axis(axes, lengths, label=None, most_ticks=5)
        style.name_panel(axes, op, width)
    _explain_lines(rest, curves, cells)
    style.finish_panels(figure, rest, group.describe(), machine, width, xlabel,
                        "largest error, relative to the output's scale")
    return figure
