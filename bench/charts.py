"""Draws charts of the results, as SVG and PNG."""
import sys

import summary
from processes import Problem
from scenarios import KINDS, SCENARIOS, label_of

COLOURS = {"ours": "#0b6e4f", "ours-ungrouped": "#7fb69f", "epoll": "#c8553d", "wepoll": "#e08e79", "asio": "#2d5d8a", "asio-eager": "#7d9fc0",
           "poll": "#8f8f8f", "select": "#bdbdbd", "afd-1-packet": "#a0522d", "afd-256-packets": "#cd853f", "afd-synchronous": "#d2691e", "uv": "#b08900", "libevent": "#8a4f9e", "blocking": "#000000",
           "loop": "#3cb371", "asio-coroutines": "#4169e1", "http-poller": "#0b6e4f", "http-loop": "#3cb371", "http-epoll": "#c8553d",
           "http-uv": "#b08900", "http-asio": "#2d5d8a", "http-asio-coroutines": "#4169e1"}
BUSY = ["1-of-1", "4-of-64", "16-of-64", "64-of-64", "256-of-256"]


def tables_of(results):
    keys = dict.fromkeys((r["system"], r["scenario"]) for r in results["runs"])
    return {key: summary.summarise(results["runs"], key[1], key[0]) for key in keys}


def save(figure, folder, name):
    figure.tight_layout()
    for suffix in ("svg", "png"):
        # Without a date, so that the same figures make the same file.
        figure.savefig(folder / f"{name}.{suffix}", metadata={"Date": None} if suffix == "svg" else None, dpi=120)
    return name


def draw_lines(plot, tables, system, figure, title, unit):
    """Draws a figure of each server, by how many connections are busy."""
    present = [s for s in BUSY if (system, s) in tables]
    kinds = dict.fromkeys(name for s in present for name in tables[system, s])
    for kind in kinds:
        points = [(i, tables[system, s].get(kind, {}).get(figure)) for i, s in enumerate(present)]
        points = [(i, y) for i, y in points if y is not None]
        plot.plot(*zip(*points), marker="o", color=COLOURS[kind], label=KINDS[kind],
                  linestyle="--" if kind == "blocking" else "-")
    plot.set_xticks(range(len(present)), [s.replace("-of-", " of ") for s in present])
    plot.set_xlabel("busy connections of all")
    plot.set_ylabel(unit)
    plot.set_title(title)
    plot.set_ylim(bottom=0)
    plot.grid(axis="y", alpha=0.3)
    plot.legend(fontsize=8)


def draw_bars(plot, table, title):
    """Draws the CPU per message of each server with its spread, and writes its counted calls beside it."""
    names = list(table)
    for i, name in enumerate(names):
        figures = table[name]
        half = figures["spread"] * figures["cpu_us"] / 2
        plot.barh(i, figures["cpu_us"], xerr=half, color=COLOURS[figures["kind"]], error_kw={"ecolor": "#555555"})
        if figures.get("calls") is not None:
            plot.text(figures["cpu_us"] + half, i, f"  {figures['calls']:.2f} calls", va="center", fontsize=7)
    plot.set_yticks(range(len(names)), [label_of(n, table[n]["kind"]) for n in names], fontsize=8)
    plot.invert_yaxis()
    plot.margins(x=0.2)
    plot.set_title(title, fontsize=9)
    plot.set_xlabel("CPU µs per message", fontsize=8)


def draw_scale(pyplot, scale, folder):
    """Draws what an operation costs, by the number of registrations."""
    figure, plot = pyplot.subplots(figsize=(7, 4.5))
    counts = [row["sockets"] for row in scale["sockets"]]
    for name in scale["sockets"][0]["costs"]:
        plot.plot(counts, [row["costs"][name]["ns"] for row in scale["sockets"]], marker="o", label=name.replace("_", " "))
    plot.plot(counts, [row["baseline_ns"] for row in scale["sockets"]], "k--", label="cache misses alone")
    plot.set(xscale="log", yscale="log", xlabel="registrations", ylabel="ns per operation",
             title="The library's own cost, over a kernel that costs next to nothing")
    plot.grid(alpha=0.3)
    plot.legend(fontsize=8)
    drawn = save(figure, folder, "scale")
    pyplot.close(figure)
    return drawn


def draw(results, folder):
    """Draws all charts for which the results have figures. Returns their names."""
    try:
        import matplotlib  # only here, so that tables need no matplotlib
    except ImportError as error:
        raise Problem(f"{sys.executable} has no matplotlib: use the Python of the package python3-matplotlib, "
                      "/usr/bin/python3") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "reactor"
    from matplotlib import pyplot
    tables = tables_of(results)
    drawn = []
    for system, place in (("wine", "under Wine"), ("linux", "on Linux")):
        if len([s for s in BUSY if (system, s) in tables]) > 1:
            figure, (calls, cpu) = pyplot.subplots(1, 2, figsize=(11, 4.5))
            draw_lines(calls, tables, system, "calls", f"Kernel calls {place}, without those that move bytes",
                       "calls per message")
            draw_lines(cpu, tables, system, "cpu_us", f"CPU {place}" +
                       (" (server and wineserver)" if system == "wine" else ""), "µs per message")
            drawn.append(save(figure, folder, f"busy-{system}"))
            pyplot.close(figure)
        chosen = [s.name for s in SCENARIOS if (system, s.name) in tables and not s.inside and s.name not in BUSY]
        if chosen:
            rows = (len(chosen) + 1) // 2
            figure, plots = pyplot.subplots(rows, 2, figsize=(11, 2.6 * rows), squeeze=False)
            for plot, name in zip(plots.flat, chosen):
                draw_bars(plot, tables[system, name], f"{name} {place}")
            for plot in plots.flat[len(chosen):]:
                plot.axis("off")
            drawn.append(save(figure, folder, f"others-{system}"))
            pyplot.close(figure)
    if results.get("scale"):
        drawn.append(draw_scale(pyplot, results["scale"], folder))
    return drawn
