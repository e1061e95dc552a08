"""The figure of the error over T: every variant and dtype, on every device, with one mode, shape and kind of inputs."""

import math

from matplotlib import lines

from . import style

DTYPE_LINES = {"f32": "-", "bf16": (0, (5, 1.5)), "f16": (0, (1, 1.2))}


def compared(cells):
    """Those that have an error to draw: 0 has no place on a logarithmic axis."""
    return [cell for cell in cells if cell.status != "failed" and math.isfinite(cell.error) and cell.error > 0]


def error_groups(results):
    """[(suffix of file names, description, cells)]: cells that differ in variant, dtype, threads, device and T only."""
    groups = {}
    for cell in compared(results.cells):
        s = cell.series
        groups.setdefault((s.op, s.mode, s.B, s.H, s.N, s.inputs), []).append(cell)
    named = []
    for (op, mode, B, H, N, inputs), cells in sorted(groups.items()):
        if len({cell.T for cell in cells}) < 2:
            continue
        shown = "" if inputs == "realistic" else f", {inputs} inputs"
        described = f"{op}, {mode}, B={B}, H={H}, N={N}{shown}"
        named.append(((op, mode, f"B{B}", f"H{H}", f"N{N}", inputs), described, cells))
    varying = [i for i in range(6) if len({key[i] for key, _, _ in named}) > 1]
    return [("".join(f"-{style.file_part(key[i])}" for i in varying), described, cells)
            for key, described, cells in named]


def _curves(cells):
    """{(op, variant, dtype): {T: the largest error of all numbers of threads}}"""
    curves = {}
    for cell in cells:
        errors = curves.setdefault((cell.series.op, cell.series.variant, cell.series.dtype), {})
        errors[cell.T] = max(errors.get(cell.T, 0), cell.error)
    return curves
