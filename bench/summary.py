"""From runs to figures: medians over repetitions, spreads, ratios to ours, and the targets of the project."""
import statistics

# Kernel calls that move the bytes themselves, and those that come and go with connections, at any server alike.
IO = ("NtDeviceIoControlFile AFD_WINE_RECVMSG", "NtDeviceIoControlFile AFD_WINE_SENDMSG", "NtDeviceIoControlFile AFD_RECV",
      "NtDeviceIoControlFile AFD_SEND", "recv", "recvmsg", "send", "sendmsg", "read", "readv", "write", "writev")
TOTALS = ("NtDeviceIoControlFile",)  # counted again by their kinds


def delta(result, *path):
    """How much a counter of the server grew in the window; None if it has none."""
    begin, end = result["server_begin"], result["server_end"]
    for name in path:
        begin, end = begin.get(name), end.get(name)
        if end is None:
            return None
        begin = 0 if begin is None else begin
    return end - begin


def system_calls(result):
    """Kernel calls of any kind per message, by name: only in counting runs."""
    begin, end = result["server_begin"].get("system_calls", {}), result["server_end"].get("system_calls", {})
    messages = max(result["messages"], 1)
    return {name: (count - begin.get(name, 0)) / messages for name, count in end.items() if name not in TOTALS}


def figures_of_run(run):
    """The figures of one run of the load; times in microseconds."""
    result = run["result"]
    messages = max(result["messages"], 1)
    figures = {
        "rate": result["messages_per_second"],
        "cpu_us": sum(result["cpu_ns"]) / messages / 1000,
        "server_us": result["cpu_ns"][0] / messages / 1000,
        "p50_us": result["latency_ns"]["p50"] / 1000,
        "p99_us": result["latency_ns"]["p99"] / 1000,
        "memory_bytes": (result["memory_connected"][0] - result["memory_before"][0]) / run["connections"],
        # How much of the servers' core others used: figures of a machine that is not quiet are not to be trusted.
        "foreign": max(0, result["core_busy_ns"] - sum(result["cpu_ns"])) / 1e9 / result["seconds"],
        "fairness": result["least_of_a_connection"] / max(result["most_of_a_connection"], 1),
    }
    if events := delta(result, "events"):
        figures["calls_per_event"] = delta(result, "calls", "all") / events
        figures["events_per_message"] = events / messages
    return figures


def figures_inside(run):
    """The same for a program that measures itself: `cpu_us` is its time, as it has its core for itself."""
    result = run["result"]
    if "count" not in result:
        return {"p50_us": result["p50_ns"] / 1000, "p99_us": result["p99_ns"] / 1000, "rate": result["wakes_per_second"],
                "cpu_us": 1e6 / result["wakes_per_second"]}
    steps = {f"{name}_us": result[f"{name}_ns"] / result["count"] / 1000 for name in ("add", "arm", "remove", "settle")}
    return {**steps, "cpu_us": sum(steps.values()), "registration_bytes": result["memory_bytes"] / result["count"]}


def calls_inside(result):
    """Kernel calls of the whole way per registration."""
    begin, end = result.get("calls_before", {}), result.get("calls_after", {})
    return {name: (count - begin.get(name, 0)) / result["count"] for name, count in end.items() if name not in TOTALS}


def summarise(runs, scenario, system):
    """name -> figures: the median of each over the repetitions, `spread` for CPU, and counted calls."""
    names = dict.fromkeys(r["server"] for r in runs if (r["scenario"], r["system"]) == (scenario, system))
    table = {}
    for name in names:
        own = [r for r in runs if (r["scenario"], r["system"], r["server"]) == (scenario, system, name)]
        is_inside = any("inside" in r for r in own)
        timed = [figures_inside(r) if is_inside else figures_of_run(r) for r in own if not r["counts_calls"]]
        if not timed:
            continue
        figures = {key: statistics.median(f[key] for f in timed) for key in timed[0]}
        if "memory_bytes" in figures:  # a server that has had its connections once keeps what it took for them
            figures["memory_bytes"] = max(f["memory_bytes"] for f in timed)
        cpu = [f["cpu_us"] for f in timed]
        figures["spread"] = (max(cpu) - min(cpu)) / figures["cpu_us"] if figures["cpu_us"] else 0
        figures["kind"] = own[0]["kind"]
        for run in own:
            if run["counts_calls"]:
                by_name = calls_inside(run["result"]) if is_inside else system_calls(run["result"])
                if not by_name:
                    continue
                figures["all_calls"] = sum(by_name.values())
                figures["calls"] = sum(count for call, count in by_name.items() if call not in IO)
                figures["calls_by_name"] = {call: round(count, 4) for call, count in sorted(by_name.items()) if count > 0.0005}
        table[name] = figures
    return table


def value(tables, system, scenario, name, figure):
    return tables.get((system, scenario), {}).get(name, {}).get(figure)


def ratio(one, other):
    return None if one is None or not other else one / other


def above_floor(tables, scenario, name):
    own, floor = (value(tables, "wine", scenario, n, "cpu_us") for n in (name, "blocking"))
    return None if own is None or floor is None else own - floor


def targets(results):
    """(what, bound, measured or None if it was not, met) for each target of the project."""
    runs = results["runs"]
    keys = dict.fromkeys((r["system"], r["scenario"]) for r in runs)
    tables = {(system, scenario): summarise(runs, scenario, system) for system, scenario in keys}
    rows = []

    def at_most(what, bound, measured):
        rows.append({"what": what, "bound": bound, "measured": measured,
                     "met": None if measured is None else measured <= bound})

    for scenario, bound in (("64-of-64", 0.10), ("16-of-64", 0.25), ("1-of-1", 2.0)):
        at_most(f"kernel calls per event, {scenario}", bound, value(tables, "wine", scenario, "ours", "calls_per_event"))
    for scenario, bound in (("16-of-64", 0.70), ("64-of-64", 0.50), ("256-of-256", 0.35), ("1-of-1", 1.02)):
        at_most(f"CPU per message above the floor / groups off, {scenario}", bound,
                ratio(above_floor(tables, scenario, "ours"), above_floor(tables, scenario, "ours-ungrouped")))
    at_most("CPU per message above the floor / groups off, churn", 1.02,
            ratio(above_floor(tables, "churn", "ours"), above_floor(tables, "churn", "ours-ungrouped")))
    for scenario, bound in (("256-of-256", 1.10), ("64-of-64", 1.30)):
        at_most(f"CPU per message / Asio, {scenario}", bound,
                ratio(*(value(tables, "wine", scenario, name, "cpu_us") for name in ("ours", "asio"))))
    for system, scenario in tables:
        if scenario == "wake":
            continue  # of one kind only
        if system == "wine" and value(tables, system, scenario, "ours", "p99_us") is not None:
            at_most(f"p99 / groups off, {scenario}", 1.0,
                    ratio(*(value(tables, system, scenario, name, "p99_us") for name in ("ours", "ours-ungrouped"))))
    for idle in ("idle-1000", "idle-10000"):
        at_most(f"CPU per message, {idle} / none idle", 1.10,
                ratio(*(value(tables, "wine", idle, name, "cpu_us") for name in ("ours", "ours-none-idle"))))
        at_most(f"the same without wineserver, {idle} / none idle", 1.10,
                ratio(*(value(tables, "wine", idle, name, "server_us") for name in ("ours", "ours-none-idle"))))
        at_most(f"kernel calls per event, {idle} / none idle", 1.10,
                ratio(*(value(tables, "wine", idle, name, "calls_per_event") for name in ("ours", "ours-none-idle"))))
    at_most("bytes per idle registration, by stats", 144, value(tables, "wine", "register", "ours", "registration_bytes"))
    for scenario in ("toggle", "toggle-other", "close", "one-at-a-time", "wake-storm", "room-1"):
        at_most(f"CPU per message / groups off, adversary {scenario}", 1.5,
                ratio(*(value(tables, "wine", scenario, name, "cpu_us") for name in ("ours", "ours-ungrouped"))))
    for system, scenario in tables:
        if system == "linux" and scenario not in ("register", "wake") and \
                value(tables, system, scenario, "ours", "cpu_us") is not None:
            at_most(f"Linux: CPU per message / bare epoll, {scenario}", 1.03,
                    ratio(*(value(tables, system, scenario, name, "cpu_us") for name in ("ours", "epoll"))))
    return rows
