#!/usr/bin/env python3
"""Breaks each rule of the AFD backend on purpose, one at a time, and shows that some test fails for it.

usage: mutate.py [WORD...]      only the mutations whose name contains one of the words

Each mutation (mutations.py) is a small deliberate defect: a file, what stands there once, and what it becomes. The tests
are, first, those over the fake kernel, and for what they do not catch the model check and the fault sweep over the
simulated one; built with AddressSanitizer, so memory that is given back too early counts as caught. Works on copies in
build/mutations; the tree is not touched. Two at a time.
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
          *(f"tests/sim/{name}.cpp" for name in ("sim_core", "sim_kernel", "sim_net", "sim_poll", "sim_wire"))]
# In turn: what the first catches need not be run through the second.
TEST_SETS = {
    "the fake kernel's tests":
    ["tests/afd_rules_test.cpp", "tests/afd_groups_test.cpp", "tests/afd_parts_test.cpp", "tests/afd_epoll_test.cpp",
     "tests/afd_review_test.cpp",
     "tests/afd_found_test.cpp", "tests/afd_mutants_test.cpp", "tests/result_test.cpp", "tests/allocation_count.cpp", "tests/sim/reuse_test.cpp",
     "tests/sim/smoke_test.cpp"],
    "the model check and the sweep":
    [f"tests/sim/{name}.cpp" for name in ("model_test", "model_program", "model_steps", "model_wait", "model_check",
                                          "sweep_test", "sweep_play", "sweep_scenarios", "failing_new")],
}
LIBRARY = sorted(str(path.relative_to(ROOT)) for folder in (".", "afd", "epoll", "net", "nt")
                 for path in (ROOT / "reactor" / folder).glob("*.cpp")
                 if path.name not in ("system_backend.cpp", "system_kernel.cpp") and not path.name.startswith("winsock"))
FLAGS = ["-std=c++23", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SECONDS_MAX = 60  # of a processor, for a set of tests: on a busy machine that takes long by the clock
SECONDS_MAX_BY_THE_CLOCK = 20 * SECONDS_MAX  # for what waits for itself


def object_of(source):
    return WORK / (source.replace("/", "_") + ".o")


def precompiled(speed):
    return WORK / f"std{speed}.pch"


def precompile():
    """The standard headers that any source includes: to read them is most of the work."""
    sources = [path for folder in ("reactor", "tests") for path in (ROOT / folder).rglob("*.[ch]pp")]
    names = {name for path in sources for name in re.findall(r"^#include <(\w+)>", path.read_text(encoding="utf-8"), re.MULTILINE)}
    header = WORK / "std.hpp"
    header.write_text("".join(f"#include <{name}>\n" for name in sorted(names)), encoding="utf-8")
    for speed in ("-O0", "-O1"):
        subprocess.run(["clang++-19", *FLAGS, speed, "-x", "c++-header", str(header), "-o", str(precompiled(speed))], check=True)


def compile_source(source, target, overlay):
    """`overlay` is a folder whose reactor/ has what is mutated, so headers can be, too."""
    origin = overlay / source if (overlay / source).exists() else ROOT / source
    # The mutated file is one of a hundred: no optimizer. The tests run a hundred times.
    speed = "-O1" if source.startswith("tests/sim/") else "-O0"
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


def run_all_tests(folder, mutated):
    for number, (name, tests) in enumerate(TEST_SETS.items()):
        # The mutated ones first: of an inline function that several have, the linker takes the first.
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
        affected = [source] if file.endswith(".cpp") else [s for s in LIBRARY if s.startswith("reactor/afd/")]
        mutated = {}
        for one in affected:
            mutated[one] = folder / (one.replace("/", "_") + ".o")
            compiled = compile_source(one, mutated[one], overlay)
            if compiled.returncode != 0:
                return f"FAIL     {name}: does not compile\n{compiled.stderr[:2000]}"
        caught = run_all_tests(folder, mutated)
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
    sources = [*LIBRARY, *COMMON, *(source for tests in TEST_SETS.values() for source in tests)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        none = WORK / "none"
        for source, compiled in zip(sources, pool.map(lambda s: compile_source(s, object_of(s), none), sources)):
            if compiled.returncode != 0:
                sys.exit(f"FAIL mutations: {source} does not compile\n{compiled.stderr}")
        if found := run_all_tests(WORK, {}):
            sys.exit(f"FAIL mutations: the tests fail without any: {found}")
        bad = 0
        for line in pool.map(in_folder, chosen):
            bad += not line.startswith("caught")
            print(line, flush=True)
    print(f"{'FAIL' if bad or not chosen else 'PASS'} mutations: {len(chosen) - bad} of {len(chosen)} caught in "
          f"{time.monotonic() - begin:.0f} s")
    sys.exit(1 if bad or not chosen else 0)


main()
