"""What scripts/bench.sh --smoke checks, besides that all programs run and every byte is right: counts, never a time."""
import summary
from processes import Problem
from scenarios import WAITERS

# Kernel calls of ours per event: one arm and at most one wait, and fewer if sockets share them. The windows are short, so
# calls in flight at their two ends can add about a hundredth.
TOLERANCE = 0.05
CALLS_PER_EVENT = {
    ("wine", "ours"): {"1-of-1": 2.0, "4-of-64": 2.0, "16-of-64": 0.25, "64-of-64": 0.10, "one-at-a-time": 2.0,
                       "buffer-1": 2.0, "wake-storm": 1.5, "toggle": 1.5},
    ("wine", "ours-ungrouped"): {"1-of-1": 2.0, "4-of-64": 2.0, "16-of-64": 2.0, "64-of-64": 2.0, "one-at-a-time": 2.0,
                                 "buffer-1": 2.0, "wake-storm": 2.5, "toggle": 2.0},
    ("linux", "ours"): {"1-of-1": 1.0, "4-of-64": 1.0, "16-of-64": 1.0, "64-of-64": 1.0},
}
# Several threads wait on one Poller. Counted per message, since events that are delivered twice would lower the calls per
# event. The scheduler decides how many sockets are ready when a thread waits, so this bound only distinguishes one call
# for all sockets from one call for each; afd_test has the exact bound, 0.10, with a fixed order of steps.
WAITERS_CALLS_PER_MESSAGE = 0.5
WAITERS_MESSAGES_MIN = 640  # ten rounds: with fewer, messages in flight at the window's ends are a large part
WAITERS_EVENTS_PER_MESSAGE = 1.0
# In these scenarios sockets are busy together, so some must have been polled as a group, or groups were not measured.
GROUPED = ("16-of-64", "64-of-64", "pipelined", "toggle", "close", "close-unremoved", "one-at-a-time", "wake-storm")
PING_PONG = ("1-of-1", "4-of-64", "16-of-64", "64-of-64", "toggle", "toggle-other", "one-at-a-time", "wake-storm", "buffer-1")


def problems_of(run):
    """Yields each problem of one run of the load."""
    where = f"{run['scenario']}, {run['system']}, {run['server']}"
    result = run["result"]
    if result["messages"] == 0:
        yield f"{where}: no message was answered"
        return
    if result["least_of_a_connection"] == 0 and run["scenario"] not in ("churn", "close"):
        yield f"{where}: a connection was not answered while another was {result['most_of_a_connection']} times"
    figures = summary.figures_of_run(run)
    bound = CALLS_PER_EVENT.get((run["system"], run["server"]), {}).get(run["scenario"])
    if bound is not None and figures["calls_per_event"] > bound + TOLERANCE:
        yield f"{where}: {figures['calls_per_event']:.3f} kernel calls per event, expected at most {bound}"
    if run["system"] == "wine" and run["scenario"] in WAITERS and result["messages"] >= WAITERS_MESSAGES_MIN:
        yield from problems_of_waiters(where, figures)
    groups = summary.delta(result, "group_arms")
    if run["system"] == "wine" and run["server"] == "ours" and run["scenario"] in GROUPED and not groups:
        yield f"{where}: no sockets were polled together"
    if not run["counts_calls"]:
        return
    by_name = summary.system_calls(result)
    if not by_name:
        yield f"{where}: no kernel call was counted"
    # Poller::stats() must agree with the calls that the system counted.
    for name, own in (("NtDeviceIoControlFile AFD_POLL", "arm"), ("NtRemoveIoCompletionEx", "wait")):
        counted = round(by_name.get(name, 0) * result["messages"])
        reported = summary.delta(result, "calls", own)
        if run["system"] == "wine" and reported is not None and abs(counted - reported) > 4 + reported // 100:
            yield f"{where}: {counted} times {name}, but stats() says {reported}"
    io_calls = sum(count for name, count in by_name.items() if name in summary.IO)
    if run["scenario"] in PING_PONG and run["server"] not in ("asio", "uv") and io_calls > 2.1 + TOLERANCE:
        yield f"{where}: {io_calls:.2f} receives and sends per message, expected 2"


def problems_of_waiters(where, figures):
    for figure, what, bound in (("calls_per_message", "kernel calls per message", WAITERS_CALLS_PER_MESSAGE),
                                ("events_per_message", "events per message", WAITERS_EVENTS_PER_MESSAGE)):
        if figures[figure] > bound + TOLERANCE:
            yield f"{where}: {figures[figure]:.3f} {what}, expected at most {bound}"


def problems_inside(run):
    where = f"{run['scenario']}, {run['system']}, {run['server']}"
    result = run["result"]
    if "count" in result and run["server"].startswith("ours") and run["system"] == "wine":
        each = result["memory_bytes"] / result["count"]
        if not 0 < each <= 144:
            yield f"{where}: {each:.0f} bytes per idle registration, expected at most 144"


def problems_of_policy(points):
    """Hot groups save three of four kernel calls where each active socket fires before each wait, and never cost any."""
    calls = {(p["pattern"], p["rate"], p["groups"]): p["calls"] / p["events"] for p in points}
    for (pattern, rate, groups), with_groups in calls.items():
        if not groups:
            continue
        share, bound = with_groups / calls[pattern, rate, False], 0.25 if rate == 1 else 1
        if share > bound:
            yield f"policy, {pattern}, rate {rate}: {share:.3f} of the kernel calls without groups, expected at most {bound}"


def check(results, policy):
    """Returns a sentence that says what was checked; raises Problem if anything is wrong. `policy`: lines of tune_policy_cost."""
    found = [p for run in results["runs"] for p in (problems_inside if "inside" in run else problems_of)(run)]
    found += problems_of_policy(policy)
    if found:
        raise Problem("\n  ".join(["these counts are wrong:", *found]))
    return f"the counts are right in all {len(results['runs'])} runs"
