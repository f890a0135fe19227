#!/usr/bin/env python3
"""Breaks each rule of the backends on purpose, one defect at a time, and shows that some test fails for it.

usage: mutate.py [--from N] [--count N] [--hold FILE] [WORD...]

    WORD...        only the mutations whose name contains one of the words
    --from N       begins with the mutation N of those, counted from 0; --count N ends after as many
    --hold FILE    begins no further mutation while that file exists: for a run in the background

Each mutation (mutations.py) is a small deliberate defect: a file, what stands there once, and what it becomes. The tests
are, first, those over the fake kernel, and for what they do not catch the model check and the fault sweep over the
simulated one; of reactor/epoll, the tests of the Linux backend. Built with AddressSanitizer, so memory that is released
too early counts as caught. Works on copies in build/mutations; the tree is not touched. Two at a time.

What a mutation costs is compiling what the changed lines are part of, linking once, and the tests up to the first that
fails: the files of tests run in the order of the time that they took without any mutation.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

from mutations import MUTATIONS, breaches

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build/mutations"
JOBS = 2
COMMON = ["tests/main.cpp", "tests/process_handles.cpp",
          *(f"reactor/sim/{name}.cpp" for name in ("sim_answer", "sim_core", "sim_endpoint", "sim_kernel", "sim_net", "sim_notify", "sim_objects", "sim_poll", "sim_seen", "sim_stack", "sim_wire"))]
LIBRARY = sorted(str(path.relative_to(ROOT)) for folder in (".", "afd", "epoll", "net", "notify", "nt")
                 for path in (ROOT / "reactor" / folder).glob("*.cpp")
                 if path.name not in ("system_backend.cpp", "system_kernel.cpp", "object_waits.cpp", "mutex.cpp") and not path.name.startswith(("winsock", "windows", "sim_")))
COMPILER = "clang++-19"
FLAGS = ["-std=c++23", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LINKER = ["-fuse-ld=lld"] if shutil.which("ld.lld") else []  # a few times as fast
# Of a processor, for some files of tests: this many times what they took without a mutation, and at least so much.
TIMES_AS_LONG, SECONDS_MIN = 10, 5
SECONDS_MAX_BY_THE_CLOCK = 600  # for what waits for itself; on a busy machine all takes long by the clock
SECONDS_OF_ONE_BATCH = 0.3  # files that take less run together: to start the program takes as long


def tests_in(*folders):
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / "tests" / folder).glob("*_test.cpp"))


@dataclasses.dataclass
class Program:
    """Tests that are linked together, the files with test cases first."""
    name: str
    tests: list
    helpers: list
    batches: list = dataclasses.field(default_factory=list)  # files, and the seconds of a processor that they may take

    @property
    def sources(self):
        return [*LIBRARY, *COMMON, *self.tests, *self.helpers]


EPOLL_PROGRAMS = [Program("the Linux backend's tests", tests_in("epoll_backend"), ["tests/allocation_count.cpp"])]
# In order: the second is linked only for mutations that the first does not catch.
PROGRAMS = [
    Program("the fake kernel's tests",
            [*tests_in("afd", "notify"), "tests/result_test.cpp", "tests/sim/sim_socket_test.cpp", "tests/sim/smoke_test.cpp"],
            ["tests/allocation_count.cpp"]),
    Program("the model check and the sweep",
            [f"tests/sim/{name}.cpp" for name in ("model_test", "sweep_test", "post_memory_test")],
            [f"tests/sim/{name}.cpp" for name in ("model_program", "model_steps", "model_wait", "model_judge", "model_check",
                                                  "model_numbers", "model_objects", "sweep_play", "sweep_scenarios", "failing_new")]),
]
ALL_PROGRAMS = EPOLL_PROGRAMS + PROGRAMS
ALL_SOURCES = sorted({source for program in ALL_PROGRAMS for source in program.sources})


def object_of(source, folder=WORK):
    return folder / (source.replace("/", "_") + ".o")


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
        subprocess.run([COMPILER, *FLAGS, speed, "-x", "c++-header", str(header), "-o", str(precompiled(speed))], check=True)


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


def compile_source(source, target, overlay):
    """`overlay` is a folder whose reactor/ has what is mutated, so headers can be, too."""
    origin = overlay / source if (overlay / source).exists() else ROOT / source
    # The mutated file is compiled for one run, so without the optimizer. The simulator and the model run a hundred times.
    speed = "-O1" if source.startswith(("tests/sim/", "reactor/sim/")) else "-O0"
    command = [COMPILER, *FLAGS, speed, "-include-pch", str(precompiled(speed)), f"-I{overlay}", f"-I{ROOT}", f"-I{ROOT / 'tests'}",
               f"-I{(ROOT / source).parent}", "-c", str(origin), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compile_whole(source):
    """Compiles a source that is not mutated, unless its object is newer."""
    target = object_of(source)
    if target.exists() and all(path.stat().st_mtime < target.stat().st_mtime
                               for path in [*includes(source), precompiled("-O1")]):
        return None
    target.unlink(missing_ok=True)
    compiled = compile_source(source, target, WORK / "none")
    return None if compiled.returncode == 0 else compiled.stderr


def has_code_of(source, header, lines):
    """Whether the source's object has code of some of the header's lines."""
    listing = subprocess.run(["objdump", "--dwarf=decodedline", str(object_of(source))], capture_output=True, text=True, check=True).stdout
    is_here = False
    for line in listing.splitlines():
        if line.endswith(":"):
            is_here = line.endswith(f"/{header}:")
        elif is_here and len(fields := line.split()) > 1 and fields[1].isdigit() and int(fields[1]) in lines:
            return True
    return False


def affected_by(source, lines):
    """The sources to compile again for a file some lines of which are mutated, and all those that read it. Of a header these
    are the library's sources that include it, since the linker takes the first copy of an inline function; or the tests' if
    none of the library does. Of what is code, and no constant or type, those whose objects have that code are enough."""
    if source.endswith(".cpp"):
        return [source], [source]
    readers = [s for s in ALL_SOURCES if ROOT / source in includes(s)]
    readers = [s for s in readers if s in LIBRARY] or readers
    return [s for s in readers if has_code_of(s, source, lines)] or readers, readers


@dataclasses.dataclass
class Run:
    failure: str  # empty when the tests pass
    seconds: float  # of a processor


def run_tests(executable, files, seconds_max):
    command = [str(executable), "--abort-after=1"]
    if files:
        command.append("--source-file=" + ",".join(f"*/{file}" for file in files))
    with subprocess.Popen(command, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        resource.prlimit(running.pid, resource.RLIMIT_CPU, (seconds_max, seconds_max + 5))
        is_late = threading.Event()
        alarm = threading.Timer(SECONDS_MAX_BY_THE_CLOCK, lambda: (is_late.set(), running.kill()))
        alarm.start()
        output = running.stdout.read()
        _, status, usage = os.wait4(running.pid, 0)
        alarm.cancel()
        running.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    if is_late.is_set():
        return Run("it waits for ever", seconds)
    if running.returncode == -signal.SIGXCPU:
        return Run("it spins", seconds)
    if running.returncode == 0:
        has_run = re.search(r"test cases:\s+[1-9]", output) is not None
        return Run("" if has_run else f"there are no tests in {files}", seconds)
    cases = [line.split("TEST CASE:")[1].strip() for line in output.splitlines() if "TEST CASE:" in line]
    return Run(cases[-1] if "ERROR:" in output and cases else "it crashes", seconds)


def link(executable, sources, mutated):
    # The mutated objects first: the linker takes the first copy of an inline function.
    objects = [mutated[s] for s in sources if s in mutated] + [object_of(s) for s in sources if s not in mutated]
    subprocess.run([COMPILER, *FLAGS, *LINKER, *map(str, objects), "-o", str(executable), "-pthread"], check=True)


def measure(program):
    """Runs the tests without a mutation, file by file, and puts them into the order of their time. What failed."""
    executable = WORK / "whole_test"
    link(executable, program.sources, {})
    taken = {}
    for file in program.tests:
        run = run_tests(executable, [file], 600)
        if run.failure:
            return f"{run.failure} ({file})"
        taken[file] = run.seconds
    quick = [file for file in program.tests if taken[file] < SECONDS_OF_ONE_BATCH]
    slow = sorted((file for file in program.tests if file not in quick), key=taken.get)
    for files in ([quick] if quick else []) + [[file] for file in slow]:
        seconds = sum(taken[file] for file in files)
        program.batches.append((files, int(max(SECONDS_MIN, TIMES_AS_LONG * seconds))))
    print(f"{program.name}: {sum(taken.values()):.1f} s of a processor without a mutation; {len(quick)} files together, then " +
          ", ".join(f"{pathlib.Path(file).stem} {taken[file]:.1f}" for file in slow), flush=True)
    return ""


def run_all_tests(folder, mutated, programs):
    """The test that failed, or an empty string."""
    for program in programs:
        executable = folder / "mutated_test"
        link(executable, program.sources, mutated)
        for files, seconds_max in program.batches:
            if failure := run_tests(executable, files, seconds_max).failure:
                return f"{failure} ({program.name})"
    return ""


def lines_of(text, part):
    first = text[:text.index(part)].count("\n") + 1
    return range(first, first + len(part.rstrip("\n").split("\n")))


def try_out(mutation, folder):
    """What the mutation comes to: a word, and what is to be said about it."""
    _, file, before, after = mutation
    source = f"reactor/{file}"
    text = (ROOT / source).read_text(encoding="utf-8")
    overlay = folder / "overlay"
    changed = overlay / source
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text(text.replace(before, after), encoding="utf-8")
    programs = EPOLL_PROGRAMS if file.startswith("epoll/") else PROGRAMS
    try:
        mutated = {}
        for sources in affected_by(source, lines_of(text, before)):
            if mutated and set(sources) == set(mutated):
                break
            for one in sources:
                mutated[one] = object_of(one, folder)
                compiled = compile_source(one, mutated[one], overlay)
                if "static assertion failed" in compiled.stderr:
                    return "caught", "by a static assertion"
                if compiled.returncode != 0:
                    return "FAIL", f"does not compile\n{compiled.stderr[:2000]}"
            if caught := run_all_tests(folder, mutated, programs):
                return "caught", caught
    finally:
        changed.unlink()
    return "SURVIVED", "all tests pass"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--hold", type=pathlib.Path)
    parser.add_argument("words", nargs="*", metavar="WORD")
    return parser.parse_args()


def main():
    begin = time.monotonic()
    chosen_by = arguments()
    chosen = [m for m in MUTATIONS if not chosen_by.words or any(word in m[0] for word in chosen_by.words)]
    chosen = chosen[chosen_by.first:]
    chosen = chosen[:chosen_by.count]
    if wrong := list(breaches()):
        sys.exit("FAIL mutations: " + "\n".join(wrong))
    folders = queue.SimpleQueue()
    for number in range(JOBS):
        (WORK / f"job{number}" / "overlay").mkdir(parents=True, exist_ok=True)
        folders.put(WORK / f"job{number}")

    def in_folder(mutation):
        while chosen_by.hold is not None and chosen_by.hold.exists():
            time.sleep(2)
        folder = folders.get()
        since = time.monotonic()
        try:
            outcome, why = try_out(mutation, folder)
        finally:
            folders.put(folder)
        return f"{outcome:8} {mutation[0]}: {why} [{time.monotonic() - since:.1f} s]"

    precompile()
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for source, errors in zip(ALL_SOURCES, pool.map(compile_whole, ALL_SOURCES)):
            if errors is not None:
                sys.exit(f"FAIL mutations: {source} does not compile\n{errors}")
        for program in ALL_PROGRAMS:
            if found := measure(program):
                sys.exit(f"FAIL mutations: the tests fail without any: {found}")
        bad = 0
        for line in pool.map(in_folder, chosen):
            bad += not line.startswith("caught")
            print(line, flush=True)
    print(f"{'FAIL' if bad or not chosen else 'PASS'} mutations: {len(chosen) - bad} of {len(chosen)} caught in "
          f"{time.monotonic() - begin:.0f} s")
    sys.exit(1 if bad or not chosen else 0)


if __name__ == "__main__":
    main()
