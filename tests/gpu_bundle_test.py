#!/usr/bin/python3
"""Tests of the bundle for a GPU machine: as it is, with the emulator in the place of NVIDIA's driver, and around a
stand-in for the program. Usage: gpu_bundle_test.py BENCH_WKV DRIVER_OF_TESTS [ARGUMENTS OF UNITTEST...]"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM, DRIVER = (Path(path).resolve() for path in sys.argv[1:3])
NO_DRIVER = "/nowhere/libcuda.so.1"

SMALL = "--op wkv5 --heads 1 --head-size 32 --repetitions 2"
PLAN = f"""# a comment

shapes 1 --verify-only {SMALL} --seq 1,17 --dtype bf16,f32
timed 2 {SMALL} --seq 1,20 --dtype bf16
decode 1 {SMALL} --mode decode --seq 8 --batch 2
"""

# Plays bench_wkv: one variant crashes, one makes the GPU fail, one is wrong; the last two in verification only.
STAND_IN = """#!/bin/bash
out= ; variant= ; seconds= ; echo "$*" >> "$HOME/calls"
for ((i = 1; i <= $#; ++i)); do
  j=$((i + 1))
  case ${!i} in
    --help) exit 0 ;;
    --ceilings) echo "device: a stand-in"; exit 0 ;;
    --list) printf '%s\\n' "wkv5: an operator" "  cpu_naive cpu f32" "  cuda_right cuda f32" "  cuda_crash cuda f32" \\
      "  cuda_lost cuda f32" "  cuda_wrong cuda f32"; exit 0 ;;
    --out | --resume) out=${!j} ;;
    --variant) variant=${!j} ;;
    --sampled) for k in {1..200}; do [ -s "$HOME/sampler" ] && break; sleep 0.05; done ;;
    --wait) touch "$HOME/waiting"; trap 'exit 130' INT; for k in {1..100}; do sleep 0.1; done ;;
  esac
done
echo '{}' > "$out"
case $variant in
  cuda_crash) kill -SEGV $$ ;;
  cuda_lost) echo "1 failed" >&2; exit 3 ;;
  cuda_wrong) printf '\\nFailed\\n  wkv5 cuda_wrong T=3: y is wrong\\n'; echo "1 failed" >&2; exit 1 ;;
esac
echo "2 timed" >&2
echo "results: $out" >&2
"""


def assemble(folder):
    subprocess.run(["cmake", f"-DPROGRAM={PROGRAM}", f"-DFOLDER={folder}", "-P",
                    ROOT / "scripts" / "bundle" / "assemble.cmake"], check=True)


class Bundle(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.out = self.home / "the results"

    def start(self, *arguments, plan=PLAN, **environment):
        (self.home / "plan").write_text(plan)
        self.environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **environment}
        return subprocess.Popen([self.folder / "run", "--plan", self.home / "plan", "--out", self.out, *arguments],
                                cwd=self.home, env=self.environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, start_new_session=True)

    def execute(self, *arguments, **options):
        process = self.start(*arguments, **options)
        text = process.communicate()[0]
        return process.returncode, text

    def result(self, part):
        return json.loads((self.out / f"{part}.json").read_text())


class Real(Bundle):
    """With the program."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.folder = Path(directory.name) / "a bundle"
        assemble(cls.folder)

    def emulated(self, *arguments, **options):
        return self.execute(*arguments, WKV_CUDA_DRIVER=str(DRIVER), **options)

    def test_it_is_small_and_has_every_library(self):
        program = self.folder / "bin" / "bench_wkv"
        files = [f for f in self.folder.rglob("*") if not f.is_symlink() and f != program]  # it travels packed
        self.assertLess(sum(f.stat().st_size for f in files), 40 << 20)
        self.execute(WKV_CUDA_DRIVER=NO_DRIVER)  # unpacks it
        loader = self.folder / "glibc" / "ld-linux-x86-64.so.2"
        paths = f"{self.folder}/glibc:{self.folder}/lib"
        for file in [program, *(self.folder / "lib").glob("*.so*")]:
            listed = subprocess.run([loader, "--library-path", paths, "--list", file], text=True, capture_output=True)
            self.assertEqual(listed.returncode, 0, listed.stderr)
            for line in listed.stdout.splitlines():
                if "=>" in line:
                    self.assertIn(str(self.folder), line)

    def test_without_a_gpu_it_says_so_in_one_line(self):
        environments = [{"WKV_CUDA_DRIVER": NO_DRIVER}, {"WKV_CUDA_DRIVER": NO_DRIVER, "WKV_GLIBC": "own"}]
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            environments.append({})
        for environment in environments:
            code, text = self.execute(**environment)
            self.assertEqual(code, 2, text)
            self.assertRegex(text, r"\Ano GPU: [^\n]*\n\Z")
            self.assertFalse(self.out.exists())

    def test_wrong_arguments_get_one_line(self):
        for arguments in (["--minutes", "0"], ["--minutes", "1.5"], ["--minutes"], ["--fast"], ["--plan", "/nowhere"]):
            code, text = self.emulated(*arguments)
            self.assertEqual((code, text.count("\n")), (2, 1), text)

    def test_from_ceilings_to_results_and_again(self):
        code, text = self.emulated()
        self.assertEqual(code, 0, text)
        self.assertIn("NOT MEASURED ON A GPU", text)
        self.assertEqual((self.out / "log.txt").read_text(), text)
        self.assertIn("fp32 FMA", (self.out / "ceilings.txt").read_text())
        verified = [cell for file in self.out.glob("shapes-cuda_*.json")
                    for cell in json.loads(file.read_text())["benchmarks"] if cell["status"] == "verified"]
        self.assertIn(("cuda_serial", "bf16", 17), {(c["variant"], c["dtype"], c["T"]) for c in verified})
        for part, tokens in (("timed", {1, 20}), ("decode", {8})):
            result = self.result(part)
            self.assertIn("emulated", result["context"]["device"]["name"])
            self.assertIn(str(DRIVER), result["context"]["device"]["driver"])
            self.assertGreater(result["context"]["ceilings"][0]["copy"][0]["bytes_per_second"], 0)
            timed = [cell for cell in result["benchmarks"] if cell["status"] == "timed"]
            self.assertEqual({cell["T"] for cell in timed if cell["variant"] == "cuda_serial"}, tokens)
            for cell in timed:
                self.assertGreater(cell["clock_hz"], 0)
                self.assertGreater(cell["floor_ns"], 0)

        before = {part: self.result(part)["benchmarks"] for part in ("timed", "decode")}
        code, text = self.emulated()
        self.assertEqual(code, 0, text)
        for part, benchmarks in before.items():
            timed = [cell for cell in benchmarks if cell["status"] == "timed"]
            self.assertEqual(timed, [c for c in self.result(part)["benchmarks"] if c["status"] == "timed"])

    def test_every_part_of_its_plan_is_a_command(self):
        parts = [line.split() for line in (self.folder / "plan").read_text().splitlines()
                 if line and not line.startswith("#")]
        self.assertGreater(len(parts), 5)
        for name, share, *arguments in parts:
            self.assertGreater(int(share), 0)
            done = subprocess.run([PROGRAM, "--device", "cuda", *arguments, "--run-seconds", "1e-9", "--memory", "1T",
                                   "--out", self.home / f"{name}.json"], capture_output=True, text=True,
                                  env={"WKV_CUDA_DRIVER": str(DRIVER)})
            self.assertEqual(done.returncode, 0, done.stderr)
            reasons = {c["reason"] for c in json.loads((self.home / f"{name}.json").read_text())["benchmarks"]}
            self.assertTrue(any("no time left" in reason for reason in reasons), f"{name}: {reasons}")

    def test_with_its_own_c_library(self):
        code, text = self.emulated(plan=f"timed 1 {SMALL} --seq 3", WKV_GLIBC="own")
        self.assertEqual(code, 0, text)
        self.assertIn("ld-linux", (self.out / "machine.txt").read_text())
        self.assertIn("timed", text)

    def test_what_does_not_fit_the_memory_fails_and_the_rest_is_done(self):
        code, text = self.emulated(plan=f"large 1 {SMALL} --seq 3,60000 --cell-seconds 1000\nsmall 1 {SMALL} --seq 4")
        self.assertEqual(code, 1, text)
        self.assertRegex(text, r"\n  large: .* T=60000: out of memory")
        self.assertIn("timed", {c["status"] for c in self.result("large")["benchmarks"]})
        self.assertIn("timed", {c["status"] for c in self.result("small")["benchmarks"]})

    def test_what_does_not_fit_the_time_is_told_and_done_by_the_next_run(self):
        plan = f"first {{}} {SMALL} --seq 3\nsecond 1000 {SMALL} --seq 4"
        code, text = self.emulated("--minutes", "1", plan=plan.format(1))
        self.assertEqual(code, 3, text)
        self.assertIn("first: not begun", text)
        self.assertTrue((self.out / "second.json").exists())
        code, text = self.emulated(plan=plan.format(1000))
        self.assertEqual(code, 0, text)
        self.assertIn("timed", {c["status"] for c in self.result("first")["benchmarks"]})


class AroundStandIn(Bundle):
    def setUp(self):
        super().setUp()
        self.folder = self.home / "bundle"
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "bin" / "bench_wkv").write_text(STAND_IN)
        (self.folder / "bin" / "bench_wkv").chmod(0o755)
        shutil.copy(ROOT / "scripts" / "bundle" / "run", self.folder / "run")

    def test_what_crashes_is_left_out_and_what_is_wrong_is_told(self):
        code, text = self.execute(plan="check 1 --verify-only\ntimed 1 --seq 4")
        self.assertEqual(code, 1, text)
        self.assertIn("\n  check-cuda_wrong: wkv5 cuda_wrong T=3: y is wrong\n", text)
        self.assertRegex(text, r"\n  check-cuda_crash: bench_wkv ended with 139")
        left_out = (self.out / "left_out.txt").read_text()
        self.assertEqual([line.split()[0] for line in left_out.splitlines()], ["cuda_crash", "cuda_lost"])
        last = (self.home / "calls").read_text().splitlines()[-1]
        self.assertIn("--variant cuda_right,cuda_wrong ", last)
        self.assertTrue((self.out / "timed.json").exists())

        code, text = self.execute(plan="check 1 --verify-only\ntimed 1 --seq 4")
        self.assertEqual(code, 1, text)
        calls = (self.home / "calls").read_text()
        self.assertEqual(calls.count("--variant cuda_crash"), 1)
        self.assertIn(f"--resume {self.out}/timed.json --keep-failed", calls)

    def test_the_machine_is_described_and_its_clocks_sampled_for_as_long_as_it_runs(self):
        tools = self.home / "tools"
        tools.mkdir()
        (tools / "nvidia-smi").write_text("""#!/bin/bash
[[ " $* " == *" -l "* ]] || { echo "called with: $*"; exit; }
echo $$ > "$HOME/sampler"
exec sleep 100
""")
        (tools / "nvidia-smi").chmod(0o755)
        code, text = self.execute(plan="only 1 --sampled", PATH=f"{tools}:/usr/bin:/bin")
        self.assertEqual(code, 0, text)
        self.assertIn("called with: -q -d CLOCK", (self.out / "machine.txt").read_text())
        self.assertTrue((self.out / "clocks.csv").exists())
        sampler = int((self.home / "sampler").read_text())
        for _ in range(100):
            if not Path(f"/proc/{sampler}").exists():
                break
            time.sleep(0.05)
        self.assertFalse(Path(f"/proc/{sampler}").exists())

    def test_an_interruption_ends_it_after_the_part(self):
        process = self.start(plan="first 1 --wait\nsecond 1 --seq 4")
        deadline = time.monotonic() + 30
        while not (self.home / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        text = process.communicate(timeout=30)[0]
        self.assertEqual(process.returncode, 130, text)
        self.assertIn("interrupted; run again to go on", text)
        self.assertFalse((self.out / "second.json").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
