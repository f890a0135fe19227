#!/usr/bin/env python3
"""Tables and charts of what bench/run.py measured.

usage: report.py RESULTS.json          print all tables
       report.py RESULTS.json --doc    write tables and charts into docs/performance.md, between its markers
"""
import summary
from scenarios import KINDS, SCENARIOS, by_name


def machine_text(machine):
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (f"{machine['processor']}, {machine['cores']} cores{' (virtual)' if machine['virtual'] else ''}, "
            f"{machine['memory_gib']} GiB; {machine['system']}, Linux {machine['kernel']}, Wine {machine['wine']}; GCC "
            f"{machine['compiler']}, MinGW GCC {machine['cross_compiler']}; {libraries}; commit {machine['commit']}; "
            f"{machine['time']}; load before: {machine['load_before']:.2f}")


def number(value, form):
    return "-" if value is None else format(value, form)


HEADER = ("server", "msg/s", "CPU us/msg", "spread", "x ours", "above floor", "readiness calls/msg", "all calls/msg",
          "calls/event (own count)", "p50 us", "p99 us", "B/connection")


def scenario_rows(table):
    ours, floor = table.get("ours", {}).get("cpu_us"), table.get("blocking", {}).get("cpu_us")
    for name, figures in table.items():
        above = None if floor is None else figures["cpu_us"] - floor
        yield (KINDS.get(name, name), number(figures["rate"], ",.0f"), number(figures["cpu_us"], ".1f"),
               f"±{figures['spread'] * 50:.0f} %", number(summary.ratio(figures["cpu_us"], ours), ".2f"),
               number(above, ".1f"), number(figures.get("calls"), ".3f"), number(figures.get("all_calls"), ".3f"),
               number(figures.get("calls_per_event"), ".3f"), number(figures["p50_us"], ",.0f"),
               number(figures["p99_us"], ",.0f"), number(figures["memory_bytes"], ",.0f"))


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                     for row in rows)


def place(system):
    return "under Wine" if system == "wine" else "on Linux"


def scenario_text(scenario, system, runs):
    table = summary.summarise(runs, scenario.name, system)
    return f"{scenario.name} {place(system)}: {scenario.title}\n" + aligned([HEADER, *scenario_rows(table)])


def target_rows(results):
    for row in summary.targets(results):
        met = "not measured" if row["met"] is None else "yes" if row["met"] else "NO"
        yield row["what"], f"<= {row['bound']:.2f}", number(row["measured"], ".3f"), met


def targets_text(results):
    return "Targets\n" + aligned([("target", "bound", "measured", "met"), *target_rows(results)])


def draw_charts(results, folder):
    return []
