"""The programs that are measured: where they run, how they are started, and what machine that is."""
import json
import os
import pathlib
import platform
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINE_SCRIPT = ROOT / "scripts/wine.sh"
OUT = ROOT / "build/bench"
# A wineserver of our own, which nobody else keeps busy.
WINE_PREFIX = OUT / "wineprefix"
os.environ["REACTOR_WINEPREFIX"] = str(WINE_PREFIX)
# On their one core wineserver weighs less than the programs it serves. With as much weight it pushes a program aside that
# has just asked it something, and then goes round and round over a poll that it has answered and the program could not
# fetch yet, until its time slice is over: milliseconds, at each message in twenty (docs/performance.md).
NICE = os.environ.setdefault("REACTOR_WINESERVER_NICE", "19")
PATIENCE_S = 60


class Problem(Exception):
    """Something went wrong, and this is what to tell."""


def cores():
    """One for the servers and wineserver, and another for the load if there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def program(system, name):
    suffix = ".exe" if system == "wine" else ""
    return ROOT / f"build/bench-{system}/bench/{name}{suffix}"


def command(system, name, arguments, counts_calls=False):
    """On the servers' core. scripts/wine.sh sees to that itself."""
    if system == "wine":
        return [str(WINE_SCRIPT), str(program(system, name)), *arguments]
    preload = ["env", f"LD_PRELOAD={ROOT}/build/bench-linux/bench/libbench_calls.so"] if counts_calls else []
    return ["taskset", "-c", str(cores()[0]), *preload, str(program(system, name)), *arguments]


def kinds_of(system):
    """The kinds of server that this build has."""
    done = subprocess.run(command(system, "bench_server", ["--kind", "?"]), capture_output=True, text=True, timeout=PATIENCE_S,
                          check=False)
    if "in this build: " not in done.stderr:
        raise Problem(f"bench_server does not run here: {done.stdout}{done.stderr}")
    return done.stderr.rpartition("in this build: ")[2].strip().split(", ")


def start_wine_afresh():
    """A wineserver that has held thousands of sockets is several times slower for ever after."""
    stop_wine()
    if subprocess.run([WINE_SCRIPT, "--start"], check=False).returncode != 0:
        raise Problem("Wine does not start")


def stop_wine():
    subprocess.run([WINE_SCRIPT, "--stop"], check=False)


def wineserver_pid():
    prefix = f"WINEPREFIX={WINE_PREFIX}".encode()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text(encoding="utf-8").startswith("wineserver") and \
                    prefix in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    raise Problem("no wineserver runs for this prefix")


def weighs_less(pid, other):
    """Whether the scheduler gives it less: by its nice value, and by its group's where processes are grouped by session."""
    def weights(process):
        own = os.getpriority(os.PRIO_PROCESS, process)
        group = pathlib.Path(f"/proc/{process}/autogroup")
        words = group.read_text(encoding="ascii").split() if group.exists() else []
        return own, int(words[-1]) if words else own  # empty for who is in init's session, which has no group
    return all(a > b for a, b in zip(weights(pid), weights(other)))


class Server:
    """One bench_server. Use as a context: it is told to exit at the end."""

    def __init__(self, system, arguments, counts_calls=False):
        more = ["--count-calls"] if counts_calls else []
        self.command = command(system, "bench_server", [*arguments, *more], counts_calls)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        try:
            ports = json.loads(line)
        except json.JSONDecodeError:
            self.process.kill()
            raise Problem(f"this server did not start: {' '.join(self.command)}") from None
        self.port, self.control = ports["port"], ports["control"]
        self.pids = [self.process.pid]
        if system == "wine":
            self.pids.append(wineserver_pid())
        for pid in self.pids:
            # A wineserver on another core changes every figure two- to threefold.
            if os.sched_getaffinity(pid) != {cores()[0]}:
                raise Problem(f"process {pid} is not bound to core {cores()[0]}: stop it and start again")
        if system == "wine" and NICE != "0" and not weighs_less(self.pids[1], self.process.pid):
            raise Problem("wineserver weighs as much as the program it serves, so it would be measured spinning: stop it "
                          "and start it by scripts/wine.sh")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            with socket.create_connection(("127.0.0.1", self.control), timeout=5) as door:
                door.sendall(b"exit\n")
            self.process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def run_load(server, label, load, warm_ms, window_ms):
    """One run of the load against a server; what bench_load tells."""
    arguments = ["--port", server.port, "--control", server.control, "--pids", ",".join(map(str, server.pids)),
                 "--core", cores()[0], "--label", label, "--warm-ms", warm_ms, "--window-ms", window_ms]
    for name, value in load.items():
        if value is not False:
            arguments += [f"--{name}"] + ([] if value is True else [value])
    done = subprocess.run(["taskset", "-c", str(cores()[1]), str(program("linux", "bench_load")), *map(str, arguments)],
                          stdout=subprocess.PIPE, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"{label}: the load failed: bench_load {' '.join(map(str, arguments))}")
    return json.loads(done.stdout)


def run_inside(system, arguments, counts_calls=False):
    """A program that measures itself."""
    more = ["--count-calls"] if counts_calls else []
    full = command(system, "bench_inside", [*arguments, *more], counts_calls)
    done = subprocess.run(full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"this failed: {' '.join(full)}")
    return json.loads(done.stdout)


def run_micro(min_time_s):
    """Nanoseconds of the library itself, by Google Benchmark: the median of five."""
    done = subprocess.run([*command("linux", "bench_micro", []), "--benchmark_format=json", "--benchmark_repetitions=5",
                           "--benchmark_report_aggregates_only=true", f"--benchmark_min_time={min_time_s}"],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"bench_micro failed: {done.stderr}")
    rows = json.loads(done.stdout)["benchmarks"]
    return [{"name": row["run_name"], "ns": row["cpu_time"], "event_ns": row["event"] * 1e9 if "event" in row else None}
            for row in rows if row.get("aggregate_name") == "median"]


def run_scale(what, counts, passes):
    """How the library's own cost grows, a row for each of `counts`: of registrations ("sockets"), or of Pollers."""
    bound = ["taskset", "-c", str(cores()[0])] if what == "sockets" else []  # Pollers have a thread each
    full = [*bound, str(program("linux", "bench_scale")), what, "--counts", ",".join(map(str, counts)), "--passes", str(passes)]
    done = subprocess.run(full, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"this failed: {' '.join(full)}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def output_of(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def machine():
    """What figures were taken on; nothing in it names the machine itself."""
    model = next((line.partition(":")[2].strip() for line in
                  pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")),
                 platform.machine())
    release = dict(line.split("=", 1) for line in
                   pathlib.Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line)
    wine = output_of("dpkg-query", "-W", "-f=${Version}", "wine64")
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "virtual": output_of("systemd-detect-virt") not in ("", "none"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": release.get("PRETTY_NAME", "?").strip('"'),
        "wine": wine,
        "compiler": output_of("g++", "-dumpfullversion"),
        "cross_compiler": output_of("x86_64-w64-mingw32-g++-posix", "-dumpfullversion"),
        "libraries": {name: output_of("dpkg-query", "-W", "-f=${Version}", name)
                      for name in ("libasio-dev", "libuv1-dev", "libevent-dev")},
        "commit": output_of("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "load_before": os.getloadavg()[0],
        "wineserver_nice": int(NICE),
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
