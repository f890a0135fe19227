"""Computes figures from runs: medians over repetitions, spreads, ratios to ours, and the targets of the project."""
import math
import statistics

from scenarios import ADVERSARIES, FLOOR, WAITERS

# Kernel calls that move the bytes; every server makes these.
IO = ("NtDeviceIoControlFile AFD_WINE_RECVMSG", "NtDeviceIoControlFile AFD_WINE_SENDMSG", "NtDeviceIoControlFile AFD_RECV",
      "NtDeviceIoControlFile AFD_SEND", "recv", "recvmsg", "send", "sendmsg", "read", "readv", "write", "writev")
TOTALS = ("NtDeviceIoControlFile",)  # their kinds are counted separately


def delta(result, *path):
    """How much a counter of the server grew in the window; None if the server does not have it."""
    begin, end = result["server_begin"], result["server_end"]
    for name in path:
        begin, end = begin.get(name), end.get(name)
        if end is None:
            return None
        begin = 0 if begin is None else begin
    return end - begin


def system_calls(result):
    """Kernel calls per message, by name; empty unless the run counted them."""
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
        # Share of the servers' core that other processes used: if it is large, the figures cannot be trusted.
        "foreign": max(0, result["core_busy_ns"] - sum(result["cpu_ns"])) / 1e9 / result["seconds"],
        "fairness": result["least_of_a_connection"] / max(result["most_of_a_connection"], 1),
    }
    if events := delta(result, "events"):
        figures["calls_per_event"] = delta(result, "calls", "all") / events
        figures["calls_per_message"] = delta(result, "calls", "all") / messages
        figures["events_per_message"] = events / messages
    return figures


def figures_inside(run):
    """The same for a program that measures itself. `cpu_us` is wall-clock time, as the program has its core to itself."""
    result = run["result"]
    if "count" not in result:
        return {"p50_us": result["p50_ns"] / 1000, "p99_us": result["p99_ns"] / 1000, "rate": result["wakes_per_second"],
                "cpu_us": 1e6 / result["wakes_per_second"]}
    steps = {f"{name}_us": result[f"{name}_ns"] / result["count"] / 1000 for name in ("add", "arm", "remove", "settle")}
    return {**steps, "cpu_us": sum(steps.values()), "registration_bytes": result["memory_bytes"] / result["count"]}


def calls_inside(result):
    """Kernel calls per registration, from add to the end of its removal."""
    begin, end = result.get("calls_before", {}), result.get("calls_after", {})
    return {name: (count - begin.get(name, 0)) / result["count"] for name, count in end.items() if name not in TOTALS}


def summarise(runs, scenario, system):
    """Server name -> figures: their medians over the repetitions, `spread` of the CPU time, and counted calls."""
    names = dict.fromkeys(r["server"] for r in runs if (r["scenario"], r["system"]) == (scenario, system))
    table = {}
    for name in names:
        own = [r for r in runs if (r["scenario"], r["system"], r["server"]) == (scenario, system, name)]
        is_inside = any("inside" in r for r in own)
        timed = [figures_inside(r) if is_inside else figures_of_run(r) for r in own if not r["counts_calls"]]
        if not timed:
            continue
        # On a busy machine a window may pass without an event, and then has no cost per event.
        figures = {key: statistics.median(f[key] for f in timed if key in f) for key in timed[0]}
        if "memory_bytes" in figures:  # a server keeps the memory that its first connections needed
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


def ratio(one, other):
    return None if one is None or not other else one / other


def interval(values):
    """The interval of the median by order statistics: 95 % with six values or more, else the smallest and the largest."""
    values, n = sorted(values), len(values)
    for k in range((n - 1) // 2, -1, -1):
        outside = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n
        if outside <= 0.05:
            return values[k], values[n - 1 - k]
    return values[0], values[-1]


class Runs:
    """Figures by repetition. Servers were measured in turns, so each ratio is of one turn: other load on the machine
    affects both sides."""

    def __init__(self, results):
        self.by_server = {}
        for run in results["runs"]:
            if not run["counts_calls"]:
                figures = (figures_inside if "inside" in run else figures_of_run)(run)
                self.by_server.setdefault((run["system"], run["scenario"], run["server"]), []).append(figures)

    def scenarios(self):
        return dict.fromkeys((system, scenario) for system, scenario, _ in self.by_server)

    def of(self, system, scenario, name, figure):
        return [f[figure] for f in self.by_server.get((system, scenario, name), []) if figure in f]

    def ratios(self, system, scenario, one, other, figure, floor=None):
        """one / other in each turn, both less the floor's if there is one."""
        columns = [self.of(system, scenario, name, figure) for name in (one, other)]
        below = self.of(system, scenario, floor, figure) if floor else [0] * len(columns[0])
        return [ratio(a - f, b - f) for a, b, f in zip(*columns, below) if b > f]


def verdict(values, bound):
    """None without values. "in noise" if the interval has the bound inside: these runs do not decide."""
    if not values:
        return None
    low, high = interval(values)
    return "yes" if high <= bound else "NO" if low > bound else "in noise"


def scale_costs(scale):
    """Operation -> its cost for each number of registrations, in nanoseconds. `beyond` is the ratio to the cost with the
    fewest registrations, without what the cache misses of the baseline add."""
    rows = scale["sockets"]
    costs = {}
    for name, first in rows[0]["costs"].items():
        costs[name] = [{**row["costs"][name],
                        "beyond": max(0, row["costs"][name]["ns"] - row["baseline_ns"] + rows[0]["baseline_ns"]) / first["ns"]}
                       for row in rows]
    return costs


def scale_targets(scale, at_most):
    counts = [row["sockets"] for row in scale["sockets"]]
    for name, costs in scale_costs(scale).items():
        what = name.replace("_", " ")
        at_most(f"cost without cache misses among {counts[-1]:,} registrations / {counts[0]:,}, {what}", 2.0, [costs[-1]["beyond"]])
        if "longest_ns" in costs[-1]:
            at_most(f"longest single operation among {counts[-1]:,} registrations in ms, {what}", 1.0, [costs[-1]["longest_ns"] / 1e6])
    one, *others = scale["pollers"]
    for row in others:
        at_most(f"CPU per event, {row['pollers']} Pollers / 1", 1.1, [row["cpu_ns_per_event"] / one["cpu_ns_per_event"]])


def targets(results):
    """For each target: what it is, its bound, the median, its interval, and whether it is met."""
    runs = Runs(results)
    rows = []

    def at_most(what, bound, values):
        rows.append({"what": what, "bound": bound, "sign": "<=", "measured": statistics.median(values) if values else None,
                     "interval": interval(values) if values else None, "met": verdict(values, bound)})

    def at_least(what, bound, values):
        rows.append({"what": what, "bound": bound, "sign": ">=", "measured": statistics.median(values) if values else None,
                     "interval": interval(values) if values else None, "met": verdict([-v for v in values], -bound)})

    for scenario, bound in (("64-of-64", 0.10), ("16-of-64", 0.25), ("1-of-1", 2.0)):
        # At both ends of the window a call or an event may be in flight.
        values = [round(v, 2) for v in runs.of("wine", scenario, "ours", "calls_per_event")]
        at_most(f"kernel calls per event, {scenario}", bound, values)
    for scenario in WAITERS:
        for server, mode in (("ours", "level"), ("ours-oneshot", "oneshot")):
            values = [round(v, 2) for v in runs.of("wine", scenario, server, "calls_per_message")]
            at_most(f"kernel calls per message, {scenario}, {mode}", 0.10, values)
            # At both ends of the window an event may be in flight.
            at_most(f"events per message, {scenario}, {mode}", 1.05, runs.of("wine", scenario, server, "events_per_message"))
    for scenario, bound in (("16-of-64", 0.70), ("64-of-64", 0.50), ("256-of-256", 0.35), ("1-of-1", 1.02), ("churn", 1.02)):
        at_most(f"CPU per message above the floor / groups off, {scenario}", bound,
                runs.ratios("wine", scenario, "ours", "ours-ungrouped", "cpu_us", floor=FLOOR))
    for scenario, bound in (("256-of-256", 1.10), ("64-of-64", 1.30)):
        at_most(f"CPU per message / Asio, {scenario}", bound, runs.ratios("wine", scenario, "ours", "asio", "cpu_us"))
    for scenario, bound in (("1-of-1", 1.02), ("4-of-64", 1.0), ("16-of-64", 1.0), ("64-of-64", 1.0), ("256-of-256", 1.0),
                            ("churn", 1.02)):
        if values := runs.ratios("wine", scenario, "ours", "wepoll", "cpu_us"):  # if it was built
            at_most(f"CPU per message / wepoll, {scenario}", bound, values)
    for system, scenario in runs.scenarios():
        if system == "wine" and scenario != "wake":  # it has no server with groups off
            values = runs.ratios(system, scenario, "ours", "ours-ungrouped", "p99_us")
            if values:
                at_most(f"p99 / groups off, {scenario}", 1.0, values)
    for idle in ("idle-1000", "idle-10000"):
        for what, figure in (("CPU per message", "cpu_us"), ("CPU per message without wineserver", "server_us"),
                             ("kernel calls per event", "calls_per_event")):
            at_most(f"{what}, {idle} / none idle", 1.10, runs.ratios("wine", idle, "ours", "ours-none-idle", figure))
    at_most("bytes per idle registration, by stats", 144, runs.of("wine", "register", "ours", "registration_bytes"))
    for server in ("ours", "epoll"):
        if values := runs.ratios("wine", "register", server, "wepoll", "add_us"):
            at_most(f"time to add / wepoll, {server}", 1.10, values)
    for system in ("wine", "linux"):
        at_most(f"wake to end of wait / Asio, {system}", 1.0, runs.ratios(system, "wake", "ours", "asio", "p50_us"))
    if results.get("scale"):
        scale_targets(results["scale"], at_most)
    for scenario in ADVERSARIES:
        at_most(f"CPU per message / groups off, adversary {scenario}", 1.5,
                runs.ratios("wine", scenario, "ours", "ours-ungrouped", "cpu_us"))
    for scenario in ("http", "http-idle"):
        for peer, name, bound in (("http-poller", "Poller", 0.95), ("http-asio-coroutines", "Asio's coroutines", 1.05)):
            if values := runs.ratios("linux", scenario, peer, "http-loop", "cpu_us"):
                at_least(f"requests per CPU second, reactor::loop / {name}, {scenario}", bound, values)
    for run in results["runs"]:
        if run["counts_calls"] and (run["scenario"], run["system"], run["server"]) == ("loop-echo", "wine", "loop"):
            beyond = sum(count for call, count in system_calls(run["result"]).items() if call not in IO)
            at_most("kernel calls per message beyond the I/O, reactor::loop, loop-echo", 0.15, [round(beyond, 2)])
    for system, scenario in runs.scenarios():
        values = runs.ratios(system, scenario, "ours", "epoll", "cpu_us")
        if system == "linux" and scenario not in ("register", "wake") and values:
            at_most(f"Linux: CPU per message / bare epoll, {scenario}", 1.03, values)
    return rows
