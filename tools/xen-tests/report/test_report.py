# SPDX-License-Identifier: GPL-2.0-only
"""Does the page say what was measured and tested? python3 -m unittest, in this folder."""
import contextlib
import io
import re
import tempfile
import types
import unittest
from pathlib import Path

import bench
import documents
import report
import results

TARGETS = Path(__file__).parents[1] / "bench" / "targets"

KTAP = """KTAP version 1
1..3
  TAP version 13
  1..4
  # file.c:1: not ok 9 in a diagnostic
  ok 1 busy.g02_one
  not ok 2 busy.g02_two # why
  ok 3 busy.g02_three # SKIP not here
  ok 4 - busy.all.g12_four
not ok 1 busy
  1..2
  ok 1 map.g2_of_another_name
not ok 2 died
  1..0 # SKIP not on this machine
ok 3 skipped
"""


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.kept = Path(folder.name)

    def keep(self, counts, ktap=KTAP, suite="grants", kernel="ours"):
        path = self.kept / kernel / "pv" / suite
        path.mkdir(parents=True)
        (path / "run").write_text(f"2026-01-01T00:00:00Z abc {counts}\n")
        if ktap:
            (path / f"{suite}.ktap").write_text(ktap)

    def test_tests_are_counted_and_a_program_that_died_is_a_failure(self):
        self.keep("3 2 1")
        (suite,) = results.load(self.kept)
        self.assertEqual((3, 2, 1), tuple(suite.count(v) for v in ("ok", "failed", "skipped")))
        self.assertEqual("failed", suite.tests["busy", "busy.g02_two"])
        self.assertEqual(["died"], suite.broken)

    def test_a_file_without_programs(self):
        self.keep("1 1 0", "KTAP version 1\n1..2\nok 1 a\nnot ok 2 b\n", "runner")
        (suite,) = results.load(self.kept)
        self.assertEqual((1, 1), (suite.count("ok"), suite.count("failed")))
        self.assertEqual([], suite.broken)

    def test_what_failed_outside_of_every_suite_is_the_machines(self):
        self.keep("3 3 1")
        (suite,) = results.load(self.kept)
        self.assertEqual((1, 3), (suite.machine_failed, suite.count("failed")))

    def test_a_machine_that_left_nothing_has_failed(self):
        self.keep("0 1 0", ktap=None)
        (suite,) = results.load(self.kept)
        self.assertEqual(1, suite.count("failed"))

    def test_two_suites_of_one_run_share_its_count(self):
        self.keep("6 4 2")
        self.keep("6 4 2", suite="hmm")
        self.assertEqual([0, 0], [suite.machine_failed for suite in results.load(self.kept)])

    def test_outcome_is_of_the_rows_own_tests_and_kernel(self):
        self.keep("3 2 1")
        self.keep("3 2 1", kernel="stock")
        suites = results.load(self.kept)
        ours, stock = results.of_ours(suites), results.of_stock(suites)
        self.assertEqual({"ok": 1, "failed": 1, "skipped": 1},
                         results.outcome(ours, results.test_id("G2")))
        self.assertEqual(1, results.outcome(stock, results.test_id("G12"))["ok"])
        self.assertEqual(0, results.outcome(ours, results.test_id("G1"))["ok"])

    def test_a_flavour_stands_for_ours_where_that_was_not_run(self):
        self.keep("3 2 1", kernel="debug")
        self.keep("3 2 1", kernel="debug", suite="hmm")
        self.keep("3 2 1", suite="hmm")
        self.keep("3 2 1", kernel="stock", suite="other")
        self.keep("3 2 1", kernel="debian", suite="third")
        chosen = {(s.kernel, s.name) for s in results.of_ours(results.load(self.kept))}
        self.assertEqual({("debug", "grants"), ("ours", "hmm")}, chosen)


class Documents(unittest.TestCase):
    def test_the_projects_list_of_defects_is_read(self):
        docs = report.TOP / "Documentation"
        rows = list(documents.defects(docs / "stock-comparison.md"))
        idents = " ".join(row.ident for row in rows)
        for ident in ("G1", "G21", "N1", "N8", "H1", "H7"):
            self.assertRegex(idents, rf"\b{ident}\b")
        states = documents.states(docs / "requirements.md")
        self.assertTrue(states["G2"].startswith("done"))
        self.assertIn("N4", states)

    def test_cells_are_html_without_links(self):
        self.assertEqual("<code>a &lt; b</code> see there",
                         documents.inline_html("`a < b` see [there](bench.md)"))
        self.assertNotIn("<script", documents.inline_html("<script>x</script>"))


class Page(unittest.TestCase):
    """A page of a build folder with two runs and some results."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)
        (self.build / "bench").mkdir()

    def measure(self, *figures, test=None):
        head = "lab,kernel,round,row,unit,n,min,p50,p99,max,cut\n"
        lines = [f"{lab},{kernel},1,{row},ticks,1,{v},{v},{v},{v},0\n" for lab, kernel, row, v in figures]
        (self.build / "bench" / "figures.csv").write_text(head + "".join(lines))
        args = types.SimpleNamespace(build=self.build, targets=TARGETS, partial=True, test=test)
        with contextlib.redirect_stdout(io.StringIO()):
            bench.judge(args)
        # The next run has another name.
        path = bench.saved_runs(self.build / "bench")[-1]
        number = len(bench.saved_runs(self.build / "bench"))
        path.rename(path.with_name(f"2026-01-0{number}T000000Z.json"))

    def page(self):
        return report.render(self.build, TARGETS)

    def test_an_empty_page_says_what_to_do(self):
        page = self.page()
        for command in ("make bench LAB=bench", "make test KERNEL=stock", "make coverage"):
            self.assertIn(command, page)

    def test_figures_misses_and_plots(self):
        self.measure(("bench-pv", "ours", "grants.cycle.0", 858), ("bench-pv", "stock", "grants.cycle.0", 1000))
        page = self.page()
        self.assertIn("0.858 against 0.8, 7.3\u00a0% too much", page)
        self.assertIn("<svg", page)
        self.assertIn("Not measured here: labs bench, bench-gpu", page)

    def test_each_lab_is_of_its_own_last_complete_run(self):
        self.measure(("bench", "ours", "read_begin", 1111), ("bench", "stock", "read_begin", 2000))
        self.measure(("bench-pv", "ours", "grants.cycle.0", 3333))
        self.measure(("bench", "ours", "read_begin", 4444), test="one")
        page = self.page()
        self.assertIn("1111 instr.", page)
        self.assertIn("3333 instr.", page)
        self.assertNotIn("4444 instr.", page)

    def test_it_says_what_has_changed_since(self):
        self.measure(("bench", "ours", "read_begin", 1000), ("bench", "stock", "read_begin", 2000))
        self.measure(("bench", "ours", "read_begin", 1100), ("bench", "stock", "read_begin", 2000))
        self.assertRegex(self.page(), r"1000 instr., now 1100 instr. \(\+10.0 %\)")

    def test_it_needs_nothing_but_itself(self):
        self.measure(("bench", "ours", "storm.read.8", 1000), ("bench", "stock", "storm.read.8", 2000))
        page = self.page()
        self.assertNotRegex(page, r"(?i)<script|<link|<img|@import|url\(")
        for link in re.findall(r"(?:href|src)=[\"']([^\"']*)", page):
            self.assertTrue(link.startswith("#"), link)
        ids = re.findall(r"\bid=[\"']([^\"']*)", page)
        self.assertEqual(len(ids), len(set(ids)))

    def test_a_row_of_defects_has_the_outcome_of_its_tests(self):
        for kernel, ktap in (("ours", KTAP.replace("not ok 2", "ok 2")), ("stock", KTAP)):
            path = self.build / "kept" / kernel / "pv" / "grants"
            path.mkdir(parents=True)
            (path / "run").write_text("2026-01-01T00:00:00Z abc 3 1 1\n")
            (path / "grants.ktap").write_text(ktap)
        row = next(row for row in report.defects(results.load(self.build / "kept")) if row["ident"] == "G2")
        self.assertEqual({"ok": 2, "failed": 0, "skipped": 1}, row["tests"]["ours"])
        self.assertEqual({"ok": 1, "failed": 1, "skipped": 1}, row["tests"]["stock"])
        self.assertIn("rss-counter", row["stock"])

    def test_coverage(self):
        (self.build / "coverage").mkdir()
        (self.build / "coverage" / "files.csv").write_text(
            "file,lines,lines_hit,branches,branches_hit\nmm/a.c,100,95,10,5\nmm/b.c,100,100,0,0\n")
        page = self.page()
        self.assertIn("97.5\u00a0%", page)
        self.assertIn("5 of 100", page)


if __name__ == "__main__":
    unittest.main()
