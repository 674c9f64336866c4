# SPDX-License-Identifier: GPL-2.0-only
"""Plots of figures, drawn by gnuplot as SVG."""
import re
import subprocess

KERNELS = {"stock": "#d95f02", "ours": "#1f78b4"}
# Of a unit: what a value is divided by, the axis, and how it is numbered there (gnuplot's %s
# and %c: the number and k, M; m, µ)
SCALES = {
    "ns": (1e9, "time", "%.0s %cs"),
    "ticks": (1, "instructions", "%.0s%c"),
    "ticks/kpage": (1e3, "instructions a page", "%.0s%c"),
    "ops/s": (1, "operations a second", "%.0s%c"),
}


def data(plot, figures):
    """(unit, [(label, {kernel: row})]) in the order in which rows were measured."""
    found, unit = {}, None
    for row in figures.rows:
        label = plot.label(row["row"]) if row["lab"] == plot.lab else None
        if label is None:
            continue
        unit = row["unit"]
        # The last round
        found.setdefault(label, {})[row["kernel"]] = row
    return unit, list(found.items())


def block(name, found, factor):
    """A data block of gnuplot: label, then p50 p99 max of stock and of ours."""
    lines = [f"${name} << EOD"]
    for label, by_kernel in found:
        values = []
        for kernel in KERNELS:
            row = by_kernel.get(kernel)
            values += [f"{row[f] / factor:.6g}" if row else "?" for f in ("p50", "p99", "max")]
        lines.append(" ".join([f'"{label}"', *values]))
    return "\n".join([*lines, "EOD"])


def curves(name, style):
    """What is to be drawn of the block: latencies as curves, costs as bars."""
    for index, (kernel, color) in enumerate(KERNELS.items()):
        column = 2 + 3 * index
        look = f'lc rgb "{color}"'
        if style == "bars":
            yield f'${name} using {column}:xtic(1) with histogram fill solid 0.85 {look} title "{kernel}"'
            continue
        names = ("p50", "p99", "max") if style == "log" else ("p50",)
        for offset, figure in enumerate(names):
            title = f"{kernel} {figure}" if style == "log" else kernel
            yield (f"${name} using 0:{column + offset}:xtic(1) with linespoints"
                   f' pt {5 + 2 * index} ps {0.8 - 0.2 * offset:.1f} lw {2 - 0.5 * offset} dt {offset + 1}'
                   f' {look} title "{title}"')


def draw(plot, figures, alone=True):
    """The plot as SVG; None if nothing of it was measured.

    A plot that is not alone is part of a page, which has a title and a colour of its own.
    """
    unit, found = data(plot, figures)
    if not found:
        return None
    factor, axis, numbered = SCALES.get(unit, (1, unit, "%g"))
    name = re.sub(r"\W", "_", plot.name)
    settings = [
        "set encoding utf8",
        f'set terminal svg size 600,360 dynamic name "{name}" font "sans-serif,14"'
        + (' background "white"' if alone else ""),
        f'set title "{plot.title}" noenhanced' if alone else "",
        f'set xlabel "{plot.x}" noenhanced',
        f'set ylabel "{axis}" noenhanced',
        f'set format y "{numbered}"',
        "set key tmargin center horizontal maxrows 2",
        'set border 3 lc rgb "#808080"',
        'set grid ytics lc rgb "#808080" lw 0.4',
        'set datafile missing "?"',
        "set tics nomirror noenhanced",
        "set xtics rotate by -20" if max(len(label) for label, _ in found) > 7 else "",
        block(name, found, factor),
    ]
    if plot.style == "bars":
        settings += ["set style histogram clustered gap 1", "set boxwidth 0.9", "set yrange [0:*]"]
    else:
        settings += ["set offsets 0.2, 0.2, 0, 0", "set logscale y"]
    command = "\n".join([*settings, "plot " + ", ".join(curves(name, plot.style))]) + "\n"
    done = subprocess.run(["gnuplot"], input=command, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"gnuplot, {plot.name}: {done.stderr}")
    return done.stdout
