"""Whole models (bench_model): their results files, and figures of prefill, decode, generation, memory and parts."""

from dataclasses import dataclass

import numpy as np

from . import results, style
from .scaling import draw_curve, exponent_text
from .statistics import fit_power_law

KINDS = ("prefill", "decode", "generation")
PARTS = ("projections", "mixer", "channel mixing", "head", "elementwise")
PART_COLORS = ("#0072b2", "#d55e00", "#56b4e9", "#cc79a7", "#999999")


@dataclass(frozen=True)
class ModelCell:
    architecture: str
    kind: str
    dtype: str
    T: int
    run_threads: int
    parameters: int
    weight_bytes: float
    activation_bytes: float
    state_bytes: float
    times_ns: tuple  # empty unless timed
    parts_ns: tuple  # in the order of PARTS

    @property
    def median_ns(self):
        return float(np.median(self.times_ns))


@dataclass(frozen=True)
class ModelResults:
    machine: str
    model: str
    cells: tuple

    def curves(self, kind):
        """{architecture: [timed cells by T]}, RWKV first."""
        curves = {}
        for cell in sorted(self.cells, key=lambda cell: (not cell.architecture.startswith("rwkv"), cell.architecture,
                                                         cell.T)):
            if cell.kind == kind and cell.times_ns:
                curves.setdefault(cell.architecture, []).append(cell)
        return curves

    def describe(self, cells):
        threads = "1 thread" if cells[0].run_threads == 1 else f"{cells[0].run_threads} threads"
        return f"{self.model}, {cells[0].parameters / 1e6:.3g} M parameters, {cells[0].dtype}, {threads}"


def _cell(entry):
    kind, status = entry.text("kind"), entry.text("status")
    if kind not in KINDS or status not in ("timed", "skipped"):
        raise results.ResultsError(f"{entry.where} is neither prefill, decode nor generation, timed or skipped")
    times, parts = (), ()
    if status == "timed":
        times = tuple(results.Reader({"time": time}, f"a time of {entry.where}").number("time", low=1e-30)
                      for time in entry.items("times_ns"))
        by_name = results.Reader(entry.value.get("parts_ns"), f"\"parts_ns\" of {entry.where}")
        parts = tuple(by_name.number(part) for part in PARTS)
        if not times:
            raise results.ResultsError(f"{entry.where} is timed but has no time")
    return ModelCell(
        architecture=entry.text("architecture"), kind=kind, dtype=entry.text("dtype"), T=entry.count("T"),
        run_threads=entry.count("run_threads"), parameters=entry.count("parameters"),
        weight_bytes=entry.number("weight_bytes"), activation_bytes=entry.number("activation_bytes"),
        state_bytes=entry.number("state_bytes"), times_ns=times, parts_ns=parts)


def load(path):
    """A results file of bench_model; None if it is another program's. Raises ResultsError."""
    try:
        document = results.Reader(results.read_document(path), "the file")
        context = results.Reader(document.value.get("context"), "its context")
        if context.value.get("program") != "bench_model":
            return None
        cells = tuple(_cell(results.Reader(value, f"entry {number} of \"cells\""))
                      for number, value in enumerate(document.items("cells")))
        machine = f"{context.text('cpu_model', names_only=False)}, {context.count('num_cpus')} CPUs"
        model = context.text("model", names_only=False).rsplit("/", 1)[-1]
        if not any(cell.times_ns for cell in cells):
            raise results.ResultsError("nothing is timed in it")
        return ModelResults(machine=machine, model=model, cells=cells)
    except results.ResultsError as error:
        raise results.ResultsError(f"cannot read {path}: {error}") from None


def _looks(loaded):
    names = {cell.architecture for cell in loaded.cells}
    return style.Looks({("wkv5" if name.startswith("rwkv") else "attention" if name == "transformer" else name, name)
                        for name in names})


def _look(looks, architecture):
    op = "wkv5" if architecture.startswith("rwkv") else "attention" if architecture == "transformer" else architecture
    return looks.of(op, architecture)


def _time_figure(loaded, kind, width, ylabel, xlabel):
    curves = loaded.curves(kind)
    looks = _looks(loaded)
    figure, axes = style.new_figure(width)
    style.log_axis(axes.yaxis, "s")
    style.length_axis(axes, [cell.T for cells in curves.values() for cell in cells], xlabel)
    axes.set_ylabel(ylabel)
    for architecture, cells in curves.items():
        fit = fit_power_law([(cell.T, cell.times_ns) for cell in cells])
        label = f"{architecture}:  {exponent_text(fit)}" if fit else architecture
        draw_curve(axes, cells, _look(looks, architecture), label, lambda cell: 1e-9)
    style.set_title(axes, loaded.describe(next(iter(curves.values()))), loaded.machine, width)
    style.add_legend(axes, width, title="exponent of T, with its 95% interval")
    return figure


def _memory_figure(loaded, width):
    """State or cache of each model, thick; activations of a prefill; the weights, which all have in common."""
    figure, axes = style.new_figure(width)
    looks = _looks(loaded)
    kinds = [kind for kind in KINDS if loaded.curves(kind)]
    lengths = {}
    for architecture in loaded.curves(kinds[0]):
        look = _look(looks, architecture)
        # What is known without running, so of skipped cells too.
        cells = sorted((cell for cell in loaded.cells if cell.architecture == architecture and cell.kind == "prefill"),
                       key=lambda cell: cell.T)
        T = [cell.T for cell in cells]
        lengths.update(dict.fromkeys(T))
        axes.plot(T, [cell.state_bytes for cell in cells], color=look.color, linestyle=look.line, linewidth=2.4,
                  alpha=0.45, label=f"{architecture} {'cache' if architecture == 'transformer' else 'state'}", zorder=2)
        axes.plot(T, [cell.activation_bytes for cell in cells], label=f"{architecture} activations", zorder=3,
                  **look.plot())
    weights = max(cell.weight_bytes for cell in loaded.cells)
    axes.axhline(weights, color=style.GREY, linewidth=0.8, label="weights")
    axes.set_ylim(0, 4 * max(weights, *(cell.state_bytes + cell.activation_bytes for cell in loaded.cells)))
    style.byte_axis(axes.yaxis)
    style.length_axis(axes, list(lengths))
    axes.set_ylabel("memory of one sequence's prefill")
    style.set_title(axes, loaded.describe(loaded.cells), loaded.machine, width)
    style.add_legend(axes, width)
    return figure


def _parts_figure(loaded, width):
    """Where the time of a token goes: of each model's longest prefill and of decode after its longest context."""
    figure, axes = style.new_figure(width)
    bars = []
    for kind in ("prefill", "decode"):
        for architecture, cells in loaded.curves(kind).items():
            bars.append((f"{architecture}\n{kind}, T={style.length_label(cells[-1].T)}", cells[-1]))
    places = np.arange(len(bars))[::-1]
    left = np.zeros(len(bars))
    for part, name in enumerate(PARTS):
        shares = np.array([100 * cell.parts_ns[part] / max(sum(cell.parts_ns), 1e-30) for _, cell in bars])
        axes.barh(places, shares, left=left, height=0.7, color=PART_COLORS[part], label=name)
        left += shares
    axes.set_yticks(places, [name for name, _ in bars])
    axes.tick_params(axis="y", labelsize=6)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the time (%)")
    style.set_title(axes, loaded.describe(loaded.cells), loaded.machine, width)
    style.add_legend(axes, width)
    return figure


def figures(loaded, width):
    """(name, figure) of every figure that the file has data for."""
    labels = {"prefill": ("time of one prefill", "sequence length T"),
              "decode": ("latency of one token", "context length"),
              "generation": ("cumulative time of generation", "tokens generated")}
    for kind in KINDS:
        curves = loaded.curves(kind)
        if curves and max(len(cells) for cells in curves.values()) > 1:
            yield f"model-{kind}", _time_figure(loaded, kind, width, *labels[kind])
    if len({cell.T for cell in loaded.cells if cell.kind == "prefill"}) > 1:
        yield "model-memory", _memory_figure(loaded, width)
    if loaded.curves("prefill") or loaded.curves("decode"):
        yield "model-parts", _parts_figure(loaded, width)
