#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-only
"""The comparison page: what was measured and tested, in one file that needs nothing else.

In:  build/bench/*.json  the last complete run of each lab (bench.py)
     build/kept          the last complete run of each suite, by kernel (lab/test.sh)
     build/coverage      lines and branches (lab/coverage.sh)
     Documentation/stock-comparison.md, requirements.md
Out: build/report/index.html

What is not there is not on the page, which says by which command it is made.
"""
import argparse
import csv
import itertools
import re
import sys
from pathlib import Path

import jinja2

import bench
import documents
import plots
import results
from figures import Figures, Malformed, evaluate, missed_text, number, parse_targets, ratio_text

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]

# What the page begins with, where it was measured: what it is, row, lab
IN_SHORT = (
    ("512 granted pages mapped and unmapped, a page", "grants.map512", "bench-pv"),
    ("one granted page, while 10 000 others are mapped", "grants.cycle.10000", "bench-pv"),
    ("grant copy of 16 MiB, a page", "grants.copy.16m", "bench-pv"),
    ("kernel memory of a mapped grant", "grants.memory", "bench-pv"),
    ("a device's read that collides, 8 threads changing other memory", "storm.read.8", "bench"),
    ("an invalidation, 1 000 subscriptions elsewhere", "quiet.1000.above", "bench"),
    ("HMM snapshot of 4 KiB pages, a page", "hmm.snapshot.4k", "bench"),
    ("HMM fault, every 8th page absent, a page", "hmm.fault.sparse", "bench"),
)


# -- figures ----------------------------------------------------------------------------


def latest_runs(build):
    """{lab: run}: of each lab the last run that has all of it."""
    found = {}
    for path in bench.saved_runs(build / "bench"):
        try:
            run = bench.load(path)
        except Malformed as why:
            print(f"    left out: {why}", file=sys.stderr)
            continue
        if not run["test"]:
            found.update({lab: run for lab in run["labs"]})
    return found


def figures_of(runs):
    return Figures(
        row for lab, run in runs.items() for row in run["figures"] if row["lab"] == lab
    )


def svg(plot, figures):
    """To be part of a page: no prologue, ids of its own, colours that the page may change."""
    text = plots.draw(plot, figures, alone=False)
    if not text:
        return None
    text = text[text.index("<svg") :]
    name = re.sub(r"\W", "_", plot.name)
    text = re.sub(r"\bid='([^']+)'", rf"id='{name}-\1'", text)
    text = re.sub(r"xlink:href='#([^']+)'", rf"xlink:href='#{name}-\1'", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{plot.title}"', 1)
    # A scale of its own is the page's business.
    return re.sub(r"(<svg[^>]*?) width=\S+ height=\S+", r"\1", text, count=1)


def with_words(line):
    """A line of the tables, and its cells."""
    return dict(
        line,
        stock_text=("more than " if line["stock_cut"] else "") + number(line["stock"], line["unit"]),
        ours_text=("more than " if line["ours_cut"] else "") + number(line["ours"], line["unit"]),
        ratio_text=ratio_text(line),
        missed_text=(missed_text(line) if line["verdict"] == "missed" else "").replace(" %", "\u00a0%"),
    )


def in_full(lines):
    """ "... 8 threads" goes on where the last whole description left off."""
    begun = ""
    for line in lines:
        if line["what"].startswith("... "):
            line["in_full"] = f"{begun}: {line['what'][4:]}"
        else:
            begun = line["in_full"] = line["what"]
    return lines


def sections(targets, plot_list, figures):
    """Tables of what was measured, each with the plots of its rows."""
    drawn = set()
    for heading, group in itertools.groupby(targets, key=lambda target: target.heading):
        group = list(group)
        lines = in_full([with_words(evaluate(target, figures)) for target in group])
        lines = [line for line in lines if line["ours"] is not None or line["stock"] is not None]
        if not lines:
            continue
        pictures = []
        for plot in plot_list:
            mine = any(t.lab == plot.lab and plot.label(t.row) is not None for t in group)
            if mine and plot.name not in drawn:
                drawn.add(plot.name)
                pictures.append((plot.title, svg(plot, figures)))
        labs = sorted({line["lab"] for line in lines})
        yield {
            "heading": heading,
            "id": re.sub(r"\W+", "-", heading.lower()).strip("-"),
            "labs": labs,
            "lines": lines,
            "plots": [(title, picture) for title, picture in pictures if picture],
        }


def history(build, runs):
    """What changed from the last run but one of each lab, as bench-compare has it."""
    paths = bench.saved_runs(build / "bench")
    for lab, run in sorted(runs.items()):
        for path in reversed(paths):
            older = bench.load(path) if path.name < run["name"] else None
            if not older or older["test"] or lab not in older["labs"]:
                continue
            found = [
                (with_words(was), with_words(line), change)
                for was, line, change in bench.changes(older, run)
                if line["lab"] == lab
            ]
            yield {"lab": lab, "old": older, "new": run, "changes": found}
            break


# -- tests, defects, coverage -----------------------------------------------------------


def defects(suites):
    docs = TOP / "Documentation"
    states = documents.states(docs / "requirements.md")
    for row in documents.defects(docs / "stock-comparison.md"):
        ids = row.ident.split(", ")
        tests = {}
        for kernel, runs in (("ours", results.of_ours(suites)), ("stock", results.of_stock(suites))):
            counts = [results.outcome(runs, results.test_id(i)) for i in ids]
            tests[kernel] = {v: sum(c[v] for c in counts) for v in ("ok", "failed", "skipped")}
        yield {
            "ident": row.ident,
            "stock": row.stock,
            "ours": row.ours,
            "state": "; ".join(states[i] for i in ids if i in states),
            "tests": tests,
        }


def matrix(suites):
    """Kernels, and a line for each suite of each lab with a run of each."""
    order = {"ours": 0, "stock": 1}
    kernels = sorted({s.kernel for s in suites}, key=lambda k: (order.get(k, 2), k))
    places = sorted({(s.lab, s.name) for s in suites})
    by_place = {(s.kernel, s.lab, s.name): s for s in suites}
    lines = [
        {"lab": lab, "suite": name, "runs": [by_place.get((k, lab, name)) for k in kernels]}
        for lab, name in places
    ]
    totals = [
        {v: sum(s.count(v) for s in suites if s.kernel == k) for v in ("ok", "failed", "skipped")}
        for k in kernels
    ]
    return {"kernels": kernels, "lines": lines, "totals": totals}


def coverage(build):
    """Files with what was executed of them, and the sum; None where nothing was counted."""
    path = build / "coverage" / "files.csv"
    if not path.exists():
        return None
    with open(path, encoding="utf-8", newline="") as lines:
        files = [
            {k: v if k == "file" else int(v) for k, v in row.items()} for row in csv.DictReader(lines)
        ]
    total = {k: sum(f[k] for f in files) for k in ("lines", "lines_hit", "branches", "branches_hit")}
    labs = sorted(p.stem for p in path.parent.glob("*.info") if p.stem not in ("total", "none"))
    return {"files": files, "total": total, "labs": labs}


def machines(runs):
    """Computers that were measured on, each with its runs."""
    found = {}
    for run in runs:
        about = {k: v for k, v in run["machine"].items() if k not in ("load", "commit")}
        found.setdefault(tuple(about.items()), []).append(run)
    return [{"about": dict(about), "runs": group} for about, group in found.items()]


# -- the page ----------------------------------------------------------------------------


def percent(part, whole):
    return f"{100 * part / whole:.1f}\u00a0%" if whole else "-"


def render(build, targets_path):
    targets, plot_list = parse_targets(targets_path)
    runs = latest_runs(build)
    figures = figures_of(runs)
    tables = list(sections(targets, plot_list, figures))
    lines = [line for table in tables for line in table["lines"]]
    medians = {(l["row"], l["lab"]): l for l in reversed(lines) if l["figure"] == "p50"}
    suites = results.load(build / "kept")
    judged = [line for line in lines if line["verdict"]]
    by_date = {run["name"]: run for run in runs.values()}
    in_order = [by_date[name] for name in sorted(by_date, reverse=True)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["when"] = lambda date: f"{date[:10]} {date[11:16]} UTC"
    return environment.get_template("report.html.j2").render(
        style=(HERE / "report.css").read_text(encoding="utf-8"),
        runs=in_order,
        machines=machines(in_order),
        labs={lab: run["labs"][lab] | {"run": run} for lab, run in sorted(runs.items())},
        unmeasured=sorted({target.lab for target in targets} - set(runs)),
        short=[
            (title, medians[row, lab]) for title, row, lab in IN_SHORT if (row, lab) in medians
        ],
        tables=tables,
        judged=judged,
        met=[line for line in judged if line["verdict"] == "met"],
        missed=[line for line in judged if line["verdict"] == "missed"],
        history=list(history(build, runs)),
        defects=list(defects(suites)),
        suites=suites,
        matrix=matrix(suites),
        coverage=coverage(build),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, required=True, help="build/ of the checkout")
    parser.add_argument("--targets", required=True)
    parser.add_argument("--unmeasured", action="store_true",
                        help="only print the labs of which no complete run is kept")
    args = parser.parse_args()
    try:
        if args.unmeasured:
            targets, _ = parse_targets(args.targets)
            print(*sorted({target.lab for target in targets} - set(latest_runs(args.build))))
            return 0
        page = render(args.build, args.targets)
    except Malformed as why:
        print(f"error: {why}", file=sys.stderr)
        return 2
    out = args.build / "report"
    out.mkdir(exist_ok=True)
    temporary = out / "index.html.tmp"
    temporary.write_text(page, encoding="utf-8")
    temporary.rename(out / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
