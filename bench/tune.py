#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what decides the constants of reactor/afd/group_policy.hpp, and draws it.

usage: bench/tune.py [--costs FILE] [--doc]

First what one AFD_POLL costs by how many sockets it lists (bench/tune/poll_cost.cpp, under Wine, the least of five
runs), or from a file of an earlier run. Then, for each value of a constant, what the policy costs by how often sockets fire
(bench/tune/policy_cost.cpp, over a kernel that only counts), where an entry costs what the first measurement says.
Writes build/bench/tune.json and, with matplotlib, build/bench/tune-*.svg and .png; with --doc, also what
docs/performance/tuning.md has between its `tune` markers, with the charts of the constants that move the mean by 2 %.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys

import processes
import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build/bench"
WORK = OUT / "tune"
HEADER = "reactor/afd/group_policy.hpp"
SWEEPS = {"near_rounds": [4, 8, 16, 32], "idle_rounds_max": [4, 8, 16, 32, 64], "hot_score": [1, 2, 4],
          "toggle_score": [-4, -16, -64, -120], "members_per_event": [1, 2, 4, 8, 16, 32], "members_min": [2, 4, 8]}
SEES_POLICY = ["reactor/afd/afd_backend.cpp", "reactor/afd/by_number.cpp", "reactor/afd/dispatcher.cpp",
               "reactor/afd/groups.cpp", "reactor/afd/wait_loop.cpp", "bench/tune/policy_cost.cpp"]


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"FAIL tune: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def poll_costs():
    run("cmake", "--preset", "bench-wine")
    run("cmake", "--build", "--preset", "bench-wine", "--target", "tune_poll_cost")
    processes.start_wine_afresh()
    try:
        runs = [lines(run(processes.WINE_SCRIPT, processes.program("wine", "tune_poll_cost"))) for _ in range(5)]
    finally:
        processes.stop_wine()
    return [min(points, key=lambda point: point["us"]) for points in zip(*runs)]  # the least disturbed


def entries_per_call(costs):
    """How many more sockets in a poll cost as much as a poll: from those where none or one was ready, at 64 listed."""
    at = {(c["listed"], c["ready"]): c["us"] for c in costs if "listed" in c}
    slopes = [(at[64, ready] - at[1, ready]) / 63 for ready in (0, 1)]
    return (at[1, 0] + at[1, 1]) / 2 / max(sum(slopes) / 2, 1e-3)


def policy_cost(constant, value):
    """Builds the measurement with that constant changed, in a copy of the header that is found first."""
    place = WORK / f"{constant}-{value}"
    header = place / HEADER
    header.parent.mkdir(parents=True, exist_ok=True)
    text, count = re.subn(rf"(static constexpr std::(?:u?int\d+|size)_t {constant} = )[^;]+;", rf"\g<1>{value};",
                          (ROOT / HEADER).read_text(encoding="utf-8"))
    if count != 1:
        sys.exit(f"FAIL tune: {constant} stands {count} times in {HEADER}")
    header.write_text(text, encoding="utf-8")
    program = place / "policy_cost"
    run("g++", "-std=c++23", "-O1", f"-I{place}", f"-I{ROOT}", *[ROOT / source for source in SEES_POLICY],
        ROOT / "build/linux/reactor/libreactor.a", "-o", program)
    return lines(run(program))


def cost(point, per_call):
    """Of an event, in calls: what lists many sockets costs more than a call."""
    return (point["calls"] + (point["group_members"] - point["group_arms"]) / per_call) / point["events"]


def draw(sweeps, costs, per_call):
    try:
        import matplotlib
    except ImportError:
        print("no charts: matplotlib is not here")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    for constant, values in sweeps.items():
        patterns = sorted({p["pattern"] for p in next(iter(values.values()))})
        figure, axes = pyplot.subplots(1, len(patterns), figsize=(5 * len(patterns), 4), sharey=True)
        for axis, pattern in zip(axes, patterns):
            for value, points in values.items():
                with_groups = {p["rate"]: cost(p, per_call) for p in points if p["pattern"] == pattern and p["groups"]}
                without = {p["rate"]: cost(p, per_call) for p in points if p["pattern"] == pattern and not p["groups"]}
                rates = sorted(with_groups)
                axis.plot(rates, [with_groups[r] / without[r] for r in rates], label=f"{constant} = {value}", marker=".")
            axis.set(xscale="log", title=pattern, xlabel="how likely an active socket fires between two waits")
            axis.axhline(1, color="grey", linewidth=0.5)
        axes[0].set_ylabel("cost of an event, against groups off")
        axes[0].legend(fontsize="small")
        save(figure, f"tune-{constant}")
    figure, axis = pyplot.subplots(figsize=(5, 4))
    costs = [c for c in costs if "listed" in c]
    listed = sorted({c["listed"] for c in costs})
    for name, ready in (("none ready", lambda n: 0), ("one ready", lambda n: 1), ("all ready", lambda n: n)):
        at = {c["listed"]: c["us"] for c in costs if c["ready"] == ready(c["listed"])}
        axis.plot(listed, [at[n] for n in listed], label=name, marker=".")
    axis.set(xlabel="sockets listed in one AFD_POLL", ylabel="microseconds, under Wine", title="What one AFD_POLL costs")
    axis.legend()
    save(figure, "tune-poll-cost")


def save(figure, name):
    figure.tight_layout()
    for kind in ("svg", "png"):
        figure.savefig(OUT / f"{name}.{kind}")


def sweep_rows(values, per_call):
    for value, points in values.items():
        pairs = {}
        for p in points:
            pairs.setdefault((p["pattern"], p["rate"]), {})[p["groups"]] = cost(p, per_call)
        ratios = [pair[True] / pair[False] for pair in pairs.values()]
        yield value, sum(ratios) / len(ratios), max(ratios)


def write_doc(costs, per_call, sweeps, machine):
    page = ROOT / "docs/performance/tuning.md"
    folder = page.parent
    means = {constant: [mean for _, mean, _ in sweep_rows(values, per_call)] for constant, values in sweeps.items()}
    decisive = [constant for constant in sweeps if max(means[constant]) > 1.02 * min(means[constant])]
    drawn = [OUT / f"tune-{name}.svg" for name in [*decisive, "poll-cost"]]
    for picture in drawn:
        shutil.copy(picture, folder)
    lines = [f"One AFD_POLL costs as much as {per_call:.0f} more sockets in one, under Wine. "
             f"Made by `bench/tune.py --doc` on: {report.machine_text(machine)}.", "", "| constant | value | mean cost of an event | worst |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {constant} | {value} | {mean:.3f} | {worst:.3f} |"
              for constant, values in sweeps.items() for value, mean, worst in sweep_rows(values, per_call)]
    lines += ["", *(f"![{picture.stem}]({picture.name})" for picture in drawn)]
    idle = ["Made by `bench/tune.py --doc` too.", "", "| sockets that wait | in a request | a poll of another, us |", "| ---: | ---: | ---: |"]
    idle += [f"| {c['waiting']:,} | {c['in_a_request'] or '-'} | {c['us']:.1f} |" for c in costs if "waiting" in c]
    text = page.read_text(encoding="utf-8")
    for name, part in (("policy", lines), ("idle", idle)):
        text, count = re.subn(rf"(<!-- tune {name} -->\n).*?(<!-- end -->)",
                              lambda m, p=part: m[1] + "\n".join(p) + "\n" + m[2], text, flags=re.DOTALL)
        if count != 1:
            sys.exit(f"FAIL tune: {page.name} has {count} places for '{name}', expected 1")
    page.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", help="the lines that bench/tune/poll_cost.cpp printed in an earlier run")
    parser.add_argument("--doc", action="store_true", help="write it into docs/performance/tuning.md")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    machine = processes.machine()  # as it is before it is kept busy
    costs = lines(pathlib.Path(arguments.costs).read_text(encoding="utf-8")) if arguments.costs else poll_costs()
    per_call = entries_per_call(costs)
    print(f"one AFD_POLL costs as much as {per_call:.0f} more sockets in one")
    run("cmake", "--build", "--preset", "linux", "--target", "reactor")
    sweeps = {constant: {value: policy_cost(constant, value) for value in values} for constant, values in SWEEPS.items()}
    for constant, values in sweeps.items():
        print(f"\n{constant:<12} {'mean cost':>10} {'worst':>7}   against groups off, over all patterns and rates")
        for value, mean, worst in sweep_rows(values, per_call):
            print(f"{value:<12} {mean:>10.3f} {worst:>7.3f}")
    (OUT / "tune.json").write_text(json.dumps({"poll_costs": costs, "entries_per_call": per_call, "sweeps": sweeps},
                                              indent=1) + "\n", encoding="utf-8")
    draw(sweeps, costs, per_call)
    if arguments.doc:
        write_doc(costs, per_call, sweeps, machine)


main()
