# SPDX-License-Identifier: GPL-2.0-only
"""Are figures judged as bench/targets says? python3 -m unittest, in this folder."""
import contextlib
import io
import json
import tempfile
import types
import unittest
from pathlib import Path

import bench
from figures import Figures, Malformed, Plot, evaluate, missed_text, number, parse_targets, ratio_text


def figure(kernel, row, p50, lab="bench", rnd=1, unit="ticks", cut=0):
    return dict(lab=lab, kernel=kernel, round=rnd, row=row, unit=unit, n=1, min=p50, p50=p50,
                p99=p50, max=p50, cut=cut)


def targets_of(*lines):
    with tempfile.NamedTemporaryFile("w", suffix=".targets") as out:
        out.write("\n".join(["== Heading", *lines]))
        out.flush()
        return parse_targets(out.name)


def line_of(target, *rows):
    targets, _ = targets_of(target)
    return evaluate(targets[0], Figures(rows))


class Targets(unittest.TestCase):
    def test_the_file_of_the_project_is_well_formed(self):
        targets, plots = parse_targets(Path(__file__).parents[1] / "bench" / "targets")
        self.assertGreater(len(targets), 100)
        self.assertGreater(len(plots), 5)

    def test_what_is_malformed_is_named_with_its_line(self):
        for bad in (
            "a | bench | p50 | ratio < 1 | - | what",
            "a | bench | p51 | - | - | what",
            "a | bench | p50 | -",
            "a | bench | p50 | ratio <= 1.0 of b | - | what",
            "a | bench | p50 | - | - | what | 1.1",
            "plot | a | bench | a.* | x | pie | title",
        ):
            with self.assertRaisesRegex(Malformed, ":2: ", msg=bad):
                targets_of(bad)

    def test_a_known_miss_that_would_be_none_is_refused(self):
        with self.assertRaises(Malformed):
            targets_of("a | bench | p50 | ratio <= 1.0 | - | what | 0.9")

    def test_a_plot_takes_the_rows_it_names(self):
        plot = Plot("a", "bench", ("cycle.#", "limit.*", "one"), "", "bars", "")
        self.assertEqual("60000", plot.label("cycle.60000"))
        self.assertIsNone(plot.label("cycle.0.mmap"))
        self.assertIsNone(plot.label("cycle."))
        self.assertEqual("map", plot.label("limit.map"))
        self.assertEqual("one", plot.label("one"))
        self.assertEqual("one", Plot("a", "bench", ("two.one",), "", "bars", "").label("two.one"))
        self.assertIsNone(plot.label("one.more"))


class Verdicts(unittest.TestCase):
    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        rows = [figure("ours", "a", v, rnd=r) for r, v in ((1, 10), (2, 90), (3, 20))]
        rows += [figure("stock", "a", v, rnd=r) for r, v in ((1, 20), (2, 100), (3, 20))]
        line = line_of("a | bench | p50 | ratio <= 0.9 | - | what", *rows)
        self.assertEqual([0.9, 0.5, 1.0], line["ratio"])
        self.assertEqual("met", line["verdict"])

    def test_a_miss_says_by_how_much(self):
        line = line_of("a | bench | p50 | ratio <= 0.8 | - | what",
                       figure("ours", "a", 858), figure("stock", "a", 1000))
        self.assertEqual(("missed", False), (line["verdict"], line["known"]))
        self.assertEqual("0.858 against 0.8, 7.3 % too much", missed_text(line))

    def test_at_least(self):
        line = line_of("a | bench | p50 | ours >= 1.6 of b | - | what",
                       figure("ours", "a", 12), figure("ours", "b", 10))
        self.assertEqual("missed", line["verdict"])
        self.assertEqual("1.2 against 1.6, 25.0 % too little", missed_text(line))

    def test_more_is_a_difference(self):
        rows = figure("ours", "a", 128, unit="bytes"), figure("stock", "a", 96, unit="bytes")
        self.assertEqual("met", line_of("a | bench | p50 | more <= 64 | - | what", *rows)["verdict"])
        line = line_of("a | bench | p50 | more <= 8 | - | what", *rows)
        self.assertEqual("32 against 8 bytes, 300.0 % too much", missed_text(line))

    def test_a_known_miss_is_known_only_up_to_there(self):
        for p50, known in ((1140, True), (1160, False)):
            line = line_of("a | bench | p50 | ratio <= 1.0 | - | what | 1.15",
                           figure("ours", "a", p50), figure("stock", "a", 1000))
            self.assertEqual(("missed", known), (line["verdict"], line["known"]))

    def test_any_miss_may_be_known(self):
        line = line_of("a | bench | p50 | ratio >= 1.0 | - | what | any",
                       figure("ours", "a", 1), figure("stock", "a", 1000))
        self.assertTrue(line["known"])

    def test_what_was_not_measured_is_neither_met_nor_missed(self):
        target = "a | bench | p50 | ours <= 1.0 of b | - | what"
        self.assertEqual("not measured", line_of(target)["verdict"])
        self.assertEqual("not measured", line_of(target, figure("ours", "a", 1))["verdict"])

    def test_another_lab_is_another_figure(self):
        line = line_of("a | bench | p50 | ours <= 1 | - | what", figure("ours", "a", 1, lab="other"))
        self.assertEqual("not measured", line["verdict"])

    def test_what_was_cut_off_is_a_lower_bound(self):
        line = line_of("a | bench | p50 | ratio <= 1.0 | - | what",
                       figure("ours", "a", 1), figure("stock", "a", 10**9, cut=1))
        self.assertTrue(line["stock_cut"])
        self.assertFalse(line["ours_cut"])

    def test_ratios(self):
        for ratio, stock_cut, text in (
            ([0.5, 0.5, 0.5], False, "0.500"),
            ([0.5, 0.4, 0.6], False, "0.500 (0.400 to 0.600)"),
            ([4.2e-7] * 3, True, "< 1 : 2 400 000"),
            ([0] * 3, False, "0.000"),
        ):
            self.assertEqual(text, ratio_text({"ratio": ratio, "stock_cut": stock_cut}))
        self.assertEqual("-", ratio_text({"ratio": None, "stock_cut": False}))

    def test_numbers(self):
        self.assertEqual(["-", "12 ns", "1.5 us", "2.00 ms", "1.00 s", "37.80 instr./page", "7 bytes"],
                         [number(None, "ns"), number(12, "ns"), number(1500, "ns"),
                          number(2e6, "ns"), number(1e9, "ns"), number(37800, "ticks/kpage"),
                          number(7, "bytes")])


class Runs(unittest.TestCase):
    """The whole of it, in a build folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name) / "build"
        (self.build / "bench").mkdir(parents=True)
        self.targets = self.build / "targets"

    def judge(self, target, ours, stock):
        self.targets.write_text(f"== H\n{target}\nplot | a | bench | a | x | bars | t\n")
        rows = [figure("ours", "a", ours), figure("stock", "a", stock)]
        lines = [",".join(rows[0])] + [",".join(str(v) for v in row.values()) for row in rows]
        (self.build / "bench" / "figures.csv").write_text("\n".join(lines) + "\n")
        args = types.SimpleNamespace(build=self.build, targets=self.targets, partial=False, test=None)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = bench.judge(args)
        return status, out.getvalue()

    def test_status(self):
        target = "a | bench | p50 | ratio <= 1.0 | - | what | 1.2"
        status, out = self.judge(target, 10, 10)
        self.assertEqual(0, status)
        self.assertIn("1 targets met, 0 missed (0 of them known)", out)
        status, out = self.judge(target, 11, 10)
        self.assertEqual(3, status)
        self.assertRegex(out, r"known to be.*\n\n\* `a` p50, lab bench: 1.1 against 1, 10.0 % too much")
        status, out = self.judge(target, 13, 10)
        self.assertEqual(1, status)
        self.assertRegex(out, r"## Missed\n\n\* `a` p50")

    def test_a_run_is_kept_and_drawn(self):
        self.judge("a | bench | p50 | ratio <= 1.0 | - | what", 10, 10)
        kept = bench.saved_runs(self.build / "bench")
        self.assertEqual(1, len(kept))
        run = bench.load(kept[0])
        self.assertEqual({"bench"}, set(run["labs"]))
        self.assertTrue(run["labs"]["bench"]["counted"])
        self.assertEqual(10, run["lines"][0]["ours"])
        self.assertIn("<svg", (self.build / "bench" / "a.svg").read_text())

    def test_a_run_of_another_version_is_refused(self):
        path = self.build / "bench" / "2026-01-01T000000Z.json"
        path.write_text(json.dumps({"format": 0}))
        with self.assertRaises(Malformed):
            bench.load(path)

    def keep(self, name, ours, counted, verdict="met", lab="bench"):
        line = dict(lab=lab, row="a", figure="p50", target="ratio <= 1", unit="ticks", ours=ours,
                    ratio=[ours / 100] * 3, verdict=verdict)
        run = {"format": bench.FORMAT, "machine": {"commit": "c"}, "lines": [line],
               "labs": {lab: {"counted": counted}}}
        path = self.build / "bench" / f"{name}.json"
        path.write_text(json.dumps(run))
        return path

    def compare(self, old=None, new=None):
        args = types.SimpleNamespace(build=self.build, old=old, new=new)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            bench.compare(args)
        return out.getvalue()

    def test_compare_takes_the_last_two_of_the_same_lab(self):
        self.keep("2026-01-01T000000Z", 100, True)
        self.keep("2026-01-02T000000Z", 100, True, lab="other")
        self.keep("2026-01-03T000000Z", 110, True, verdict="missed")
        out = self.compare()
        self.assertIn("2026-01-01T000000Z.json (commit c) -> 2026-01-03T000000Z.json", out)
        self.assertRegex(out, r"a p50 +100 instr. -> +110 instr. +\+10.0%  met -> missed")

    def test_compare_leaves_out_what_is_within_the_noise(self):
        old = self.keep("2026-01-01T000000Z", 100, False)
        new = self.keep("2026-01-02T000000Z", 120, False)
        self.assertRegex(self.compare(old, new), r"\n0 figures of ours changed .* 1 did not")
        new = self.keep("2026-01-03T000000Z", 130, False)
        self.assertRegex(self.compare(old, new), r"\n1 figures of ours changed")

    def test_compare_with_nothing_kept(self):
        with self.assertRaisesRegex(Malformed, "make bench"):
            self.compare()
        self.keep("2026-01-01T000000Z", 100, True)
        with self.assertRaisesRegex(Malformed, "no older run"):
            self.compare()


if __name__ == "__main__":
    unittest.main()
