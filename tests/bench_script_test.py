#!/usr/bin/python3
"""Tests of scripts/bench around a stand-in for the program that it builds, and of scripts/setup around one for dpkg."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Tells its arguments and writes the results file as bench_wkv does; EXIT, STATUS and WAIT make it end otherwise.
PROGRAM = """#!/bin/bash
printf '%s\\n' "$@" > "$HOME/arguments"
for ((i = 1; i <= $#; ++i)); do
  case ${!i} in --out|--resume) j=$((i + 1)); out=${!j} ;; --out=*) out=${!i#*=} ;; --wrong) exit 2 ;; esac
done
write() { mkdir -p "$(dirname "$out")"; echo "{\\"status\\": \\"${STATUS-timed}\\"}" > "$out"; }
if [ -n "$WAIT" ]; then
  trap 'write; exit 130' INT
  touch "$HOME/waiting"
  for i in {1..100}; do sleep 0.1; done
fi
echo table
[ -z "$out" ] || write
exit ${EXIT-0}
"""


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.root = self.home / "a clone"
        self.elsewhere = self.home / "elsewhere"
        self.elsewhere.mkdir()
        executable(self.root / "build" / "bench_wkv", PROGRAM)
        executable(self.root / "scripts" / "build", "#!/bin/bash\necho building >&2\n")
        executable(self.root / "scripts" / "plot", "#!/bin/bash\nrealpath \"$1\" >> \"$HOME/plotted\"\necho plotted\n")
        shutil.copy(ROOT / "scripts" / "bench", self.root / "scripts" / "bench")

    def environment(self, changes):
        return {**os.environ, "HOME": str(self.home), "WAIT": "", **changes}

    def bench(self, *arguments, **environment):
        done = subprocess.run([self.root / "scripts" / "bench", *arguments], cwd=self.elsewhere, capture_output=True,
                              text=True, env=self.environment(environment))
        return done.returncode, done.stdout

    def arguments(self):
        return (self.home / "arguments").read_text().split("\n")[:-1]

    def plotted(self):
        path = self.home / "plotted"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def test_arguments_are_passed_on_and_stdout_is_the_programs(self):
        self.assertEqual(self.bench("--seq", "1..8", "--format", "json", "two words"), (0, "table\n"))
        self.assertEqual(self.arguments()[:5], ["--seq", "1..8", "--format", "json", "two words"])

    def test_without_out_the_results_lie_in_the_clone(self):
        self.bench("--seq", "1..8")
        self.assertEqual(self.arguments()[2], "--out")
        results = Path(self.arguments()[3])
        self.assertEqual(results.parent, self.root / "results" / "local")
        self.assertEqual(self.plotted(), [str(results)])

    def test_out_is_relative_to_where_the_user_is(self):
        for arguments in (["--out", "mine.json"], ["--out=mine.json"]):
            (self.home / "plotted").unlink(missing_ok=True)
            (self.elsewhere / "mine.json").unlink(missing_ok=True)
            self.bench(*arguments)
            self.assertEqual(self.arguments(), arguments)
            self.assertEqual(self.plotted(), [str(self.elsewhere / "mine.json")])

    def test_a_resumed_file_is_where_the_results_are(self):
        (self.elsewhere / "old.json").write_text("{}")
        self.bench("--resume", "old.json")
        self.assertEqual(self.arguments(), ["--resume", "old.json"])
        self.assertEqual(self.plotted(), [str(self.elsewhere / "old.json")])

    def test_a_failed_variant_keeps_its_exit_code_and_the_rest_is_drawn(self):
        self.assertEqual(self.bench("--out", "mine.json", EXIT="1")[0], 1)
        self.assertEqual(len(self.plotted()), 1)

    def test_no_figures_where_nothing_is_timed(self):
        for argument in ("--help", "-h", "--list", "--verify-only", "--ceilings"):
            self.assertEqual(self.bench(argument)[0], 0)
            self.assertEqual(self.arguments(), [argument])
        self.assertEqual(self.bench("--out", "mine.json", STATUS="skipped")[0], 0)
        self.assertEqual(self.plotted(), [])

    def test_a_wrong_argument_draws_no_older_file(self):
        self.bench("--out", "mine.json")
        (self.home / "plotted").unlink()
        self.assertEqual(self.bench("--out", "mine.json", "--wrong")[0], 2)
        self.assertEqual(self.plotted(), [])

    def test_failed_figures_show_in_the_exit_code(self):
        executable(self.root / "scripts" / "plot", "#!/bin/bash\nexit 2\n")
        self.assertEqual(self.bench("--out", "mine.json")[0], 1)
        self.assertEqual(self.bench("--out", "mine.json", EXIT="130")[0], 130)

    def test_a_failed_build_ends_it(self):
        executable(self.root / "scripts" / "build", "#!/bin/bash\nexit 1\n")
        self.assertNotEqual(self.bench("--seq", "1..8")[0], 0)
        self.assertFalse((self.home / "arguments").exists())

    def test_after_an_interruption_what_there_is_is_drawn(self):
        process = subprocess.Popen([self.root / "scripts" / "bench", "--out", "mine.json"], cwd=self.elsewhere,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                                   env=self.environment({"WAIT": "yes"}))
        deadline = time.monotonic() + 30
        while not (self.home / "waiting").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 130)
        self.assertEqual(self.plotted(), [str(self.elsewhere / "mine.json")])


class Setup(unittest.TestCase):
    """With stand-ins for the package tools and for id and sudo."""

    def setup(self, missing, uid="0"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            executable(folder / "dpkg-query", f"""#!/bin/bash
for package in "${{@:4}}"; do [[ " {missing} " == *" $package "* ]] || echo "$package installed"; done
""")
            executable(folder / "apt-get", f"#!/bin/bash\necho \"apt-get $*\" >> {folder}/log\n")
            executable(folder / "sudo", f"#!/bin/bash\necho sudo >> {folder}/log\n\"$@\"\n")
            executable(folder / "id", f"#!/bin/bash\necho {uid}\n")
            done = subprocess.run([ROOT / "scripts" / "setup", "more"], capture_output=True, text=True,
                                  env={"PATH": f"{folder}:/usr/bin:/bin"})
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            log = folder / "log"
            return log.read_text().split("\n")[:-1] if log.exists() else []

    def test_nothing_is_done_when_nothing_is_missing(self):
        self.assertEqual(self.setup(missing=""), [])

    def test_what_is_missing_is_installed_in_one_go(self):
        self.assertEqual(self.setup(missing="catch2 more"), [
            "apt-get update -qq", "apt-get install -y -qq --no-install-recommends catch2 more"])

    def test_sudo_is_used_by_others_than_root(self):
        self.assertEqual(self.setup(missing="catch2", uid="1000").count("sudo"), 2)


if __name__ == "__main__":
    unittest.main()
