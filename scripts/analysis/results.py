"""Results files of the benchmarks (Google Benchmark's JSON), read from untrusted bytes into cells.

A cell is one variant on one problem. What is wrong with a file is a ResultsError with one line for the user.
"""

import json
import math
import os
import re
import stat
from dataclasses import dataclass

import numpy as np

MAX_FILE_BYTES = 1 << 30
NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
STATUSES = ("timed", "verified", "counted", "skipped", "failed")  # counted: on the emulated device
NAME = re.compile(r"[A-Za-z0-9_.+-]{1,64}")


class ResultsError(Exception):
    pass


@dataclass(frozen=True, order=True)
class Series:
    """What stays the same along a curve over T."""

    op: str
    variant: str
    device: str
    mode: str
    dtype: str
    B: int
    H: int
    N: int
    run_threads: int
    inputs: str


@dataclass(frozen=True)
class Cell:
    series: Series
    T: int
    products: str
    status: str
    reason: str
    error: float  # largest, relative to the output's scale; NaN where nothing was compared
    tolerance_ratio: float
    flops: float
    bytes: float
    floor_ns: float
    set_bytes: float  # inputs and outputs of one problem, states and caches among them
    extra_bytes: float  # scratch memory
    noisy: bool
    times_ns: tuple  # one per repetition; empty unless timed

    @property
    def key(self):
        return (self.series, self.T)

    @property
    def name(self):
        s = self.series
        return (f"{s.op}/{s.variant}/{s.dtype}/{s.mode}/B:{s.B}/T:{self.T}/H:{s.H}/N:{s.N}"
                f"/threads:{s.run_threads}/{s.inputs}")

    @property
    def timed(self):
        return self.status == "timed"

    @property
    def median_ns(self):
        return float(np.median(self.times_ns))

    @property
    def tokens(self):
        return self.series.B * (self.T if self.series.mode == "prefill" else 1)


@dataclass(frozen=True)
class Ceilings:
    fma_flops: float  # per second
    bf16_dot_flops: float  # 0 where the CPU has no such instruction
    bf16_instruction: str  # that it was measured with
    copy: tuple  # (working set in bytes, bytes per second), ascending


@dataclass(frozen=True)
class Results:
    path: str
    machine: str
    ceilings: dict  # of threads
    cells: tuple


class Reader:
    """Typed access to a JSON object; `where` names it in errors."""

    def __init__(self, value, where):
        if not isinstance(value, dict):
            raise ResultsError(f"{where} is not an object")
        self.value, self.where = value, where

    def _get(self, key):
        if key not in self.value:
            raise ResultsError(f"{self.where} has no \"{key}\"")
        return self.value[key]

    def text(self, key, names_only=True):
        value = self._get(key)
        if not isinstance(value, str) or (names_only and not NAME.fullmatch(value)):
            raise ResultsError(f"\"{key}\" of {self.where} is not a {'name' if names_only else 'text'}")
        return "".join(c if c.isprintable() else "?" for c in value)[:500]

    def number(self, key, low=0.0, default=None):
        value = self._get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= 1e300:
            raise ResultsError(f"\"{key}\" of {self.where} is not a number from {low:g} on")
        return float(value)

    def count(self, key, low=1):
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 1 << 53:
            raise ResultsError(f"\"{key}\" of {self.where} is not a whole number from {low} on")
        return value

    def items(self, key):
        value = self._get(key)
        if not isinstance(value, list):
            raise ResultsError(f"\"{key}\" of {self.where} is not a list")
        return value


def read_document(path):
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ResultsError("it is not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise ResultsError(f"it has {status.st_size} bytes, more than any results file")
        with open(path, encoding="utf-8") as file:
            return json.load(file, parse_constant=_refuse_constant)
    except OSError as error:
        raise ResultsError(error.strerror) from None
    except json.JSONDecodeError as error:
        raise ResultsError(f"it is not complete JSON: {error.msg} in line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ResultsError("it is not valid JSON") from None


def _refuse_constant(name):
    raise ValueError(name)


def _cell(entry):
    """The cell of one entry, with that entry's time if it is a repetition."""
    op = entry.text("op")
    if "window" in entry.value:  # with another window it is another operator
        op += f" W={entry.count('window', low=0)}"
    series = Series(
        op=op, variant=entry.text("variant"), device=entry.text("device"), mode=entry.text("mode"),
        dtype=entry.text("dtype"), B=entry.count("B"), H=entry.count("H"), N=entry.count("N"),
        run_threads=entry.count("run_threads"), inputs=entry.text("inputs", names_only=False))
    status = entry.text("status")
    if status not in STATUSES:
        raise ResultsError(f"\"status\" of {entry.where} is \"{status}\"")
    if series.mode not in ("prefill", "decode"):
        raise ResultsError(f"\"mode\" of {entry.where} is \"{series.mode}\"")
    times = ()
    if status == "timed" and entry.text("run_type") == "iteration":
        unit = entry.text("time_unit")
        if unit not in NANOSECONDS:
            raise ResultsError(f"\"time_unit\" of {entry.where} is \"{unit}\"")
        times = (entry.number("real_time", low=1e-30) * NANOSECONDS[unit],)
    return Cell(
        series=series, T=entry.count("T"), products=entry.text("products"), status=status,
        reason=entry.text("reason", names_only=False), error=entry.number("error", default=math.nan),
        tolerance_ratio=entry.number("tolerance_ratio", default=math.nan), flops=entry.number("flops"),
        bytes=entry.number("bytes"), floor_ns=entry.number("floor_ns", default=math.nan),
        set_bytes=entry.number("working_set_bytes") / entry.count("sets"), extra_bytes=entry.number("extra_bytes"),
        noisy=entry.value.get("noisy") is True, times_ns=times)


def _cells(entries):
    cells, times, repetitions = {}, {}, set()
    for number, value in enumerate(entries):
        entry = Reader(value, f"entry {number} of \"benchmarks\"")
        cell = _cell(entry)
        first = cells.setdefault(cell.key, cell)
        if first.status != cell.status:
            raise ResultsError(f"{cell.name} is both {first.status} and {cell.status}")
        if cell.times_ns:
            repetition = (cell.key, entry.value.get("repetition_index"))
            if repetition in repetitions:
                raise ResultsError(f"{cell.name} is there twice")
            repetitions.add(repetition)
            times.setdefault(cell.key, []).extend(cell.times_ns)
    for key, cell in cells.items():
        if cell.timed and key not in times:
            raise ResultsError(f"{cell.name} is timed but has no time")
    return tuple(Cell(**{**vars(cell), "times_ns": tuple(times.get(key, ()))}) for key, cell in cells.items())


def _gpu(context):
    """The name of the GPU that was measured; empty for the CPU and for the emulated device, which is no machine."""
    if "device" not in context.value:
        return ""
    device = Reader(context._get("device"), "the device of its context")
    return "" if device._get("emulated") is True else device.text("name", names_only=False)


def _ceilings(context):
    ceilings = {}
    for number, value in enumerate(context.items("ceilings")):
        entry = Reader(value, f"entry {number} of \"ceilings\"")
        copy = [Reader(level, "a copy bandwidth") for level in entry.items("copy")]
        ceilings[entry.count("threads")] = Ceilings(
            fma_flops=entry.number("fma_flops_per_second"),
            bf16_dot_flops=entry.number("bf16_dot_flops_per_second"),
            bf16_instruction="mma.sync" if _gpu(context) else "dot",
            copy=tuple(sorted((level.number("working_set_bytes"), level.number("bytes_per_second", low=1.0))
                              for level in copy)))
    return ceilings


def load(path):
    """One results file. Raises ResultsError naming it."""
    try:
        document = Reader(read_document(path), "the file")
        context = Reader(document._get("context"), "its context")
        machine = f"{context.text('cpu_model', names_only=False)}, {context.count('num_cpus')} CPUs"
        if gpu := _gpu(context):
            machine = f"{gpu}, {machine}"
        return Results(path=str(path), machine=machine, ceilings=_ceilings(context),
                       cells=_cells(document.items("benchmarks")))
    except ResultsError as error:
        raise ResultsError(f"cannot read {path}: {error}") from None


def load_all(paths):
    """Several files of one machine as one. Raises ResultsError if they are not, or if a cell is in two of them."""
    parts = [load(path) for path in paths]
    cells, ceilings = {}, {}
    for part in parts:
        if part.machine != parts[0].machine:
            raise ResultsError(f"{part.path} is from another machine ({part.machine}) "
                               f"than {parts[0].path} ({parts[0].machine})")
        for cell in part.cells:
            if cell.key in cells:
                raise ResultsError(f"{cell.name} is in {part.path} and in an earlier file")
            cells[cell.key] = cell
        ceilings = {**part.ceilings, **ceilings}
    return Results(path=parts[0].path, machine=parts[0].machine, ceilings=ceilings, cells=tuple(cells.values()))
