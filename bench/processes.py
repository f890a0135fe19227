"""The programs that are measured: on which core they run, how they are started, and on which machine."""
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
# A prefix of its own, so that its wineserver serves the benchmark alone.
WINE_PREFIX = OUT / "wineprefix"
os.environ["REACTOR_WINEPREFIX"] = str(WINE_PREFIX)
# On their one core wineserver has less weight than the programs it serves. With equal weight it preempts a program that
# has just made a request, and then spins on a completed poll whose result the program cannot fetch yet, until its time
# slice ends: milliseconds, at one message in twenty (docs/performance.md).
NICE = os.environ.setdefault("REACTOR_WINESERVER_NICE", "19")
TIMEOUT_S = 60


class Problem(Exception):
    """An error that ends the benchmark; its text is printed."""


def cores():
    """The core of the servers and wineserver, and the core of the load: another one, if there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def program(system, name):
    suffix = ".exe" if system == "wine" else ""
    return ROOT / f"build/bench-{system}/bench/{name}{suffix}"


def command(system, name, arguments, counts_calls=False):
    """The command that runs a program on the servers' core; scripts/wine.sh chooses that core by itself."""
    if system == "wine":
        return [str(WINE_SCRIPT), str(program(system, name)), *arguments]
    preload = ["env", f"LD_PRELOAD={ROOT}/build/bench-linux/bench/libbench_calls.so"] if counts_calls else []
    return ["taskset", "-c", str(cores()[0]), *preload, str(program(system, name)), *arguments]


def kinds_of(system):
    """The kinds of server that this build has."""
    done = subprocess.run(command(system, "bench_server", ["--kind", "?"]), capture_output=True, text=True, timeout=TIMEOUT_S,
                          check=False)
    if "in this build: " not in done.stderr:
        raise Problem(f"bench_server does not run here: {done.stdout}{done.stderr}")
    return done.stderr.rpartition("in this build: ")[2].strip().split(", ")


def start_wine_afresh():
    """Starts a new wineserver, since one that has held thousands of sockets stays several times slower."""
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
    """Whether the scheduler gives it less time: by its nice value, and by its session's if processes are autogrouped."""
    def weights(process):
        own = os.getpriority(os.PRIO_PROCESS, process)
        group = pathlib.Path(f"/proc/{process}/autogroup")
        fields = group.read_text(encoding="ascii").split() if group.exists() else []
        return own, int(fields[-1]) if fields else own  # empty in init's session, which has no group
    return all(a > b for a, b in zip(weights(pid), weights(other)))


class Server:
    """One bench_server. Use it as a context, which ends the server."""

    def __init__(self, system, arguments, counts_calls=False):
        more = ["--count-calls"] if counts_calls else []
        self.command = command(system, "bench_server", [*arguments, *more], counts_calls)
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        try:
            ports = json.loads(line)
        except json.JSONDecodeError:
            self.process.kill()
            raise Problem(f"the server did not start: {' '.join(self.command)}") from None
        self.port, self.control = ports["port"], ports["control"]
        self.pids = [self.process.pid]
        if system == "wine":
            self.pids.append(wineserver_pid())
        for pid in self.pids:
            # A wineserver on another core changes every figure by a factor of 2 to 3.
            if os.sched_getaffinity(pid) != {cores()[0]}:
                raise Problem(f"process {pid} is not bound to core {cores()[0]}: stop it and start again")
        if system == "wine" and NICE != "0" and not weighs_less(self.pids[1], self.process.pid):
            raise Problem("wineserver has the same weight as the program it serves, so it would be measured while it spins: "
                          "stop it and start it by scripts/wine.sh")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            with socket.create_connection(("127.0.0.1", self.control), timeout=5) as control:
                control.sendall(b"exit\n")
            self.process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def run_load(server, label, load, warm_ms, window_ms):
    """Runs the load once against a server. Returns the result of bench_load."""
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
    """Runs a program that measures itself. Returns its result."""
    more = ["--count-calls"] if counts_calls else []
    full = command(system, "bench_inside", [*arguments, *more], counts_calls)
    done = subprocess.run(full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"failed: {' '.join(full)}")
    return json.loads(done.stdout)


def run_micro(min_time_s):
    """The library's own cost in nanoseconds, by Google Benchmark: medians of five."""
    done = subprocess.run([*command("linux", "bench_micro", []), "--benchmark_format=json", "--benchmark_repetitions=5",
                           "--benchmark_report_aggregates_only=true", f"--benchmark_min_time={min_time_s}"],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"bench_micro failed: {done.stderr}")
    rows = json.loads(done.stdout)["benchmarks"]
    return [{"name": row["run_name"], "ns": row["cpu_time"], "event_ns": row["event"] * 1e9 if "event" in row else None}
            for row in rows if row.get("aggregate_name") == "median"]


def lines_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Problem(f"failed: {' '.join(command)}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_policy_cost():
    return lines_of(str(program("linux", "tune_policy_cost")))


def run_scale(what, counts, passes):
    """How the library's own cost grows: a row for each of `counts`, which are registrations ("sockets") or Pollers."""
    bound = ["taskset", "-c", str(cores()[0])] if what == "sockets" else []  # Pollers have a thread each
    return lines_of(*bound, str(program("linux", "bench_scale")), what, "--counts", ",".join(map(str, counts)), "--passes",
                    str(passes))


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def machine():
    """Describes the machine of the measurements; nothing in it names the machine itself."""
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
