#!/usr/bin/env python3
"""Breaks each rule of the AFD backend, and some of the Linux one, on purpose, one at a time, and shows that some test fails for it.

usage: mutate.py [WORD...]      only the mutations whose name contains one of the words

Each mutation (mutations.py) is a small deliberate defect: a file, what stands there once, and what it becomes. The tests
are, first, those over the fake kernel, and for what they do not catch the model check and the fault sweep over the
simulated one; of reactor/epoll, the tests of the Linux backend. Built with AddressSanitizer, so memory that is released
too early counts as caught. Works on copies in build/mutations; the tree is not touched. Two at a time.
"""
import concurrent.futures
import pathlib
import queue
import re
import resource
import signal
import subprocess
import sys
import time

from mutations import MUTATIONS

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build/mutations"
JOBS = 2
COMMON = ["tests/main.cpp", "tests/process_handles.cpp",
          *(f"reactor/sim/{name}.cpp" for name in ("sim_answer", "sim_core", "sim_endpoint", "sim_kernel", "sim_net", "sim_notify", "sim_poll", "sim_seen", "sim_stack", "sim_wire"))]
EPOLL_TESTS = {
    "the Linux backend's tests":
    [*sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests/epoll_backend").glob("*_test.cpp")), "tests/allocation_count.cpp"],
}
# In order: the second set runs only for mutations that the first does not catch.
TEST_SETS = {
    "the fake kernel's tests":
    [*sorted(str(path.relative_to(ROOT)) for folder in ("afd", "notify") for path in (ROOT / "tests" / folder).glob("*_test.cpp")),
     "tests/result_test.cpp", "tests/allocation_count.cpp", "tests/sim/sim_socket_test.cpp", "tests/sim/smoke_test.cpp"],
    "the model check and the sweep":
    [f"tests/sim/{name}.cpp" for name in ("model_test", "model_program", "model_steps", "model_wait", "model_judge", "model_check", "model_numbers",
                                          "sweep_test", "sweep_play", "sweep_scenarios", "failing_new", "post_memory_test")],
}
LIBRARY = sorted(str(path.relative_to(ROOT)) for folder in (".", "afd", "epoll", "net", "notify", "nt")
                 for path in (ROOT / "reactor" / folder).glob("*.cpp")
                 if path.name not in ("system_backend.cpp", "system_kernel.cpp", "mutex.cpp") and not path.name.startswith(("winsock", "windows", "sim_")))
ALL_SOURCES = [*LIBRARY, *COMMON, *(source for tests in (EPOLL_TESTS | TEST_SETS).values() for source in tests)]
FLAGS = ["-std=c++23", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SECONDS_MAX = 60  # of a processor, for a set of tests: on a busy machine that takes long by the clock
SECONDS_MAX_BY_THE_CLOCK = 10 * SECONDS_MAX  # for what waits for itself


def object_of(source):
    return WORK / (source.replace("/", "_") + ".o")


def precompiled(speed):
    return WORK / f"std{speed}.pch"


def precompile():
    """Precompiles the standard headers of all sources: reading them is most of the work."""
    sources = [path for folder in ("reactor", "tests") for path in (ROOT / folder).rglob("*.[ch]pp")]
    names = {name for path in sources for name in re.findall(r"^#include <(\w+)>", path.read_text(encoding="utf-8"), re.MULTILINE)}
    header = WORK / "std.hpp"
    text = "".join(f"#if __has_include(<{name}>)\n#include <{name}>\n#endif\n" for name in sorted(names))
    if header.exists() and header.read_text(encoding="utf-8") == text and precompiled("-O1").exists():
        return
    header.write_text(text, encoding="utf-8")
    for speed in ("-O0", "-O1"):
        subprocess.run(["clang++-19", *FLAGS, speed, "-x", "c++-header", str(header), "-o", str(precompiled(speed))], check=True)


def includes(source):
    """The project's own headers that a source reads, directly or not, and the source itself."""
    found, left = set(), [ROOT / source]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for name in re.findall(r'^#include [<"](.+)[>"]', path.read_text(encoding="utf-8"), re.MULTILINE):
            left += [header for folder in (ROOT, ROOT / "tests", path.parent) if (header := folder / name).is_file()]
    return found


def compile_whole(source):
    """Compiles a source that is not mutated, unless its object is newer."""
    target = object_of(source)
    if target.exists() and all(path.stat().st_mtime < target.stat().st_mtime
                               for path in [*includes(source), precompiled("-O1")]):
        return None
    target.unlink(missing_ok=True)
    compiled = compile_source(source, target, WORK / "none")
    return None if compiled.returncode == 0 else compiled.stderr


def affected_by(source):
    """The sources to compile again for a mutated file. Of a header: the library's sources that include it, since the linker
    takes the first copy of an inline function; or the tests' if none of the library does."""
    if source.endswith(".cpp"):
        return [source]
    readers = [s for s in ALL_SOURCES if ROOT / source in includes(s)]
    return [s for s in readers if s in LIBRARY] or readers


def compile_source(source, target, overlay):
    """`overlay` is a folder whose reactor/ has what is mutated, so headers can be, too."""
    origin = overlay / source if (overlay / source).exists() else ROOT / source
    # The mutated file is compiled for one run, so without the optimizer. The simulator and the model run a hundred times.
    speed = "-O1" if source.startswith(("tests/sim/", "reactor/sim/")) else "-O0"
    command = ["clang++-19", *FLAGS, speed, "-include-pch", str(precompiled(speed)), f"-I{overlay}", f"-I{ROOT}", f"-I{ROOT / 'tests'}",
               f"-I{(ROOT / source).parent}", "-c", str(origin), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_tests(program, objects):
    """None when they pass, else what failed."""
    subprocess.run(["clang++-19", *FLAGS, *map(str, objects), "-o", str(program), "-pthread"], check=True)
    with subprocess.Popen([str(program), "--abort-after=1"], text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as running:
        resource.prlimit(running.pid, resource.RLIMIT_CPU, (SECONDS_MAX, SECONDS_MAX + 5))
        try:
            output, _ = running.communicate(timeout=SECONDS_MAX_BY_THE_CLOCK)
        except subprocess.TimeoutExpired:
            running.kill()
            return "it waits for ever"
    if running.returncode == -signal.SIGXCPU:
        return "it spins"
    if running.returncode == 0:
        return None
    cases = [line.split("TEST CASE:")[1].strip() for line in output.splitlines() if "TEST CASE:" in line]
    failed = "ERROR:" in output and cases
    return cases[-1] if failed else "it crashes"


def run_all_tests(folder, mutated, test_sets):
    for number, (name, tests) in enumerate(test_sets.items()):
        # The mutated objects first: the linker takes the first copy of an inline function.
        objects = list(mutated.values()) + [object_of(s) for s in [*LIBRARY, *COMMON, *tests] if s not in mutated]
        if found := run_tests(folder / f"mutated_test_{number}", objects):
            return f"{found} ({name})"
    return None


def apply(mutation, folder):
    name, file, before, after = mutation
    source = f"reactor/{file}"
    text = (ROOT / source).read_text(encoding="utf-8")
    if text.count(before) != 1:
        return f"FAIL     {name}: the text to change stands {text.count(before)} times in {source}"
    overlay = folder / "overlay"
    changed = overlay / source
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text(text.replace(before, after), encoding="utf-8")
    try:
        mutated = {}
        for one in affected_by(source):
            mutated[one] = folder / (one.replace("/", "_") + ".o")
            compiled = compile_source(one, mutated[one], overlay)
            if "static assertion failed" in compiled.stderr:
                return f"caught   {name}: by a static assertion"
            if compiled.returncode != 0:
                return f"FAIL     {name}: does not compile\n{compiled.stderr[:2000]}"
        caught = run_all_tests(folder, mutated, EPOLL_TESTS if file.startswith("epoll/") else TEST_SETS)
    finally:
        changed.unlink()
    return f"caught   {name}: {caught}" if caught else f"SURVIVED {name}"


def main():
    begin = time.monotonic()
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] for word in words)]
    folders = queue.SimpleQueue()
    for number in range(JOBS):
        (WORK / f"job{number}" / "overlay").mkdir(parents=True, exist_ok=True)
        folders.put(WORK / f"job{number}")

    def in_folder(mutation):
        folder = folders.get()
        try:
            return apply(mutation, folder)
        finally:
            folders.put(folder)

    precompile()
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for source, errors in zip(ALL_SOURCES, pool.map(compile_whole, ALL_SOURCES)):
            if errors is not None:
                sys.exit(f"FAIL mutations: {source} does not compile\n{errors}")
        if found := run_all_tests(WORK, {}, EPOLL_TESTS | TEST_SETS):
            sys.exit(f"FAIL mutations: the tests fail without any: {found}")
        bad = 0
        for line in pool.map(in_folder, chosen):
            bad += not line.startswith("caught")
            print(line, flush=True)
    print(f"{'FAIL' if bad or not chosen else 'PASS'} mutations: {len(chosen) - bad} of {len(chosen)} caught in "
          f"{time.monotonic() - begin:.0f} s")
    sys.exit(1 if bad or not chosen else 0)


main()
