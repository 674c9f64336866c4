# SPDX-License-Identifier: GPL-2.0-only
"""Results of `make test` that were kept: build/kept/KERNEL/LAB/SUITE/{SUITE.ktap,run}."""
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

RESULT = re.compile(r"(not )?ok \d+(?: -)? ?(.*)")
SKIPPED = re.compile(r"\s*# *(SKIP|XFAIL)\b", re.IGNORECASE)


@dataclass
class Suite:
    """One run of a suite in a lab on a kernel."""

    kernel: str
    lab: str
    name: str
    date: str = ""
    commit: str = ""
    # (program, test) -> "ok", "failed" or "skipped"
    tests: dict = field(default_factory=dict)
    # Programs that ended without having failed a test: they died, or hung
    broken: list = field(default_factory=list)
    # Of the machine: it did not come up, or its console was not clean
    machine_failed: int = 0

    def count(self, verdict):
        more = len(self.broken) + self.machine_failed if verdict == "failed" else 0
        return sum(1 for v in self.tests.values() if v == verdict) + more


def read_ktap(suite, text):
    """A suite's KTAP: each program's results, then the program's own.

    A file without programs, as the runner's is, has results alone.
    """
    programs = "\n  " in text
    of_program = {}
    for line in text.splitlines():
        match = RESULT.match(line.strip())
        nested = line.startswith("  ")
        if not match or line.startswith("   "):
            continue
        verdict = "failed" if match[1] else "skipped" if SKIPPED.search(match[2]) else "ok"
        name = SKIPPED.split(match[2])[0].split(" # ")[0].strip()
        if nested:
            of_program[name] = verdict
        elif programs:
            suite.tests.update({(name, test): v for test, v in of_program.items()})
            if verdict == "failed" and "failed" not in of_program.values():
                suite.broken.append(name)
            of_program = {}
        else:
            suite.tests[name, name] = verdict


def load(kept):
    """Every suite that was kept."""
    suites, together = [], defaultdict(list)
    for run in sorted(Path(kept).glob("*/*/*/run")):
        kernel, lab, name = run.parts[-4:-1]
        suite = Suite(kernel, lab, name)
        suite.date, suite.commit, *counts = run.read_text(encoding="utf-8").split()
        ktap = run.parent / f"{name}.ktap"
        if ktap.exists():
            read_ktap(suite, ktap.read_text(encoding="utf-8", errors="replace"))
        suites.append(suite)
        together[kernel, lab, suite.date].append((suite, int(counts[1])))
    # The runner's count has what is in no suite: the machine, the console.
    for group in together.values():
        last, failed = group[-1]
        found = sum(suite.count("failed") for suite, _ in group)
        last.machine_failed += max(0, failed - found)
    return suites


def of_stock(suites):
    return [suite for suite in suites if suite.kernel == "stock"]


def of_ours(suites):
    """A run of each suite in each lab; of a flavour of ours where ours itself was not run.

    KERNEL=debian is neither: a driver of ours on a core that is not.
    """
    chosen = {}
    for suite in sorted(suites, key=lambda s: (s.kernel != "ours", s.kernel)):
        if suite.kernel not in ("stock", "debian"):
            chosen.setdefault((suite.lab, suite.name), suite)
    return list(chosen.values())


def outcome(suites, ident):
    """How many tests whose name begins with a defect's id, g02_..., ended in which way."""
    mark = re.compile(rf"(^|[._]){ident}_", re.IGNORECASE)
    counts = {"ok": 0, "failed": 0, "skipped": 0}
    for suite in suites:
        for (_, test), verdict in suite.tests.items():
            if mark.search(test):
                counts[verdict] += 1
    return counts


def test_id(ident):
    """G2 -> g02, N7 -> n7, H1 -> h1, as the names of tests have them."""
    letter, digits = ident[0].lower(), ident[1:]
    return letter + (digits.zfill(2) if letter == "g" else digits)
