#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-only
"""Judge, save and compare the figures of `make bench`.

  bench.py judge    build/bench/figures.csv -> tables on the screen, report.md, table.csv,
                    plots, and the run as <date>.json, which is kept
  bench.py compare  two runs that were kept (the last two unless named)

judge ends with 1 when a target was missed, with 3 when all that was missed is known and
explained (column KNOWN of tools/xen-tests/bench/targets, Documentation/bench.md).
"""
import argparse
import csv
import datetime
import json
import os
import sys
from pathlib import Path

import machine
import plots
from figures import Figures, Malformed, evaluate, missed_text, number, parse_targets, ratio_text

FORMAT = 1
# What differs by less says nothing: counted, timed
NOTABLE = {True: 0.005, False: 0.25}


# -- a run ----------------------------------------------------------------------------


def make_run(build, targets, plot_list, figures, partial, test):
    lines = [evaluate(target, figures) for target in targets]
    if partial or test:
        lines = [line for line in lines if line["ours"] is not None or line["stock"] is not None]
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "format": FORMAT,
        "date": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine.describe(build),
        # Where only one test was asked for, a lab is not complete.
        "test": test or None,
        "labs": {lab: machine.describe_lab(build, lab) for lab in figures.labs()},
        "lines": lines,
        "plots": [dict(vars(plot), rows=list(plot.rows)) for plot in plot_list],
        "figures": figures.rows,
    }


def save(run, directory):
    """A name that sorts by date; it appears whole or not at all."""
    path = directory / (run["date"].replace(":", "") + ".json")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    temporary.rename(path)
    return path


def load(path):
    try:
        run = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as why:
        raise Malformed(f"{path}: {why}") from None
    if run.get("format") != FORMAT:
        raise Malformed(f"{path}: not a run of this version of `make bench`")
    return dict(run, name=Path(path).name)


def saved_runs(directory):
    """Paths, the oldest first."""
    return sorted(Path(directory).glob("[0-9]*T[0-9]*Z.json"))


# -- judge ----------------------------------------------------------------------------


def table(lines):
    """Tables in Markdown, a heading each."""
    heading = None
    for line in lines:
        if line["heading"] != heading:
            heading = line["heading"]
            yield f"\n## {heading}\n"
            yield "| what | row | stock | ours | ours : stock | target | |"
            yield "|---|---|---:|---:|---:|---|---|"
        verdict = line["verdict"] or ""
        if verdict == "missed":
            verdict = f"**missed**: {missed_text(line)}" + (" (known)" if line["known"] else "")
        if line["aim_verdict"]:
            verdict += f"; aim {line['aim_verdict']}"
        cells = [
            line["what"],
            f"`{line['row']}` {line['figure']}",
            ("more than " if line["stock_cut"] else "") + number(line["stock"], line["unit"]),
            ("more than " if line["ours_cut"] else "") + number(line["ours"], line["unit"]),
            ratio_text(line),
            (line["target"] or "") + (f" (aim: {line['aim']})" if line["aim"] else ""),
            verdict,
        ]
        yield "| " + " | ".join(cells) + " |"


def verdicts(run):
    """The end of the report, and the exit status."""
    by_verdict = {"met": [], "missed": [], "not measured": []}
    for line in run["lines"]:
        if line["verdict"]:
            by_verdict[line["verdict"]].append(line)
    known = [line for line in by_verdict["missed"] if line["known"]]
    new = [line for line in by_verdict["missed"] if not line["known"]]
    text = [""]
    for title, lines in (
        ("Missed", new),
        ("Missed, and known to be (Documentation/bench.md says why)", known),
    ):
        if lines:
            text += [f"## {title}", ""]
            text += [
                f"* `{line['row']}` {line['figure']}, lab {line['lab']}: {missed_text(line)}"
                f" ({line['target']})"
                for line in lines
            ]
            text.append("")
    text.append(
        f"{len(by_verdict['met'])} targets met, {len(by_verdict['missed'])} missed"
        f" ({len(known)} of them known), {len(by_verdict['not measured'])} not measured."
    )
    return text, 1 if new else 3 if known else 0


def header(run):
    about = run["machine"]
    yield "# Figures: ours against stock\n"
    yield f"{run['date']}, commit {about['commit']}: Linux {about['linux']}, {about['qemu']},"
    yield f"on {about['processors']} x {about['cpu']}, load {about['load']}."
    yield "Rounds alternate: stock, ours, stock, ours. How they are taken: Documentation/bench.md."


def write_csv(path, lines):
    names = ["lab", "row", "figure", "unit", "stock", "ours", "ratio", "ratio_min", "ratio_max"]
    names += ["target", "value", "verdict", "known"]
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for line in lines:
            ratio = line["ratio"] or ["", "", ""]
            writer.writerow(dict(line, ratio=ratio[0], ratio_min=ratio[1], ratio_max=ratio[2]))


def judge(args):
    out = args.build / "bench"
    targets, plot_list = parse_targets(args.targets)
    figures = Figures.read_csv(out / "figures.csv")
    run = make_run(args.build, targets, plot_list, figures, args.partial, args.test)
    text, status = verdicts(run)
    report = "\n".join([*header(run), *table(run["lines"]), *text]) + "\n"
    (out / "report.md").write_text(report, encoding="utf-8")
    write_csv(out / "table.csv", run["lines"])
    for plot in plot_list:
        svg = plots.draw(plot, figures)
        if svg:
            (out / f"{plot.name}.svg").write_text(svg, encoding="utf-8")
    print(report)
    print(f"kept as {os.path.relpath(save(run, out), args.build.parent)}")
    return status


# -- compare ----------------------------------------------------------------------------


def pick(args):
    """The two runs to be compared: (old, new)."""
    runs = saved_runs(args.build / "bench")
    if not args.new and not runs:
        raise Malformed(f"no run is kept in {args.build}/bench: make bench")
    new = Path(args.new) if args.new else runs[-1]
    if args.old:
        return Path(args.old), new
    older = [path for path in runs if path.name < new.name]
    labs = set(load(new)["labs"])
    for path in reversed(older):
        if labs & set(load(path)["labs"]):
            return path, new
    raise Malformed(f"no older run is kept that has a lab of {new.name}")


def changes(old, new):
    """(line of old, line of new, relative change), of each figure of ours that changed."""
    before = {(l["lab"], l["row"], l["figure"], l["target"]): l for l in old["lines"]}
    for line in new["lines"]:
        was = before.get((line["lab"], line["row"], line["figure"], line["target"]))
        if not was:
            continue
        counted = new["labs"].get(line["lab"], {}).get("counted", False)
        # What is timed is worth something against stock only.
        values = [x["ours"] if counted else (x["ratio"] or [None])[0] for x in (was, line)]
        if None in values or not values[0]:
            continue
        change = values[1] / values[0] - 1
        if abs(change) >= NOTABLE[counted] or was["verdict"] != line["verdict"]:
            yield was, line, change


def compare(args):
    old_path, new_path = pick(args)
    old, new = load(old_path), load(new_path)
    print(f"{old_path.name} (commit {old['machine']['commit']}) ->"
          f" {new_path.name} (commit {new['machine']['commit']})\n")
    found = list(changes(old, new))
    for was, line, change in found:
        counted = new["labs"][line["lab"]]["counted"]
        shown = [
            number(x["ours"], x["unit"]) if counted else f"{x['ratio'][0]:.3f} of stock"
            for x in (was, line)
        ]
        verdict = ""
        if was["verdict"] != line["verdict"]:
            verdict = f"  {was['verdict']} -> {line['verdict']}"
        print(f"{line['lab']:<14} {line['row'] + ' ' + line['figure']:<36}"
              f" {shown[0]:>18} -> {shown[1]:>18} {change:+7.1%}{verdict}")
    same = sum(1 for line in new["lines"] if line["ours"] is not None) - len(found)
    print(f"\n{len(found)} figures of ours changed by {NOTABLE[True]:.1%} or more"
          f" (timed ones: by {NOTABLE[False]:.0%} against stock), {same} did not.")
    return 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, required=True, help="build/ of the checkout")
    commands = parser.add_subparsers(required=True)
    sub = commands.add_parser("judge", help="judge and keep what was just measured")
    sub.add_argument("--targets", required=True)
    sub.add_argument("--partial", action="store_true", help="not all labs were to be measured")
    sub.add_argument("--test", help="only this test was")
    sub.set_defaults(call=judge)
    sub = commands.add_parser("compare", help="what has changed from one run to another")
    sub.add_argument("old", nargs="?", default=None)
    sub.add_argument("new", nargs="?", default=None)
    sub.set_defaults(call=compare)
    args = parser.parse_args()
    try:
        return args.call(args)
    except Malformed as why:
        print(f"error: {why}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
