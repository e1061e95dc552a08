#!/usr/bin/python3
"""Tests of scripts/plot, scripts/compare and what they are made of."""

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import synthetic_results as synthetic  # noqa: E402
from analysis import errors, models, results, statistics, style, tables  # noqa: E402
from analysis.groups import groups_of  # noqa: E402
from analysis.scaling import crossovers  # noqa: E402


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, content, name="run.json"):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def run_script(self, name, *arguments):
        return subprocess.run([str(ROOT / "scripts" / name), *map(str, arguments)], capture_output=True, text=True,
                              env={**os.environ, "SOURCE_DATE_EPOCH": "0"})


class Statistics(unittest.TestCase):
    def test_student_t_quantiles_are_those_of_the_tables(self):
        for dof, quantile in {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 10: 2.2281, 30: 2.0423}.items():
            self.assertAlmostEqual(statistics.student_t_quantile(0.975, dof), quantile, places=4)

    def test_an_exact_power_law_is_found_with_no_uncertainty(self):
        fit = statistics.fit_power_law([(2**i, [3.0 * 2 ** (1.5 * i)] * 5) for i in range(12)])
        self.assertAlmostEqual(fit.exponent, 1.5)
        self.assertLess(fit.half_width, 1e-9)
        self.assertAlmostEqual(fit(100), 3000)
        self.assertEqual((fit.first, fit.last, fit.points), (64, 2048, 6))

    def test_the_fit_leaves_out_the_start_where_constant_costs_dominate(self):
        fit = statistics.fit_power_law([(T, [1e4 + T]) for T in [2**i for i in range(41)]])
        self.assertEqual(fit.first, 2**20)
        self.assertAlmostEqual(fit.exponent, 1, places=2)

    def test_the_interval_covers_the_true_exponent_about_95_times_in_100(self):
        noise, covered = random.Random(5), 0
        for _ in range(400):
            points = []
            for i in range(16):
                shift = noise.gauss(0, 0.05)  # of the cell, not seen in its repetitions
                points.append((2**i, [2.0 ** (2 * i) * math.exp(shift + noise.gauss(0, 0.002)) for _ in range(5)]))
            fit = statistics.fit_power_law(points)
            covered += abs(fit.exponent - 2) <= fit.half_width
        self.assertTrue(360 <= covered <= 396, covered)

    def test_a_noisy_point_weighs_less(self):
        def points(outlier):
            return [(2**i, [2.0**i * f for f in (outlier if i == 8 else (1, 1, 1))]) for i in range(9)]

        sure = statistics.fit_power_law(points((2, 2, 2))).exponent
        unsure = statistics.fit_power_law(points((1, 2, 3))).exponent
        self.assertGreater(sure, unsure)
        self.assertGreater(unsure, 1)

    def test_two_points_are_too_few_for_an_exponent(self):
        self.assertIsNone(statistics.fit_power_law([(1024, [1.0]), (2048, [2.0])]))
        self.assertIsNone(statistics.fit_power_law([]))

    def test_the_crossover_is_where_the_lines_meet(self):
        lengths = [2**i for i in range(12)]
        crossing = statistics.crossover({T: 300.0 * T for T in lengths}, {T: float(T * T) for T in lengths})
        self.assertAlmostEqual(crossing.T, 300)
        self.assertAlmostEqual(crossing.time, 90000)

    def test_no_crossover_where_one_is_ahead_throughout_or_at_the_end(self):
        self.assertIsNone(statistics.crossover({1: 1.0, 2: 2.0}, {1: 2.0, 2: 3.0}))
        self.assertIsNone(statistics.crossover({1: 1.0, 2: 4.0}, {1: 2.0, 2: 3.0}))
        self.assertIsNone(statistics.crossover({1: 1.0}, {2: 2.0}))

    def test_the_last_crossover_counts(self):
        crossing = statistics.crossover({1: 1.0, 2: 9.0, 4: 1.0, 8: 9.0, 16: 1.0}, dict.fromkeys([1, 2, 4, 8, 16], 3.0))
        self.assertAlmostEqual(crossing.T, math.sqrt(8 * 16))

    def test_the_interval_of_a_ratio_tells_noise_from_change(self):
        noise = random.Random(3)
        times = [noise.gauss(100, 5) for _ in range(9)]
        again = [noise.gauss(100, 5) for _ in range(9)]
        same = statistics.ratio_of_medians(again, times)
        self.assertTrue(same.low < 1 < same.high)
        slower = statistics.ratio_of_medians([1.5 * t for t in times], times)
        self.assertGreater(slower.low, 1)
        self.assertEqual(slower, statistics.ratio_of_medians([1.5 * t for t in times], times))


class Loading(InFolder):
    def refusal(self, content):
        path = self.write(content)
        with self.assertRaises(results.ResultsError) as caught:
            results.load(path)
        message = str(caught.exception)
        self.assertTrue(message.startswith(f"cannot read {path}: "), message)
        self.assertNotIn("\n", message)
        return message.removeprefix(f"cannot read {path}: ")

    def changed(self, **changes):
        entries = synthetic.entry("wkv5", "cpu_serial", 64, 1e6)
        entries[0].update(changes)
        return synthetic.document([entries])

    def test_cells_and_ceilings(self):
        loaded = results.load(self.write(synthetic.document([synthetic.entry("wkv5", "cpu_serial", 64, 1e6)])))
        (cell,) = loaded.cells
        self.assertEqual((cell.series.op, cell.series.variant, cell.T, cell.tokens), ("wkv5", "cpu_serial", 64, 64))
        self.assertEqual(len(cell.times_ns), 5)  # the aggregates are not among them
        self.assertAlmostEqual(cell.median_ns, 1e6, delta=3e4)
        self.assertEqual(loaded.ceilings[2].fma_flops, 1.1e11)

    def test_times_are_converted_from_their_unit(self):
        (cell,) = results.load(self.write(self.changed(time_unit="us"))).cells
        self.assertAlmostEqual(max(cell.times_ns), 1e9, delta=3e7)

    def test_skipped_and_failed_cells_have_no_time(self):
        loaded = results.load(self.write(synthetic.document(
            [synthetic.entry("wkv5", "cpu_a", 64, 0, status="skipped", reason="too long", error=None)])))
        self.assertEqual(loaded.cells[0].times_ns, ())
        self.assertTrue(math.isnan(loaded.cells[0].error))

    def test_with_another_window_it_is_another_operator(self):
        loaded = results.load(self.write(synthetic.document(
            [synthetic.entry("aft", "cpu_a", 64, 1e6), synthetic.entry("aft", "cpu_a", 64, 1e6, window=0)])))
        self.assertEqual([cell.series.op for cell in loaded.cells], ["aft", "aft W=0"])

    def test_damaged_files_get_one_line(self):
        whole = json.dumps(self.changed())
        for content, message in [
                ("", "it is not complete JSON: Expecting value in line 1"),
                (whole[: len(whole) // 2], "it is not complete JSON: "),
                ("[" * 100_000, "it is not valid JSON"),
                ("[NaN]", "it is not valid JSON"),
                ("[]", "the file is not an object"),
                ("{}", 'the file has no "context"'),
                (synthetic.document([], cpu_model=3), '"cpu_model" of its context is not a text'),
                ({**synthetic.document([]), "benchmarks": 3}, '"benchmarks" of the file is not a list'),
                ({**synthetic.document([]), "benchmarks": [3]}, 'entry 0 of "benchmarks" is not an object'),
                (self.changed(T=0), '"T" of entry 0 of "benchmarks" is not a whole number from 1 on'),
                (self.changed(T=True), '"T" of entry 0 of "benchmarks" is not a whole number from 1 on'),
                (self.changed(T=10**400), '"T" of entry 0 of "benchmarks" is not a whole number from 1 on'),
                (self.changed(real_time=-1), '"real_time" of entry 0 of "benchmarks" is not a number from 1e-30 on'),
                (self.changed(real_time="1"), '"real_time" of entry 0 of "benchmarks" is not a number from 1e-30 on'),
                (self.changed(op="../$x$"), '"op" of entry 0 of "benchmarks" is not a name'),
                (self.changed(status="fine"), '"status" of entry 0 of "benchmarks" is "fine"'),
                (self.changed(time_unit="h"), '"time_unit" of entry 0 of "benchmarks" is "h"'),
                (self.changed(repetition_index=1), "wkv5/cpu_serial/f32/prefill/B:1/T:64/H:32/N:64/threads:2/realistic"
                                                   " is there twice"),
                (self.changed(status="failed"), "wkv5/cpu_serial/f32/prefill/B:1/T:64/H:32/N:64/threads:2/realistic"
                                                " is both failed and timed")]:
            with self.subTest(message):
                self.assertTrue(self.refusal(content).startswith(message), self.refusal(content))

    def test_what_is_no_file_gets_one_line(self):
        os.mkfifo(self.folder / "pipe")
        for name, message in (("none", "No such file or directory"), ("pipe", "it is not a regular file"),
                              (".", "it is not a regular file")):
            with self.assertRaisesRegex(results.ResultsError, message):
                results.load(self.folder / name)

    def test_mutated_files_are_read_or_refused(self):
        whole = json.dumps(synthetic.document(synthetic.sweep(lengths=(1, 64))))
        noise, refused = random.Random(1), 0
        for _ in range(600):
            text = list(whole)
            for _ in range(noise.randint(1, 4)):
                at = noise.randrange(len(text))
                text[at: at + noise.randint(0, 3)] = noise.choice(['"', "{", "}", "[", "]", ",", "-1", "null", "1e999", ""])
            path = self.write("".join(text))
            try:
                tables.write(groups_of(results.load(path)), "machine", self.folder)
            except results.ResultsError as error:
                self.assertNotIn("\n", str(error))
                refused += 1
        self.assertGreater(refused, 200)

    def test_several_files_are_one_if_the_machine_is(self):
        one = self.write(synthetic.document([synthetic.entry("wkv5", "cpu_a", 64, 1e6)]), "1.json")
        two = self.write(synthetic.document([synthetic.entry("wkv5", "cpu_a", 128, 2e6)]), "2.json")
        other = self.write(synthetic.document([synthetic.entry("wkv5", "cpu_a", 256, 2e6)], num_cpus=4), "3.json")
        self.assertEqual([cell.T for cell in results.load_all([one, two]).cells], [64, 128])
        with self.assertRaisesRegex(results.ResultsError, "is in .*1.json and in an earlier file"):
            results.load_all([one, one])
        with self.assertRaisesRegex(results.ResultsError, "from another machine"):
            results.load_all([one, other])

    def test_a_gpu_is_part_of_the_machine_and_the_emulated_device_is_not(self):
        cells = [synthetic.entry("wkv5", "cuda_a", 64, 1e6)]
        device = {"name": "GPU A", "emulated": False}
        one = self.write(synthetic.document(cells, device=device), "1.json")
        other = self.write(synthetic.document(cells, device={**device, "name": "GPU B"}), "2.json")
        emulated = self.write(synthetic.document(cells, device={"name": "emulated sm_90", "emulated": True}), "3.json")
        self.assertEqual(results.load(one).machine, "GPU A, AMD EPYC 7R13, 2 CPUs")
        self.assertEqual(results.load(one).ceilings[2].bf16_instruction, "mma.sync")
        self.assertEqual(results.load(emulated).machine, "AMD EPYC 7R13, 2 CPUs")
        with self.assertRaisesRegex(results.ResultsError, "from another machine .GPU B"):
            results.load_all([one, other])
        with self.assertRaisesRegex(results.ResultsError, "the device of its context has no \"name\""):
            results.load(self.write(synthetic.document(cells, device={"emulated": False}), "4.json"))


class Tables(InFolder):
    def test_every_cell_is_there_and_skipped_ones_have_their_reason(self):
        loaded = results.load(self.write(synthetic.document(synthetic.sweep())))
        paths = tables.write(groups_of(loaded), loaded.machine, self.folder)
        markdown, latex = (path.read_text() for path in paths)
        self.assertEqual(len(re.findall(r"^\| \d+ \|", markdown, re.M)), 17)
        self.assertIn("skipped: unsupported: the CPU has no AVX-512 BF16", markdown)
        self.assertIn(r"wkv5 cpu\_chunked", latex)
        self.assertEqual(latex.count(r"\begin{tabular}"), latex.count(r"\end{tabular}"))

    def test_the_crossover_names_the_best_variants(self):
        loaded = results.load(self.write(synthetic.document(synthetic.sweep())))
        ((op, challenger, incumbent, crossing),) = crossovers(groups_of(loaded)[0])
        self.assertEqual((op, challenger, incumbent), ("wkv5", "cpu_chunked", "cpu_tiled"))
        self.assertTrue(64 < crossing.T < 128)

    def test_of_many_curves_each_operators_strongest_is_shown(self):
        rivals = [synthetic.entry(op, f"cpu_{i}", T, 1000.0 * T * (1 + i)) for op in ("aft", "wkv4") for i in range(3)
                  for T in (1, 2, 4 + 4 * (i == 2))]
        few = groups_of(results.load(self.write(synthetic.document(rivals))))[0]
        self.assertEqual(few.shown_curves(), few.curves())
        many = groups_of(results.load(self.write(synthetic.document(synthetic.sweep() + rivals))))[0]
        self.assertEqual(set(many.shown_curves()), {("wkv5", "cpu_chunked"), ("attention", "cpu_tiled"), ("aft", "cpu_2"),
                                                   ("wkv4", "cpu_2")})

    def test_gemm_overtakes_nothing(self):
        cells = [synthetic.entry(op, "cpu_tiled", T, time) for op, power in (("gemm", 1), ("attention", 2))
                 for T in (1, 16, 256) for time in [100.0 * T**power + 1000 * (op == "gemm")]]
        self.assertEqual(crossovers(groups_of(results.load(self.write(synthetic.document(cells))))[0]), [])


class Plot(InFolder):
    def test_the_figures_of_a_whole_run_are_the_same_bytes_each_time(self):
        path = self.write(synthetic.document(synthetic.sweep() + synthetic.sweep(mode="decode")))
        for out in ("a", "b"):
            done = self.run_script("plot", path, "--out", self.folder / out, "--format", "pdf,svg")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = {entry.name for entry in (self.folder / "a").iterdir()}
        figures = ("time", "time-per-token", "memory", "roofline", "latency", "memory-decode", "roofline-decode",
                   "error", "error-decode")
        self.assertEqual(names, {f"{figure}.{kind}" for figure in figures for kind in ("pdf", "svg")}
                         | {"tables.md", "tables.tex"})
        for name in names:
            self.assertEqual((self.folder / "a" / name).read_bytes(), (self.folder / "b" / name).read_bytes(), name)
        self.assertIn(b"/FontFile2", (self.folder / "a" / "time.pdf").read_bytes())

    def test_groups_are_told_apart_by_name_and_land_beside_the_file(self):
        path = self.write(synthetic.document(
            [synthetic.entry("wkv5", "cpu_a", T, 1e4 * T, dtype=dtype, inputs=inputs)
             for T in (1, 64) for dtype, inputs in (("f32", "realistic"), ("bf16", "../x y.safetensors"))]))
        done = self.run_script("plot", path, "--format", "svg", "--width", "single")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder / "run" / "time-f32-realistic.svg").exists())
        self.assertTrue((self.folder / "run" / "time-bf16-.._x_y.safetensors.svg").exists())

    def test_errors_are_drawn_without_a_time_and_of_all_dtypes_and_devices_together(self):
        cells = [synthetic.entry("wkv5", f"{device}_a", T, 0, status=status, dtype=dtype, error=1e-7 * T,
                                 tolerance_ratio=0.1, device=shown, H=H)
                 for device, shown, status in (("cpu", "cpu", "verified"), ("cuda", "emulated", "counted"))
                 for dtype in ("f32", "bf16") for T in (1, 64) for H in (1, 2)]
        cells.append(synthetic.entry("wkv5", "cpu_a", 64, 0, status="failed", reason="y is NaN", error=1e300, H=3))
        done = self.run_script("plot", self.write(synthetic.document(cells)), "--format", "svg")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual({entry.name for entry in (self.folder / "run").iterdir()}, {"error-H1.svg", "error-H2.svg"})

    def test_an_error_figure_has_the_largest_error_of_each_length(self):
        loaded = results.load(self.write(synthetic.document(
            [synthetic.entry("wkv5", "cpu_a", T, 0, status="verified", error=error, run_threads=threads)
             for T, threads, error in ((1, 1, 1e-7), (1, 2, 3e-7), (64, 1, 2e-6), (64, 2, 1e-6))])))
        group, = groups_of(loaded, errors.FIELDS, errors.has_error)
        figure = errors.error_figure(group, style.Looks({("wkv5", "cpu_a")}), loaded.machine, "double")
        drawn = [list(line.get_ydata()) for line in figure.axes[0].lines]
        style.pyplot.close(figure)
        self.assertIn([3e-7, 2e-6], drawn)
        self.assertIn([3e-6, 2e-5], [[float(f"{y:.6g}") for y in line] for line in drawn])  # tolerances, by their ratio

    def test_errors_of_many_curves_have_a_panel_for_each_operator(self):
        entries = [synthetic.entry(op, f"cpu_{i}", T, 0, status="verified", error=1e-7 * T * (1 + i))
                   for op in ("aft", "gemm", "wkv4", "wkv5") for i in range(3) for T in (1, 64)]
        loaded = results.load(self.write(synthetic.document(entries)))
        group, = groups_of(loaded, errors.FIELDS, errors.has_error)
        for width, columns in (("double", 3), ("single", 2)):
            figure = errors.error_figure(group, style.Looks({(cell.series.op, cell.series.variant)
                                                             for cell in loaded.cells}), loaded.machine, width)
            panels = [axes for axes in figure.axes if axes.axison]
            self.assertEqual([axes.get_legend().get_title().get_text() for axes in panels],
                             ["aft", "gemm", "wkv4", "wkv5"])
            for axes in panels:
                self.assertEqual([text.get_text() for text in axes.get_legend().get_texts()],
                                 ["cpu_0", "cpu_1", "cpu_2"])
                drawn = [list(line.get_ydata()) for line in axes.lines]
                for i in range(3):
                    self.assertIn([1e-7 * (1 + i), 1e-7 * 64 * (1 + i)], drawn)
            rest = figure.axes[4].get_legend()
            self.assertEqual([text.get_text() for text in rest.get_texts()], ["f32", "tolerance"])
            self.assertEqual(panels[0].get_subplotspec().get_gridspec().ncols, columns)
            style.pyplot.close(figure)

    def test_no_label_is_cut_off(self):
        few = [synthetic.entry("wkv5", "cpu_a", T, 0, status="verified", error=1e-7 * T) for T in (1, 64)]
        many = [synthetic.entry(op, f"cpu_variant_{i}", T, 0, status="verified", error=1e-7 * T)
                for op in ("aft", "attention", "gemm", "gru", "lstm", "wkv4", "wkv5") for i in range(4) for T in (1, 64)]
        for entries in (few, many):
            loaded = results.load(self.write(synthetic.document(entries)))
            group, = groups_of(loaded, errors.FIELDS, errors.has_error)
            looks = style.Looks({(cell.series.op, cell.series.variant) for cell in loaded.cells})
            for width in style.WIDTHS:
                with style.pyplot.rc_context(style.RC):
                    figure = errors.error_figure(group, looks, loaded.machine, width)
                    figure.canvas.draw()
                    drawn, page = figure.get_tightbbox(), figure.get_size_inches()
                    style.pyplot.close(figure)
                self.assertGreaterEqual(min(drawn.x0, drawn.y0), -0.01, (width, len(entries)))
                self.assertLessEqual(drawn.x1, page[0] + 0.01, (width, len(entries)))
                self.assertLessEqual(drawn.y1, page[1] + 0.01, (width, len(entries)))

    def test_what_is_wrong_is_said_in_one_line(self):
        untimed = self.write(synthetic.document([synthetic.entry("wkv5", "cpu_a", 1, 0, status="verified")]))
        for arguments in ([self.folder / "none.json"], [untimed], [untimed, "--format", "gif"], [], ["--nonsense"],
                          [untimed, "--out", untimed]):
            done = self.run_script("plot", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertRegex(done.stderr, r"\Aplot: [^\n]+\n\Z")


class PlotModel(InFolder):
    def document(self, **changes):
        cells = []
        for architecture, power in (("rwkv-5.2", 1), ("transformer", 2)):
            for kind in ("prefill", "decode", "generation"):
                for T in (1, 16, 256):
                    timed = T < 256 or architecture != "transformer"
                    cells.append({
                        "architecture": architecture, "kind": kind, "dtype": "f32", "T": T, "run_threads": 2,
                        "parameters": 10**8, "status": "timed" if timed else "skipped", "reason": "", "weight_bytes": 4e8,
                        "activation_bytes": 1e4 * T, "state_bytes": 1e6 * (T if power == 2 else 1),
                        "times_ns": [1e6 * T**power] * 3 if timed else [], **({"parts_ns": {
                            "projections": 4e5, "mixer": 1e5, "channel mixing": 4e5, "head": 5e4,
                            "elementwise": 5e4}} if timed else {}), **changes})
        return {"context": {"program": "bench_model", "model": "0.1b", "cpu_model": "a CPU", "num_cpus": 2},
                "cells": cells}

    def test_a_file_of_bench_model_gives_its_figures_the_same_bytes_each_time(self):
        path = self.write(self.document())
        for out in ("a", "b"):
            done = self.run_script("plot", path, "--out", self.folder / out, "--format", "svg")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = {entry.name for entry in (self.folder / "a").iterdir()}
        self.assertEqual(names, {f"model-{name}.svg" for name in ("prefill", "decode", "generation", "memory", "parts")})
        for name in names:
            self.assertEqual((self.folder / "a" / name).read_bytes(), (self.folder / "b" / name).read_bytes(), name)

    def test_exponents_are_those_of_the_times(self):
        loaded = models.load(self.write(self.document()))
        curves = loaded.curves("prefill")
        self.assertEqual(list(curves), ["rwkv-5.2", "transformer"])
        self.assertEqual([cell.T for cell in curves["transformer"]], [1, 16])
        self.assertEqual([cell.median_ns for cell in curves["rwkv-5.2"]], [1e6, 16e6, 256e6])

    def test_what_is_wrong_is_said_in_one_line(self):
        for changes in ({"kind": "training"}, {"T": 0}, {"times_ns": ["1"]}, {"parts_ns": None}, {"status": "failed"},
                        {"architecture": "a/b"}, {"state_bytes": -1}):
            done = self.run_script("plot", self.write(self.document(**changes)))
            self.assertEqual(done.returncode, 2, changes)
            self.assertRegex(done.stderr, r"\Aplot: [^\n]+\n\Z")


class Compare(InFolder):
    def compare(self, old, new, *options):
        return self.run_script("compare", self.write(synthetic.document(old), "old.json"),
                               self.write(synthetic.document(new), "new.json"), *options)

    def test_two_runs_of_the_same_are_the_same(self):
        cells = [synthetic.entry("wkv5", "cpu_a", T, 1e4 * T, seed=1) for T in (64, 128)]
        again = [synthetic.entry("wkv5", "cpu_a", T, 1e4 * T, seed=2) for T in (64, 128)]
        done = self.compare(cells, again)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("2 cells: 2 same", done.stdout)

    def test_each_kind_of_regression_is_found_and_named(self):
        old = [synthetic.entry("wkv5", "cpu_a", 64, 1e6), synthetic.entry("wkv5", "cpu_b", 64, 1e6)]
        for new, verdict in [
                (synthetic.entry("wkv5", "cpu_a", 64, 1.2e6), "SLOWER"),
                (synthetic.entry("wkv5", "cpu_a", 64, 1e6, error=1e-5), "WORSE"),
                (synthetic.entry("wkv5", "cpu_a", 64, 0, status="failed", reason="y is NaN"), "LOST"),
                (synthetic.entry("wkv5", "cpu_a", 64, 0, status="skipped", reason="too long"), "LOST"),
                (synthetic.entry("wkv5", "cpu_a", 128, 2e6), "LOST"),
                (synthetic.entry("wkv5", "cpu_c", 64, 0, status="failed", reason="y is NaN"), "FAILED")]:
            done = self.compare(old, [new, old[1]])
            self.assertEqual(done.returncode, 1, verdict)
            self.assertIn(verdict, done.stdout)

    def test_the_errors_of_counted_cells_are_compared_too(self):
        def counted(error):
            return [synthetic.entry("wkv5", "cuda_a", 64, 0, status="counted", device="emulated", error=error)]

        self.assertEqual(self.compare(counted(1e-6), counted(1e-6)).returncode, 0)
        self.assertIn("WORSE", self.compare(counted(1e-6), counted(1e-5)).stdout)

    def test_what_is_tolerated_is_up_to_the_caller(self):
        old, new = [synthetic.entry("wkv5", "cpu_a", 64, 1e6)], [synthetic.entry("wkv5", "cpu_a", 64, 1.2e6, error=3e-7)]
        self.assertEqual(self.compare(old, new, "--threshold", "30").returncode, 0)
        self.assertEqual(self.compare(old, new, "--threshold", "30", "--error-factor", "1.2").returncode, 1)
        more = old + [synthetic.entry("wkv5", "cpu_b", 64, 1e6)]
        self.assertEqual(self.compare(more, old).returncode, 1)
        self.assertEqual(self.compare(more, old, "--subset").returncode, 0)

    def test_a_slower_median_within_the_noise_is_no_regression(self):
        old = [synthetic.entry("wkv5", "cpu_a", 64, 1e6, spread=0.3, seed=1)]
        new = [synthetic.entry("wkv5", "cpu_a", 64, 1.08e6, spread=0.3, seed=2)]
        self.assertEqual(self.compare(old, new).returncode, 0)

    def test_an_improvement_is_no_regression(self):
        done = self.compare([synthetic.entry("wkv5", "cpu_a", 64, 1e6)], [synthetic.entry("wkv5", "cpu_a", 64, 5e5)])
        self.assertEqual(done.returncode, 0)
        self.assertIn("faster", done.stdout)

    def test_different_machines_are_refused_unless_asked_for(self):
        cells = [synthetic.entry("wkv5", "cpu_a", 64, 1e6)]
        old = self.write(synthetic.document(cells), "old.json")
        new = self.write(synthetic.document(cells, cpu_model="another"), "new.json")
        done = self.run_script("compare", old, new)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"\Acompare: [^\n]*from AMD EPYC 7R13, 2 CPUs, [^\n]*\n\Z")
        self.assertEqual(self.run_script("compare", old, new, "--across-machines").returncode, 0)

    def test_what_is_wrong_is_said_in_one_line(self):
        old = self.write(synthetic.document([synthetic.entry("wkv5", "cpu_a", 64, 1e6)]), "old.json")
        for arguments in ([old], [old, self.folder / "none"], [old, old, "--threshold", "-1"],
                          [old, self.write(synthetic.document([synthetic.entry("wkv5", "cpu_b", 1, 1.0)]))]):
            done = self.run_script("compare", *arguments)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"\Acompare: [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
