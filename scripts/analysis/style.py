"""The one look of all figures: sizes, fonts, a colour, marker and line style per variant, and how a figure is saved."""

import math
import textwrap
from dataclasses import dataclass

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from matplotlib import ticker  # noqa: E402

FORMATS = ("pdf", "svg", "png")
WIDTHS = {"single": 3.4, "double": 7.0}  # inches: one or two columns of a paper

# A row of colours per operator, dark to light, from Okabe and Ito's palette and Paul Tol's for more: told apart by
# colour-blind readers, and an operator's variants look related.
PALETTES = (
    ("#0072b2", "#009e73", "#56b4e9", "#332288", "#44aa99", "#6699cc", "#117733", "#88ccee"),
    ("#d55e00", "#e69f00", "#882255", "#cc6677", "#ddaa33", "#aa4499"),
    ("#7f3c8d", "#cc79a7", "#ee99aa", "#994455"),
    ("#444444", "#777777", "#aaaaaa", "#222222"),
)
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = "osD^vPX*<>hp"
ORDER = ("wkv5", "attention")  # these operators always look the same, whatever else is in a file
GREY = "#666666"

RC = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # TrueType: text that publishers' checks accept and that can be searched
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "wkv-bench",  # ids that do not change from run to run
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.4,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "axes.grid": True,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "savefig.dpi": 300,
}


@dataclass(frozen=True)
class Look:
    color: str
    marker: str
    line: object
    filled: bool

    def plot(self):
        """Keyword arguments of Axes.plot."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.line, "markeredgewidth": 0.8,
                "markerfacecolor": self.color if self.filled else "white"}


class Looks:
    """A look for every (operator, variant) of a file, the same in all of its figures."""

    def __init__(self, pairs):
        ops = sorted({op for op, _ in pairs}, key=lambda op: (ORDER.index(op) if op in ORDER else len(ORDER), op))
        self._looks = {}
        for op in ops:
            row = ORDER.index(op) if op in ORDER else len(ORDER) + [o for o in ops if o not in ORDER].index(op)
            colors = PALETTES[row % len(PALETTES)]
            others = 3 * (row // len(PALETTES))  # looks that operators with the same colors and lines begin with
            for i, variant in enumerate(sorted({v for o, v in pairs if o == op}), start=others):
                self._looks[op, variant] = Look(color=colors[i % len(colors)], marker=MARKERS[i % len(MARKERS)],
                                                line=LINES[row % len(LINES)], filled=row % 2 == 0)

    def of(self, op, variant):
        return self._looks[op, variant]

    def of_op(self, op):
        """The operator's own: its first variant's."""
        return next(look for (name, _), look in self._looks.items() if name == op)


def escaped(text):
    """A name as matplotlib shows it: a dollar would begin a formula."""
    return text.replace("$", r"\$")


def length_label(T, _=None):
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if T >= size and T % size == 0:
            return f"{int(T) // size}{unit}"
    return f"{T:g}"


def length_axis(axes, lengths, label="sequence length T", most_ticks=9):
    """Logarithmic, ticked at powers of two, as many as fit."""
    low, high = min(lengths), max(lengths)
    axes.set_xscale("log", base=2)
    if low < high:
        axes.set_xlim(low / 2**0.4, high * 2**0.4)
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    step = max(1, math.ceil((last - first) / (most_ticks - 1)))
    axes.xaxis.set_major_locator(ticker.FixedLocator([2.0**e for e in range(first, last + 1, step)]))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(length_label))
    axes.set_xlabel(label)


def log_axis(axis, unit):
    """Logarithmic, with labels such as 10 µs; in less than a decade, where there may be no such label, between them."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    label = ticker.EngFormatter(unit=unit, sep="\N{NARROW NO-BREAK SPACE}")

    def minor_label(value, _):
        low, high = axis.get_view_interval()
        return label(value) if high < 10 * low else ""

    axis.set_major_locator(ticker.LogLocator(numticks=12))
    axis.set_major_formatter(label)
    axis.set_minor_formatter(ticker.FuncFormatter(minor_label))


def byte_axis(axis):
    """Logarithmic in powers of two from 1 KiB on, labelled in KiB, MiB, GiB; below it linear down to zero."""
    axis.axes.set_yscale("symlog", base=2, linthresh=1 << 10)
    high = axis.axes.get_ylim()[1]
    powers = range(10, max(11, math.ceil(math.log2(max(high, 2)))) + 1)
    axis.set_major_locator(ticker.FixedLocator([0] + [2.0**power for power in powers if power % 4 == 2]))
    axis.set_major_formatter(ticker.FuncFormatter(byte_label))
    axis.set_minor_locator(ticker.NullLocator())


def byte_label(size, _=None):
    for unit, scale in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.3g} B"


def new_figure(width):
    """A figure and its axes, with room for the legend: right of the axes, or below them in a single column."""
    inches = WIDTHS[width]
    return pyplot.subplots(figsize=(inches, inches * (1.2 if width == "single" else 0.52)), layout="constrained")


def _title(setting, machine, width):
    columns = 100 if width == "double" else 44
    return escaped("\n".join(line for text in (setting, machine) for line in textwrap.wrap(text, columns)))


def set_title(axes, setting, machine, width):
    """What was run where, small, above the axes."""
    axes.set_title(_title(setting, machine, width), loc="left", color=GREY)


def add_legend(axes, width, title=None):
    if width == "double":
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "handlelength": 2.8, "labelspacing": 0.8}
    else:
        place = {"loc": "upper center", "bbox_to_anchor": (0.45, -0.19), "ncols": 2, "handlelength": 2.2,
                 "columnspacing": 0.8, "fontsize": 6.5}
    axes.legend(title=title, title_fontsize=6.5, alignment="left", borderaxespad=0, **place)


def new_panels(width, count):
    """A figure of panels with the same axes, the panels, and the place after the last one for a legend."""
    columns = 3 if width == "double" else 2
    rows = math.ceil((count + 1) / columns)
    inches = WIDTHS[width]
    figure, grid = pyplot.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, layout="constrained",
                                   figsize=(inches, inches / columns * rows * (0.8 if columns > 2 else 1.1)))
    panels = list(grid.flat)
    for empty in panels[count:]:
        empty.set_axis_off()
    for panel in panels[:count]:
        panel.tick_params(labelbottom=True)  # there may be no panel below
    return figure, panels[:count], panels[count]


def name_panel(axes, name, width):
    """Its name and its legend, above a panel."""
    axes.legend(title=escaped(name), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=6,
                title_fontsize=7, alignment="left", handlelength=1, handletextpad=0.4, columnspacing=0.8,
                labelspacing=0.3, ncols=2 if width == "double" else 1)


def finish_panels(figure, rest, setting, machine, width, xlabel, ylabel):
    """What all panels share: title, labels, and the legend of what was drawn in the place that is left."""
    figure.suptitle(_title(setting, machine, width), x=0.01, ha="left", fontsize=RC["axes.titlesize"], color=GREY)
    figure.supxlabel(xlabel, fontsize=RC["axes.labelsize"])
    figure.supylabel(ylabel, fontsize=RC["axes.labelsize"])
    rest.legend(loc="center left", handlelength=2.8)


def save(figure, folder, name, formats):
    """The same input gives the same bytes: no dates, no program versions."""
    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once, not for each format again
    for extension in formats:
        metadata = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None},
                    "svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[extension]
        figure.savefig(folder / f"{name}.{extension}", metadata=metadata)
    pyplot.close(figure)
