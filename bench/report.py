#!/usr/bin/env python3
"""Tables and charts of what bench/run.py measured.

usage: report.py RESULTS.json          print all tables
       report.py RESULTS.json --doc [EQUAL.json]
                                       write the tables into docs/performance/results.md, verdicts and charts into
                                       docs/performance.md, and the picture of README.md; from results that were made
                                       with REACTOR_WINESERVER_NICE=0 also what that changes
       report.py RESULTS.json --loop   write only the part of results.md about reactor::loop
"""
import json
import pathlib
import re
import sys

import charts
import readme_chart
import summary
from processes import Problem
from scenarios import SCENARIOS, label_of
from scenarios import WAITERS as WAITERS_SCENARIOS

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
PAGE, TABLES = DOCS / "performance.md", DOCS / "performance/results.md"
CALLS_IN_TABLES = ("1-of-1", "64-of-64", "register")  # kernel calls by kind are long: these in the page, all when printed


def machine_text(machine):
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (f"{machine['processor']}, {machine['cores']} cores{' (virtual)' if machine['virtual'] else ''}, "
            f"{machine['memory_gib']} GiB; {machine['system']}, Linux {machine['kernel']}, Wine {machine['wine']} "
            f"(wineserver at nice {machine['wineserver_nice']}); GCC "
            f"{machine['compiler']}, MinGW GCC {machine['cross_compiler']}; {libraries}; commit {machine['commit']}; "
            f"{machine['time']}; load before: {machine['load_before']:.2f}")


def number(value, form):
    return "-" if value is None else format(value, form)


# Column, figure, format; a share is shown in percent, a half spread with its sign.
ECHO = (("msg/s", "rate", ",.0f"), ("CPU us/msg", "cpu_us", ".1f"), ("spread", "spread", "spread"),
        ("server's own", "server_us", ".1f"), ("x ours", "times_ours", ".2f"), ("above floor", "above_floor", ".1f"), ("calls/msg, no I/O", "calls", ".3f"),
        ("all calls/msg", "all_calls", ".3f"), ("own calls/event", "calls_per_event", ".3f"), ("p50 us", "p50_us", ",.0f"),
        ("p99 us", "p99_us", ",.0f"), ("B/conn.", "memory_bytes", ",.0f"), ("fairness", "fairness", ".2f"),
        ("others' CPU", "foreign", ".0%"))
WAITERS = (("msg/s", "rate", ",.0f"), ("CPU us/msg", "cpu_us", ".1f"), ("spread", "spread", "spread"), ("x ours", "times_ours", ".2f"),
           ("own calls/msg", "calls_per_message", ".3f"), ("own calls/event", "calls_per_event", ".3f"),
           ("events/msg", "events_per_message", ".3f"), ("all calls/msg", "all_calls", ".3f"), ("p50 us", "p50_us", ",.0f"), ("p99 us", "p99_us", ",.0f"),
           ("fairness", "fairness", ".2f"), ("others' CPU", "foreign", ".0%"))
REGISTER = (("add us", "add_us", ".2f"), ("arm us", "arm_us", ".2f"), ("remove us", "remove_us", ".2f"),
            ("settle us", "settle_us", ".2f"), ("all us", "cpu_us", ".2f"), ("spread", "spread", "spread"),
            ("x ours", "times_ours", ".2f"), ("calls", "all_calls", ".2f"), ("bytes", "registration_bytes", ".0f"))
WAKE = (("wakes/s", "rate", ",.0f"), ("p50 us", "p50_us", ".1f"), ("p99 us", "p99_us", ".1f"), ("x ours", "times_ours", ".2f"),
        ("spread", "spread", "spread"))


def columns_of(scenario):
    if scenario.name in WAITERS_SCENARIOS:
        return WAITERS
    return {"register": REGISTER, "wake": WAKE}.get(scenario.name, ECHO)


def cell(figures, name, form):
    value = figures.get(name)
    if form == "spread":
        return "-" if value is None else f"±{value * 50:.0f} %"
    return number(value, form)


def scenario_rows(scenario, table):
    """Yields the header, and a row for each server."""
    columns = columns_of(scenario)
    yield ("server", *(title for title, _, _ in columns))
    ours, floor = table.get("ours", table.get("http-poller", {})).get("cpu_us"), table.get("blocking", {}).get("cpu_us")
    for name, figures in table.items():
        figures = {**figures, "times_ours": summary.ratio(figures["cpu_us"], ours)}
        if floor is not None:
            figures["above_floor"] = figures["cpu_us"] - floor
        yield (label_of(name, figures["kind"]), *(cell(figures, figure, form) for _, figure, form in columns))


def calls_rows(table):
    """Yields the header, and the kernel calls by name of each server that was counted."""
    yield "server", "kernel calls by kind, each per message (register: per registration)"
    for name, figures in table.items():
        if by_name := figures.get("calls_by_name"):
            often_first = sorted(by_name.items(), key=lambda item: -item[1])
            yield (label_of(name, figures["kind"]), ", ".join(f"{call.removeprefix('NtDeviceIoControlFile ')} {count:.3f}"
                                                              for call, count in often_first if count >= 0.0005))


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                     for row in rows)


def on_system(system):
    return "under Wine" if system == "wine" else "on Linux"


def scenario_text(scenario, system, runs):
    table = summary.summarise(runs, scenario.name, system)
    lines = [f"{scenario.name} {on_system(system)}: {scenario.title}", aligned(list(scenario_rows(scenario, table)))]
    lines += [f"  {server}: {calls}" for server, calls in list(calls_rows(table))[1:]]
    return "\n".join(lines)


def micro_rows(micro):
    yield "what", "ns", "ns per event"
    for row in micro:
        name = row["name"].replace("/sockets:", ", sockets: ").replace("/groups:", ", groups: ").replace("/", ", beside ")
        yield name, number(row["ns"], ",.0f"), number(row["event_ns"], ".0f")


def micro_text(micro):
    return "The library itself, over a kernel that costs next to nothing\n" + aligned(list(micro_rows(micro)))


SCALE_OPERATIONS = {
    "add": "add, from none to all", "arm": "arm (part of a wait)", "remove": "remove a random one",
    "dequeue_cancelled": "dequeue its cancelled poll (part of a wait)", "add_again": "add it again",
    "arm_again": "arm it again (part of a wait)", "modify": "modify a random one",
    "event": "event of a random one (part of two waits)", "churn": "the only free slot, again and again (remove, wait, add, wait)",
    "empty": "remove, from all to none"}


def scale_rows(scale):
    counts = [row["sockets"] for row in scale["sockets"]]
    yield ("ns per operation, of registrations", *(f"{count:,}" for count in counts), "beyond misses", "longest, us")
    for name, costs in summary.scale_costs(scale).items():
        longest = [cost["longest_ns"] / 1000 for cost in costs if "longest_ns" in cost]
        yield (SCALE_OPERATIONS[name], *(number(cost["ns"], ",.0f") for cost in costs), "< 1" if costs[-1]["beyond"] < 1 else number(costs[-1]["beyond"], ".1f"),
               number(longest[-1], ",.0f") if longest else "-")
    yield ("cache misses alone", *(number(row["baseline_ns"], ",.0f") for row in scale["sockets"]), "-", "-")
    yield ("bytes per registration, by stats", *(number(row["memory_bytes"] / row["sockets"], ",.1f") for row in scale["sockets"]),
           "-", "-")


def poller_rows(scale):
    yield "Pollers, a thread each", "CPU ns per event", "million events/s in all"
    for row in scale["pollers"]:
        yield str(row["pollers"]), number(row["cpu_ns_per_event"], ".1f"), number(row["events_per_second"] / 1e6, ".1f")


def scale_text(scale):
    return ("The library itself, by how many there are, over the same kernel\n" + aligned(list(scale_rows(scale))) + "\n\n" +
            aligned(list(poller_rows(scale))))


TARGET_COLUMNS = ("target", "bound", "median", "between", "met")


def target_rows(results):
    for row in summary.targets(results):
        between = "-" if row["interval"] is None else "{:.3f} to {:.3f}".format(*row["interval"])
        yield (row["what"], f"{row['sign']} {row['bound']:.2f}", number(row["measured"], ".3f"), between, row["met"] or "not measured")


def verdict_rows(rows):
    """Targets of one kind in a row, by verdict, each with its scenario and its median. `rows`: what target_rows gives."""
    verdicts = ("yes", "in noise", "NO", "not measured")
    yield "target", "bound", "met", "in noise", "missed", "not measured"
    kinds = {}
    for what, bound, median, _, met in rows:
        # A bound that differs by scenario stands beside the scenario.
        kind, _, scenario = what.partition(", ")
        sign, _, bound = bound.partition(" ")
        kinds.setdefault((kind, sign), []).append((scenario, bound, median, met))
    for (kind, sign), cells in kinds.items():
        bounds = list(dict.fromkeys(bound for _, bound, _, _ in cells))
        one_bound = bounds[0] if len(bounds) == 1 else ""
        columns = []
        for verdict in verdicts:
            texts = [scenario if median == "-" else f"{scenario} {float(median):.2f}{'' if one_bound else f' of {bound}'}".strip()
                     for scenario, bound, median, met in cells if met == verdict]
            columns.append("; ".join(texts) or "-")
        yield (kind, f"{sign} {one_bound}" if one_bound else "by scenario", *columns)


def targets_text(results):
    return "Targets\n" + aligned([TARGET_COLUMNS, *target_rows(results)])


def present(results):
    """(scenario, system) of all runs, in order."""
    keys = {(r["scenario"], r["system"]) for r in results["runs"]}
    return [(s, system) for system in ("wine", "linux") for s in SCENARIOS if (s.name, system) in keys]


def markdown(rows, alignment=" ---: |"):
    header, *body = rows
    lines = ["| " + " | ".join(header) + " |", "| --- |" + alignment * (len(header) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def weight_rows(results, equal):
    """What each server costs under Wine with a wineserver of less weight, and with one of equal weight."""
    yield "scenario", "server", "CPU us/msg", "with equal weight", "p99 us", "with equal weight"
    for scenario, system in present(equal):
        tables = [summary.summarise(r["runs"], scenario.name, system) for r in (results, equal)]
        for name, figures in tables[1].items():
            if name in tables[0]:
                cells = [number(t[name][f], ",.0f") for f in ("cpu_us", "p99_us") for t in tables]
                yield (scenario.name, label_of(name, figures["kind"]), *cells)


def weight_part(results, equal):
    return (f"Made by `REACTOR_WINESERVER_NICE=0 {equal['command'].strip()}` at commit "
            f"{equal['machine']['commit']}, beside the results below.\n\n" +
            markdown(list(weight_rows(results, equal))))


def table_parts(results):
    """The texts between the markers of results.md, by their names."""
    tables, calls = [], []
    for scenario, system in present(results):
        table = summary.summarise(results["runs"], scenario.name, system)
        tables.append(f"**{scenario.name}, {on_system(system)}**: {scenario.title}\n\n" +
                      markdown(list(scenario_rows(scenario, table))))
        if scenario.name in CALLS_IN_TABLES:
            calls.append(f"**{scenario.name}, {on_system(system)}**\n\n" + markdown(list(calls_rows(table))))
    parts = {
        "machine": f"Made by `{results['command'].strip()}` (medians of {results['repeat']} runs of {results['window_ms']} ms) "
                   f"on: {machine_text(results['machine'])}.",
        "targets": markdown([TARGET_COLUMNS, *target_rows(results)]),
        "tables": "\n\n".join(tables),
        "calls": "\n\n".join(calls),
    }
    if results["micro"]:
        parts["micro"] = markdown(list(micro_rows(results["micro"])))
    if results.get("scale"):
        parts["scale"] = scale_part(results["scale"])
    return parts


def verdicts_part(rows, made_by):
    """`made_by`: the text of the part `machine`; its command, commit and date are what the reader has to know here."""
    command, time = re.search(r"^Made by (`[^`]*`)", made_by)[1], re.search(r"commit .*? UTC", made_by)[0]
    return (f"{command}, {time}. Each scenario with its median; [results.md](performance/results.md#targets) has the "
            "intervals.\n\n" + markdown(list(verdict_rows(rows)), " --- |"))


CHART_TITLES = {"busy-wine": "Kernel calls and CPU per message under Wine, by busy connections",
                "busy-linux": "Kernel calls and CPU per message on Linux, by busy connections"}


def scale_part(scale):
    return (markdown(list(scale_rows(scale))) + "\n\n" + markdown(list(poller_rows(scale))) +
            "\n\n![Cost of an operation, by the number of registrations](scale.svg)")


def replace_parts(page, parts):
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        text, count = re.subn(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", lambda m, p=part: f"{m[1]}{p}\n{m[2]}", text,
                              flags=re.DOTALL)
        if count != 1:
            raise Problem(f"{page.name} has {count} places for '{name}', expected 1")
    page.write_text(text, encoding="utf-8")


def write_doc(results, equal):
    folder = TABLES.parent
    folder.mkdir(exist_ok=True)
    drawn = charts.draw(results, folder)
    for picture in folder.glob("*.png"):
        picture.unlink()  # the pages show the SVG
    tables = table_parts(results)
    if equal:
        tables["weight"] = weight_part(results, equal)
    replace_parts(TABLES, tables)
    parts = {"verdicts": verdicts_part(list(target_rows(results)), tables["machine"])}
    if all(name in drawn for name in CHART_TITLES):
        parts["charts"] = "\n\n".join(f"![{title}](performance/{name}.svg)" for name, title in CHART_TITLES.items())
    replace_parts(PAGE, parts)
    readme_chart.write()


def read(path):
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        sys.exit(f"FAIL report: cannot read {path}: {error}")


LOOP_SCENARIOS = ("http", "http-idle", "loop-echo")


def loop_part(results):
    parts = table_parts({**results, "runs": [r for r in results["runs"] if r["scenario"] in LOOP_SCENARIOS]})
    about_loop = [row for row in target_rows(results) if "reactor::loop" in row[0]]
    return f"{parts['machine']}\n\n{markdown([TARGET_COLUMNS, *about_loop])}\n\n{parts['tables']}"


def main():
    arguments = sys.argv[1:]
    if arguments[1:] == ["--loop"]:
        replace_parts(TABLES, {"loop": loop_part(read(arguments[0]))})
        return
    if not arguments or arguments[1:2] not in ([], ["--doc"]) or len(arguments) > 3:
        sys.exit(__doc__)
    results = read(arguments[0])
    if arguments[1:]:
        try:
            write_doc(results, read(arguments[2]) if arguments[2:] else None)
        except Problem as problem:
            sys.exit(f"FAIL report: {problem}")
        return
    print(machine_text(results["machine"]))
    for scenario, system in present(results):
        print(f"\n{scenario_text(scenario, system, results['runs'])}")
    print(f"\n{targets_text(results)}")


if __name__ == "__main__":
    main()
