"""Tables of a results file, in Markdown and in LaTeX (with booktabs)."""

import math

import numpy as np

from .scaling import crossing_text, crossovers
from .statistics import fit_power_law


def _significant(value, digits=3):
    """1234567 as 1230000, 0.01234 as 0.0123, without an exponent."""
    if not math.isfinite(value) or value == 0:
        return "–" if not math.isfinite(value) else "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):.{max(places, 0)}f}"


def _with_unit(time_ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if time_ns >= size:
            return f"{_significant(time_ns / size)} {unit}"
    return f"{_significant(time_ns)} ns"


def _time(cell):
    spread = np.std(cell.times_ns, ddof=1) / np.mean(cell.times_ns) if len(cell.times_ns) > 1 else math.nan
    text = _with_unit(cell.median_ns)
    if math.isfinite(spread):
        text += f" ± {_significant(100 * spread, 2)}%"
    return text + ("*" if cell.noisy else "")


def _times(group):
    """T down, variants across."""
    columns = sorted({(cell.series.op, cell.series.variant) for cell in group.cells})
    cells = {(cell.series.op, cell.series.variant, cell.T): cell for cell in group.cells}
    notes = []

    def field(column, T):
        cell = cells.get((*column, T))
        if cell is None:
            return ""
        if cell.timed:
            return _time(cell)
        reason = f"{cell.status}: {cell.reason}" if cell.reason else cell.status
        if reason not in notes:
            notes.append(reason)
        return f"({notes.index(reason) + 1})"

    rows = [[str(T), *(field(column, T) for column in columns)] for T in sorted({cell.T for cell in group.cells})]
    header = ["T", *(f"{op} {variant}" for op, variant in columns)]
    return header, rows, [f"({i + 1}) {note}" for i, note in enumerate(notes)]


def _summary(group):
    """A row per variant, at its longest T."""
    header = ["variant", "T", "ns/token", "GFLOP/s", "GB/s", "of the floor", "exponent (95%)", "error", "of tolerance"]
    rows = []
    for (op, variant), cells in sorted(group.curves().items()):
        cell = cells[-1]
        fit = fit_power_law([(c.T, c.times_ns) for c in cells])
        rows.append([
            f"{op} {variant}", str(cell.T), _significant(cell.median_ns / cell.tokens),
            _significant(cell.flops / cell.median_ns), _significant(cell.bytes / cell.median_ns),
            f"{_significant(cell.median_ns / cell.floor_ns)}×" if cell.floor_ns > 0 else "–",
            f"{fit.exponent:.3f} ± {max(fit.half_width, 0.001):.3f} (T {fit.first} to {fit.last})" if fit else "–",
            f"{cell.error:.1e}" if math.isfinite(cell.error) else "–", _significant(cell.tolerance_ratio, 2)])
    notes = [f"{op} ({challenger}) overtakes attention ({incumbent}) at {crossing_text(crossing)}"
             for op, challenger, incumbent, crossing in crossovers(group)]
    return header, rows, notes


def _markdown_text(text):
    return "".join("\\" + c if c in "\\|*_`<[" else c for c in text)


def _markdown(title, header, rows, notes):
    lines = [f"**{_markdown_text(title)}**", "", "| " + " | ".join(map(_markdown_text, header)) + " |",
             "|" + " ---: |" * len(header)]
    lines += ["| " + " | ".join(map(_markdown_text, row)) + " |" for row in rows]
    lines += [""] + [_markdown_text(note) + "  " for note in notes] + ([""] if notes else [])
    return "\n".join(lines)


LATEX = {"\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "≈": r"$\approx$", "×": r"$\times$",
         "–": "--", "µ": r"\textmu{}"}


def _latex_text(text):
    return "".join(LATEX.get(c, c) for c in text)


def _latex(title, header, rows, notes):
    caption = " ".join([title + "."] + [note + "." for note in notes])
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(caption)}}}",
        rf"\begin{{tabular}}{{{'r' * len(header)}}}", r"\toprule", " & ".join(map(_latex_text, header)) + r" \\",
        r"\midrule", *(" & ".join(map(_latex_text, row)) + r" \\" for row in rows), r"\bottomrule", r"\end{tabular}",
        r"\end{table}", ""])


def write(groups, machine, folder):
    """tables.md and tables.tex. Returns their paths."""
    texts = {"md": [], "tex": ["% needs \\usepackage{booktabs}\n"]}
    for group in groups:
        setting = f"{group.mode}, {group.describe()}, {machine}"
        for title, table in ((f"Summary: {setting}", _summary(group)),
                             (f"Median time, with relative standard deviation (* noisy): {setting}", _times(group))):
            texts["md"].append(_markdown(title, *table))
            texts["tex"].append(_latex(title, *table))
    paths = []
    for extension, parts in texts.items():
        paths.append(folder / f"tables.{extension}")
        paths[-1].write_text("\n".join(parts), encoding="utf-8")
    return paths
