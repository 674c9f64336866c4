# SPDX-License-Identifier: GPL-2.0-only
"""Figures of `make bench`, and what is to be reached (tools/xen-tests/bench/targets).

A figure of a kernel is the median of its rounds. A ratio, ours : stock, is taken in each
round, and the median of these is what counts: rounds alternate, so that what slows the
computer down slows both.
"""
import csv
import re
import statistics
from dataclasses import dataclass
from typing import Optional

FIGURES = ("min", "p50", "p99", "max")


class Malformed(Exception):
    """A file is not what it should be; the text says where and why."""


@dataclass(frozen=True)
class Rule:
    """``ratio <= N``, ``more <= N`` or ``ours <= N [of ROW]``, also with ``>=``."""

    kind: str
    op: str
    limit: float
    of: Optional[str] = None

    @classmethod
    def parse(cls, text):
        match = re.fullmatch(r"(ratio|more|ours) (<=|>=) ([0-9.]+)(?: of (\S+))?", text)
        if not match or (match[4] and match[1] != "ours"):
            raise Malformed(f"not a rule: {text}")
        return cls(match[1], match[2], float(match[3]), match[4])

    def __str__(self):
        return f"{self.kind} {self.op} {self.limit:.10g}" + (f" of {self.of}" if self.of else "")

    def holds(self, value, limit):
        return value <= limit if self.op == "<=" else value >= limit


@dataclass(frozen=True)
class Target:
    """One line of the file: a figure that is shown, and what is asked of it."""

    heading: str
    row: str
    lab: str
    figure: str
    rule: Optional[Rule]
    aim: Optional[Rule]
    what: str
    # How far a miss goes that Documentation/bench.md explains; infinite where a figure is
    # one of the computer's scheduler as well.
    known: Optional[float] = None


@dataclass(frozen=True)
class Plot:
    """A drawing of some rows of one lab."""

    name: str
    lab: str
    rows: tuple
    x: str
    style: str
    title: str

    def label(self, row):
        """What the row is called on the axis, or None: it is not part of this."""
        for pattern in self.rows:
            prefix, wild = pattern[:-1], pattern[-1]
            rest = row[len(prefix) :]
            if pattern == row:
                # Without what all rows of a program begin with
                return row.partition(".")[2] or row
            if wild == "*" and row.startswith(prefix) and rest:
                return rest
            if wild == "#" and row.startswith(prefix) and rest.isdigit():
                return rest
        return None


def parse_known(text, rule):
    if not rule:
        raise Malformed("a miss without a target")
    known = float("inf" if rule.op == "<=" else "-inf") if text == "any" else float(text)
    if rule.holds(known, rule.limit):
        raise Malformed(f"known miss {text}, which {rule} allows")
    return known


def parse_targets(path):
    """The file of targets: (targets, plots)."""
    heading, targets, plots = None, [], []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("=="):
                heading = line[2:].strip()
                continue
            words = [word.strip() for word in line.split("|")]
            try:
                if words[0] == "plot":
                    _, name, lab, rows, x, style, title = words
                    if style not in ("log", "curve", "bars"):
                        raise Malformed(f"not a kind of plot: {style}")
                    plots.append(Plot(name, lab, tuple(rows.split()), x, style, title))
                    continue
                row, lab, figure, rule, aim, what, *known = words
                if figure not in FIGURES or heading is None or len(known) > 1:
                    raise Malformed("ROW | LAB | FIGURE | TARGET | AIM | WHAT [| KNOWN], below a heading")
                rule = None if rule == "-" else Rule.parse(rule)
                aim = None if aim == "-" else Rule.parse(aim)
                known = parse_known(known[0], rule) if known else None
                targets.append(Target(heading, row, lab, figure, rule, aim, what, known))
            except (Malformed, ValueError) as why:
                raise Malformed(f"{path}:{number}: {why}") from None
    return targets, plots


@dataclass(frozen=True)
class Ratio:
    median: float
    min: float
    max: float


class Figures:
    """Every figure of every round: of figures.csv, or of a saved run."""

    def __init__(self, rows):
        self.rows = []
        self.by_round = {}
        for row in rows:
            row = dict(row, round=int(row["round"]), cut=bool(int(row["cut"])))
            for name in ("n",) + FIGURES:
                row[name] = int(row[name])
            self.rows.append(row)
            self.by_round[row["lab"], row["kernel"], row["row"], row["round"]] = row

    @classmethod
    def read_csv(cls, path):
        with open(path, encoding="utf-8", newline="") as lines:
            return cls(csv.DictReader(lines))

    def rounds(self, lab, kernel, row):
        return {
            key[3]: found
            for key, found in self.by_round.items()
            if key[:3] == (lab, kernel, row)
        }

    def value(self, lab, kernel, row, figure):
        rounds = self.rounds(lab, kernel, row).values()
        return statistics.median(r[figure] for r in rounds) if rounds else None

    def unit(self, lab, row):
        for kernel in ("ours", "stock"):
            for found in self.rounds(lab, kernel, row).values():
                return found["unit"]
        return None

    def ratio(self, lab, row, figure):
        ours, stock = self.rounds(lab, "ours", row), self.rounds(lab, "stock", row)
        ratios = [
            ours[r][figure] / stock[r][figure]
            for r in ours
            if r in stock and stock[r][figure]
        ]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def was_cut(self, lab, kernel, row, figure):
        """It would have gone on: the figure is a lower bound."""
        rounds = self.rounds(lab, kernel, row).values()
        return any(r["cut"] and r[figure] == r["max"] for r in rounds)

    def labs(self):
        return sorted({row["lab"] for row in self.rows})

    def measured(self, rule, lab, row, figure):
        """What @rule limits, in the rule's own unit; None: it was not measured."""
        if rule.kind == "ratio":
            ratio = self.ratio(lab, row, figure)
            return ratio.median if ratio else None
        ours = self.value(lab, "ours", row, figure)
        other = None
        if rule.kind == "more":
            other = self.value(lab, "stock", row, figure)
            return None if ours is None or other is None else ours - other
        if rule.of:
            other = self.value(lab, "ours", rule.of, "p50")
            return ours / other if ours is not None and other else None
        return ours


def evaluate(target, figures):
    """The line of the tables that @target is, as a run is saved."""
    place = (target.lab, target.row, target.figure)
    ratio = figures.ratio(*place)
    line = {
        "heading": target.heading,
        "what": target.what,
        "lab": target.lab,
        "row": target.row,
        "figure": target.figure,
        "unit": figures.unit(target.lab, target.row),
        "stock": figures.value(target.lab, "stock", target.row, target.figure),
        "ours": figures.value(target.lab, "ours", target.row, target.figure),
        "stock_cut": figures.was_cut(target.lab, "stock", target.row, target.figure),
        "ours_cut": figures.was_cut(target.lab, "ours", target.row, target.figure),
        "ratio": [ratio.median, ratio.min, ratio.max] if ratio else None,
        "target": str(target.rule) if target.rule else None,
        "limit": target.rule.limit if target.rule else None,
        "aim": str(target.aim) if target.aim else None,
        "value": None,
        "verdict": None,
        "aim_verdict": None,
        "known": False,
    }
    if target.aim:
        value = figures.measured(target.aim, *place)
        if value is not None:
            line["aim_verdict"] = "met" if target.aim.holds(value, target.aim.limit) else "missed"
    if target.rule:
        value = line["value"] = figures.measured(target.rule, *place)
        if value is None:
            line["verdict"] = "not measured"
        elif target.rule.holds(value, target.rule.limit):
            line["verdict"] = "met"
        else:
            line["verdict"] = "missed"
            line["known"] = target.known is not None and target.rule.holds(value, target.known)
    return line


# -- words for people ---------------------------------------------------------------


def number(value, unit):
    """12345 ns -> "12.3 us" """
    if value is None:
        return "-"
    if unit == "ns":
        for size, name, digits in ((1e9, "s", 2), (1e6, "ms", 2), (1e3, "us", 1)):
            if value >= size:
                return f"{value / size:.{digits}f} {name}"
        return f"{value:.0f} ns"
    if unit == "ops/s":
        return f"{value / 1e3:.1f} k/s"
    if unit == "ticks/kpage":
        return f"{value / 1e3:.2f} instr./page" if value < 1e5 else f"{value / 1e3:.0f} instr./page"
    return f"{value:.0f} {'instr.' if unit == 'ticks' else unit}"


def one_ratio(ratio):
    """0.123, or 1 : 4500: two digits of a number that large are enough."""
    if ratio >= 0.01 or not ratio:
        return f"{ratio:.3f}"
    return f"1 : {float(f'{1 / ratio:.1e}'):,.0f}".replace(",", " ")


def ratio_text(line):
    if not line["ratio"]:
        return "-"
    median, low, high = (one_ratio(r) for r in line["ratio"])
    text = ("< " if line["stock_cut"] else "") + median
    return text if low == high else f"{text} ({low} to {high})"


def missed_text(line):
    """By how much a target was missed: "0.858 against 0.8, 7.3 % too much" """
    value, limit = line["value"], line["limit"]
    kind = line["target"].split()[0]
    shown = [f"{x:.0f}" if abs(x) >= 1000 else f"{x:.4g}" for x in (value, limit)]
    unit = {"ticks": " instr."}.get(line["unit"], f" {line['unit']}")
    if kind == "ratio" or " of " in line["target"]:
        unit = ""
    text = f"{shown[0]} against {shown[1]}{unit}"
    if not limit:
        return text
    return f"{text}, {abs(value / limit - 1) * 100:.1f} % too {'much' if value > limit else 'little'}"
