"""What scripts/bench.sh --smoke checks, beside that everything runs and every byte is right: counts, never a time."""
import summary
from processes import Problem
from scenarios import WAITERS

# Kernel calls of ours per event: one arm and at most one wait each, and less where sockets share them. The windows are
# short, so what is under way at their ends counts for a hundredth.
EDGE = 0.05
CALLS_PER_EVENT = {
    ("wine", "ours"): {"1-of-1": 2.0, "4-of-64": 2.0, "16-of-64": 0.25, "64-of-64": 0.10, "one-at-a-time": 2.0,
                       "room-1": 2.0, "wake-storm": 1.5, "toggle": 1.5},
    ("wine", "ours-ungrouped"): {"1-of-1": 2.0, "4-of-64": 2.0, "16-of-64": 2.0, "64-of-64": 2.0, "one-at-a-time": 2.0,
                                 "room-1": 2.0, "wake-storm": 2.5, "toggle": 2.0},
    ("linux", "ours"): {"1-of-1": 1.0, "4-of-64": 1.0, "16-of-64": 1.0, "64-of-64": 1.0},
}
# Several threads that wait on one Poller. By messages, as events that are delivered twice make a call for each of them
# look cheap. How many sockets are ready when a thread asks is the scheduler's to say here, so the bound only tells a call
# for all from a call for each; afd_test has the exact one, 0.10, where the order of things is fixed.
WAITERS_CALLS_PER_MESSAGE = 0.5
WAITERS_MESSAGES_MIN = 640  # ten rounds: of less, what is under way at the window's ends is a large part
# Only of oneshot: a level socket that its first thread has not read yet is ready for the next wait of another.
ONESHOT_EVENTS_PER_MESSAGE = 1.0
# Where sockets are busy together, they have to have been polled together, or nothing of that was measured.
GROUPED = ("16-of-64", "64-of-64", "pipelined", "toggle", "close", "close-unremoved", "one-at-a-time", "wake-storm")
PING_PONG = ("1-of-1", "4-of-64", "16-of-64", "64-of-64", "toggle", "toggle-other", "one-at-a-time", "wake-storm", "room-1")


def problems_of(run):
    """What is wrong with one run of the load."""
    where = f"{run['scenario']}, {run['system']}, {run['server']}"
    result = run["result"]
    if result["messages"] == 0:
        yield f"{where}: no message was answered"
        return
    if result["least_of_a_connection"] == 0 and run["scenario"] not in ("churn", "close"):
        yield f"{where}: a connection was not answered while another was {result['most_of_a_connection']} times"
    figures = summary.figures_of_run(run)
    bound = CALLS_PER_EVENT.get((run["system"], run["server"]), {}).get(run["scenario"])
    if bound is not None and figures["calls_per_event"] > bound + EDGE:
        yield f"{where}: {figures['calls_per_event']:.3f} kernel calls per event, expected at most {bound}"
    if run["system"] == "wine" and run["scenario"] in WAITERS and result["messages"] >= WAITERS_MESSAGES_MIN:
        yield from problems_of_waiters(where, run["server"], figures)
    groups = summary.delta(result, "group_arms")
    if run["system"] == "wine" and run["server"] == "ours" and run["scenario"] in GROUPED and not groups:
        yield f"{where}: no sockets were polled together"
    if not run["counts_calls"]:
        return
    by_name = summary.system_calls(result)
    if not by_name:
        yield f"{where}: no kernel call was counted"
    # The system's count against our own: what stats() says must be what was done.
    for name, own in (("NtDeviceIoControlFile AFD_POLL", "arm"), ("NtRemoveIoCompletionEx", "wait")):
        counted = round(by_name.get(name, 0) * result["messages"])
        told = summary.delta(result, "calls", own)
        if run["system"] == "wine" and told is not None and abs(counted - told) > 4 + told // 100:
            yield f"{where}: {counted} times {name}, but stats() says {told}"
    io_calls = sum(count for name, count in by_name.items() if name in summary.IO)
    if run["scenario"] in PING_PONG and run["server"] not in ("asio", "uv") and io_calls > 2.1 + EDGE:
        yield f"{where}: {io_calls:.2f} receives and sends per message, expected 2"


def problems_of_waiters(where, server, figures):
    bounds = [("calls_per_message", "kernel calls per message", WAITERS_CALLS_PER_MESSAGE)]
    if server == "ours-oneshot":
        bounds.append(("events_per_message", "events per message", ONESHOT_EVENTS_PER_MESSAGE))
    for figure, what, bound in bounds:
        if figures[figure] > bound + EDGE:
            yield f"{where}: {figures[figure]:.3f} {what}, expected at most {bound}"


def problems_inside(run):
    where = f"{run['scenario']}, {run['system']}, {run['server']}"
    result = run["result"]
    if "count" in result and run["server"].startswith("ours") and run["system"] == "wine":
        each = result["memory_bytes"] / result["count"]
        if not 0 < each <= 144:
            yield f"{where}: {each:.0f} bytes per idle registration, expected at most 144"


def check(results):
    """What was checked, in a sentence; raises Problem if anything is wrong."""
    found = [p for run in results["runs"] for p in (problems_inside if "inside" in run else problems_of)(run)]
    if found:
        raise Problem("\n  ".join(["counts do not hold:", *found]))
    return f"counts hold in all {len(results['runs'])} runs"
