#!/usr/bin/env python3
"""Runs the benchmark; scripts/bench.sh installs what it needs and calls this.

All servers of a scenario run at the same time, and the load is sent to one after the other, again and again (A B A B
...), so that other load on the machine affects all of them alike. Kernel calls are counted in separate runs.
"""
import argparse
import contextlib
import json
import subprocess
import sys
import time

import charts
import processes
import report
import scenarios
import smoke
from processes import Problem

OUT = processes.OUT


def parse_arguments():
    names = [s.name for s in scenarios.SCENARIOS]
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", allow_abbrev=False,
                                     description="Measures the reactor beside its peers; the quick form takes 5 to "
                                     "12 minutes.",
                                     epilog="scenarios: " + ", ".join(names) + "; servers: " + ", ".join(scenarios.KINDS))
    parser.add_argument("--full", action="store_true", help="all scenarios on both systems, longer and more often: an hour or so")
    parser.add_argument("--smoke", action="store_true", help="check that it runs and that call counts hold; no times")
    parser.add_argument("--only", metavar="SCENARIO[,...]", help="only these scenarios")
    parser.add_argument("--servers", metavar="SERVER[,...]", help="only these servers")
    parser.add_argument("--system", choices=("wine", "linux"), help="only the servers on this system")
    parser.add_argument("--repeat", type=int, metavar="N", help="how often each is measured")
    parser.add_argument("--window-ms", type=int, metavar="MS", help="how long each time")
    given = parser.parse_args()
    for option, known in (("only", names), ("servers", scenarios.KINDS)):
        chosen = getattr(given, option).split(",") if getattr(given, option) else []
        for name in chosen:
            if name not in known:
                parser.error(f"--{option}: unknown name '{name}', known are {', '.join(known)}")
        setattr(given, option, chosen)
    for option in ("repeat", "window_ms"):
        if getattr(given, option) is not None and getattr(given, option) < 1:
            parser.error(f"--{option.replace('_', '-')}: must be 1 or more, not {getattr(given, option)}")
    if given.smoke and given.full:
        parser.error("--smoke and --full do not go together")
    given.repeat = given.repeat or (7 if given.full else 1 if given.smoke else 3)
    given.window_ms = given.window_ms or (1000 if given.full else 150 if given.smoke else 450)
    given.systems = [given.system] if given.system else ["wine", "linux"]
    return given


def build(systems, smoke):
    # No times are read in the smoke test: with assertions it checks more, and its objects are those of the tests' presets.
    checked = ["-DREACTOR_ASSERTIONS=ON"] if smoke else []
    OUT.mkdir(parents=True, exist_ok=True)
    for system in dict.fromkeys(["linux", *systems]):  # the load is a Linux program
        log = OUT / f"build-{system}.log"
        with log.open("w", encoding="utf-8") as file:
            for step in (["cmake", "--preset", f"bench-{system}", *checked], ["cmake", "--build", "--preset", f"bench-{system}"]):
                if subprocess.run(step, cwd=processes.ROOT, stdout=file, stderr=subprocess.STDOUT, check=False).returncode:
                    raise Problem(f"the build failed:\n{log.read_text(encoding='utf-8')[-4000:]}")


def chosen_scenarios(given, system):
    """The scenarios to run on a system, each with its entries."""
    built = processes.kinds_of(system)
    wanted = {e.kind for s in scenarios.SCENARIOS for e in s.entries(system)}
    if absent := sorted(wanted - set(built)):
        print(f"\nleft out on {system}, since this build does not have them: {', '.join(absent)}")
    for scenario in scenarios.SCENARIOS:
        if given.only:
            if scenario.name not in given.only:
                continue
        elif (given.smoke and not scenario.smoke) or not (given.full or scenario.quick):
            continue
        entries = [e for e in scenario.entries(system)
                   if e.kind in built and (not given.servers or e.kind in given.servers)]
        if entries:
            yield scenario, entries


def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def measure_inside(scenario, entries, system, given):
    """Runs of a scenario whose programs measure themselves, interleaved too."""
    repeat = min(given.repeat, scenario.repeat_max)
    for repetition, counts_calls in [(r, False) for r in range(repeat)] + [(0, True)]:
        for entry in entries:
            show_progress(f"{scenario.name}, {system}, {entry.name}")
            # Under Wine the cost of arming grows with the number of pending polls: ten thousand take 15 s.
            count = 500 if given.smoke else 10000 if given.full or system == "linux" else 2000
            more = ["--count", str(count)] if scenario.name == "register" else []
            result = processes.run_inside(system, [*scenario.inside, "--kind", entry.kind, *more], counts_calls)
            yield {"scenario": scenario.name, "system": system, "server": entry.name, "kind": entry.kind,
                   "repetition": repetition, "counts_calls": counts_calls, "inside": True, "result": result}
    show_progress("")


def measure(scenario, entries, system, given):
    """All runs of a scenario: interleaved ones for times, then one of each server that counts calls."""
    window_ms = max(given.window_ms, scenario.window_ms_min)
    warm_ms = max(100, window_ms // 3)

    def run(entry, server, repetition, counts_calls):
        load = scenario.load_of(entry)
        label = f"{scenario.name}, {system}, {entry.name}, {'calls' if counts_calls else repetition + 1}"
        result = processes.run_load(server, label, load, warm_ms, window_ms)
        return {"scenario": scenario.name, "system": system, "server": entry.name, "kind": entry.kind,
                "connections": load["connections"], "repetition": repetition, "counts_calls": counts_calls,
                "result": result}

    if given.smoke:  # it reads no times, so the counting run serves for both
        for entry in entries:
            with processes.Server(system, ["--kind", entry.kind, *scenario.server_of(entry)], counts_calls=True) as server:
                counted = run(entry, server, 0, True)
            yield from ({**counted, "counts_calls": counts_calls} for counts_calls in (False, True))
        return
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(processes.Server(system, ["--kind", e.kind, *scenario.server_of(e)])) for e in entries]
        for repetition in range(min(given.repeat, scenario.repeat_max)):
            for entry, server in zip(entries, servers):
                yield run(entry, server, repetition, False)
    for entry in entries:
        with processes.Server(system, ["--kind", entry.kind, *scenario.server_of(entry)], counts_calls=True) as server:
            yield run(entry, server, 0, True)
    show_progress("")


def run_scale(given):
    """With numbers of registrations that fill all helper handles, whether these take 32, 128 or 512 sockets."""
    counts = [1024, 10240, 100352, 1000448]
    return {"sockets": processes.run_scale("sockets", counts[:2] if given.smoke else counts, 1 if given.smoke else 2),
            "pollers": processes.run_scale("pollers", [1, 2, 4], 1 if given.smoke else 4)}


def run_all(given):
    machine = processes.machine()
    print(report.machine_text(machine), flush=True)
    runs = []
    for system in given.systems:
        if system == "wine":
            processes.start_wine_afresh()
        for scenario, entries in chosen_scenarios(given, system):
            if system == "wine" and not given.smoke:
                processes.start_wine_afresh()
            runs += (measure_inside if scenario.inside else measure)(scenario, entries, system, given)
            print(f"\n{report.scenario_text(scenario, system, runs)}", flush=True)
    if not runs:
        raise Problem("nothing to measure: none of the chosen servers is in the chosen scenarios and systems")
    micro = processes.run_micro(0.01 if given.smoke else 0.1) if "linux" in given.systems and not given.only else []
    if micro:
        print(f"\n{report.micro_text(micro)}", flush=True)
    scale = run_scale(given) if micro else {}
    if scale:
        print(f"\n{report.scale_text(scale)}", flush=True)
    return {"machine": machine, "micro": micro, "scale": scale, "command": "scripts/bench.sh " + " ".join(sys.argv[1:]), "repeat": given.repeat,
            "window_ms": given.window_ms, "runs": runs}


def main():
    given = parse_arguments()
    started = time.monotonic()
    try:
        build(given.systems, given.smoke)
        results = run_all(given)
        if given.smoke:
            policy = processes.run_policy_cost() if "linux" in given.systems else []
            print(f"\n{smoke.check(results, policy)}")
        else:
            (OUT / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(f"\n{report.targets_text(results)}")
            drawn = charts.draw(results, OUT)
            print(f"\nresults.json, {', '.join(drawn)} (each as SVG and PNG) are in {OUT.relative_to(processes.ROOT)}/")
    except (Problem, subprocess.SubprocessError) as problem:
        sys.exit(f"\nFAIL bench: {problem}")
    finally:
        processes.stop_wine()
    print(f"\nPASS bench: {len(results['runs'])} runs in {time.monotonic() - started:.0f} s, every byte came back as it was sent")


main()
