"""Cells sorted into what belongs into one figure or table."""

import re
from dataclasses import dataclass

DESCRIPTIVE = ("device", "dtype", "B", "H", "N", "run_threads", "inputs")
MOST_CURVES = 10  # of a figure; more cannot be told apart


@dataclass(frozen=True)
class Group:
    """Cells that agree in mode and in some fields."""

    mode: str
    setting: dict  # of the fields: DESCRIPTIVE, where cells differ in operator, variant and T only
    suffix: str  # of file names: "-f32", what tells this group from the file's others
    cells: tuple

    def curves(self):
        """{(op, variant): [cells by T]}, timed ones only."""
        curves = {}
        for cell in sorted(self.cells, key=lambda cell: (cell.series, cell.T)):
            if cell.timed:
                curves.setdefault((cell.series.op, cell.series.variant), []).append(cell)
        return curves

    def shown_curves(self):
        """Those of a figure: all, or of too many each operator's strongest, the fastest where T is longest.

        What reaches a longer T than the others is stronger, even where another one is faster at small T."""
        curves = self.curves()
        if len(curves) <= MOST_CURVES:
            return curves
        weakest_first = sorted(curves, key=lambda key: (curves[key][-1].T, -curves[key][-1].median_ns))
        strongest = dict(weakest_first)  # {operator: its last variant}
        return {(op, variant): cells for (op, variant), cells in curves.items() if strongest[op] == variant}

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
        parts = [f"B={s['B']}", f"H={s['H']}", f"N={s['N']}"]
        if "dtype" in s:
            parts.append(s["dtype"])
        if "run_threads" in s:
            parts.append("1 thread" if s["run_threads"] == 1 else f"{s['run_threads']} threads")
        if s["inputs"] != "realistic":
            parts.append(f"{s['inputs']} inputs")
        return ", ".join(parts)


def groups_of(results, fields=DESCRIPTIVE, wanted=lambda cell: cell.timed):
    """By mode, then in the order of the fields; only groups with a cell that is wanted."""
    cells = {}
    for cell in results.cells:
        key = (cell.series.mode, *(getattr(cell.series, field) for field in fields))
        cells.setdefault(key, []).append(cell)
    kept = {key: group for key, group in cells.items() if any(wanted(cell) for cell in group)}
    varying = [i for i in range(len(fields)) if len({key[1 + i] for key in kept}) > 1]
    groups = []
    for key in sorted(kept, key=lambda key: (key[0] != "prefill", key)):
        setting = dict(zip(fields, key[1:]))
        groups.append(Group(mode=key[0], setting=setting, cells=tuple(kept[key]),
                            suffix="".join(f"-{_part(fields[i], key[1 + i])}" for i in varying)))
    return groups


def _part(field, value):
    text = {"run_threads": f"{value}threads", "B": f"B{value}", "H": f"H{value}", "N": f"N{value}"}.get(field, str(value))
    return re.sub(r"[^A-Za-z0-9_.+]", "_", text)[:60]
