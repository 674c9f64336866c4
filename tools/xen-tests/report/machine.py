# SPDX-License-Identifier: GPL-2.0-only
"""Where something was measured: the computer, and the versions of what ran on it."""
import os
import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]


def first_line(*command):
    """Of what @command prints; "" where there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.partition("\n")[0].strip()


def find(pattern, path):
    """What the group of @pattern matches in a file, or ""."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""


def commit():
    name = first_line("git", "rev-parse", "--short=12", "HEAD")
    if not name:
        return "unknown (no git here)"
    changed = first_line("git", "status", "--porcelain", "--untracked-files=no")
    return name + (" with changes" if changed else "")


def describe(build):
    kernel = Path(build) / "kernel"
    return {
        "commit": commit(),
        "cpu": find(r"^model name\s*: (.*)", "/proc/cpuinfo") or "an unknown processor",
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": int(find(r"^MemTotal:\s*(\d+)", "/proc/meminfo") or 0) // 1024,
        "load": round(os.getloadavg()[0], 2),
        "system": find(r'^PRETTY_NAME="(.*)"', "/etc/os-release"),
        "linux": find(r"(.*)", kernel / "ours" / "release")
        or find(r"(.*)", kernel / "stock" / "release"),
        "compiler": find(r'^CONFIG_CC_VERSION_TEXT="(?:ccache )?(.*)"', kernel / "ours" / "config"),
        "qemu": first_line("qemu-system-x86_64", "--version"),
    }


def describe_lab(build, lab):
    """A lab's machine, as its last run on this computer shows it."""
    conf = TOP / "configs" / "lab" / f"{lab}.conf"
    settings = subprocess.run(
        ["bash", "-c", '. "$1"; echo "$LAB_SMP"; echo "$LAB_CPU"; echo "$LAB_MEMORY"', "-", conf],
        env=dict(os.environ, GM_TOP=str(TOP)),
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    console = Path(build) / "logs" / lab / "console.log"
    return {
        # bench.sh counts instructions where there is one processor.
        "counted": settings[0] == "1",
        "processors": int(settings[0]),
        "cpu": settings[1],
        "memory_mib": int(settings[2]),
        "xen": find(r"Xen version (\S+)", console),
    }
