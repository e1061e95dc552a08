"""Cells sorted into what belongs into one figure or table."""

import re
from dataclasses import dataclass

DESCRIPTIVE = ("device", "dtype", "B", "H", "N", "run_threads", "inputs")


@dataclass(frozen=True)
class Group:
    """Cells that differ in operator, variant and T only."""

    mode: str
    setting: dict  # of DESCRIPTIVE
    suffix: str  # of file names: "-f32", what tells this group from the file's others
    cells: tuple

    def curves(self):
        """{(op, variant): [cells by T]}, timed ones only."""
        curves = {}
        for cell in sorted(self.cells, key=lambda cell: (cell.series, cell.T)):
            if cell.timed:
                curves.setdefault((cell.series.op, cell.series.variant), []).append(cell)
        return curves

    def best(self, op):
        """{T: the fastest cell of the operator}."""
        best = {}
        for cell in self.cells:
            if cell.timed and cell.series.op == op:
                if cell.T not in best or cell.median_ns < best[cell.T].median_ns:
                    best[cell.T] = cell
        return best

    def ops(self):
        return sorted({op for op, _ in self.curves()})

    def describe(self):
        s = self.setting
        threads = "1 thread" if s["run_threads"] == 1 else f"{s['run_threads']} threads"
        inputs = "" if s["inputs"] == "realistic" else f", {s['inputs']} inputs"
        return f"B={s['B']}, H={s['H']}, N={s['N']}, {s['dtype']}, {threads}{inputs}"


def groups_of(results):
    """By mode, then in the order of what describes them; only groups with something timed."""
    cells = {}
    for cell in results.cells:
        key = (cell.series.mode, *(getattr(cell.series, field) for field in DESCRIPTIVE))
        cells.setdefault(key, []).append(cell)
    timed = {key: group for key, group in cells.items() if any(cell.timed for cell in group)}
    varying = [i for i in range(len(DESCRIPTIVE)) if len({key[1 + i] for key in timed}) > 1]
    groups = []
    for key in sorted(timed, key=lambda key: (key[0] != "prefill", key)):
        setting = dict(zip(DESCRIPTIVE, key[1:]))
        groups.append(Group(mode=key[0], setting=setting, cells=tuple(timed[key]),
                            suffix="".join(f"-{_part(DESCRIPTIVE[i], key[1 + i])}" for i in varying)))
    return groups


def _part(field, value):
    text = {"run_threads": f"{value}threads", "B": f"B{value}", "H": f"H{value}", "N": f"N{value}"}.get(field, str(value))
    return re.sub(r"[^A-Za-z0-9_.+]", "_", text)[:60]
