#!/usr/bin/env python3
"""Breaks each rule of the AFD backend on purpose, one at a time, and shows that some test fails for it.

usage: mutate.py [WORD...]      only the mutations whose name contains one of the words

Each mutation is a small deliberate defect: a file, what stands there once, and what it becomes. The tests are those over
the fake and the simulated kernel (tests/afd_*.cpp, tests/sim), built with AddressSanitizer, so memory that is given back too early counts as caught.
Works on a copy in build/mutations; the tree is not touched.
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build/mutations"
TESTS = ["tests/afd_rules_test.cpp", "tests/afd_groups_test.cpp", "tests/afd_parts_test.cpp",
         "tests/afd_epoll_test.cpp",
         "tests/allocation_count.cpp", "tests/main.cpp", "tests/process_handles.cpp",
         *(f"tests/sim/{name}.cpp" for name in ("sim_core", "sim_kernel", "sim_net", "sim_poll", "sim_wire",
                                                "reuse_test", "smoke_test"))]
LIBRARY = sorted(str(path.relative_to(ROOT)) for folder in (".", "afd", "nt", "epoll")
                 for path in (ROOT / "reactor" / folder).glob("*.cpp")
                 if path.name != "system_backend.cpp" and path.name != "system_kernel.cpp"
                 and not (folder == "nt" and path.name == "sys_socket.cpp"))
COMPILE = ["clang++-19", "-std=c++23", "-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

MUTATIONS = [
    ("rule 1 submit without waiting for cancel", "afd_state.cpp",
     "      cancel(slot);\n      return;\n    case PollState::cancelling:",
     "      slot.state = PollState::idle; held_--; return step(slot, room);\n    case PollState::cancelling:"),
    ("rule 1 stale answer believed", "afd_backend.cpp",
     "slot->stale = slot->is_held_by_kernel();",
     "slot->stale = false;"),
    ("rule 1 re-add polls at once", "afd_backend.cpp",
     "slot->stale = slot->is_held_by_kernel();",
     "slot->state = PollState::idle; held_ = 0;"),
    ("rule 2 free on remove", "afd_state.cpp",
     "if (!slot.is_held_by_kernel()) release(slot);",
     "release(slot);"),
    ("rule 2 no drain", "afd_backend.cpp",
     "  drain();\n",
     "  held_ = 0;\n"),
    ("rule 2 free what was not given back", "afd_backend.cpp",
     "    arena_.abandon();\n",
     ""),
    ("rule 2 empty blocks kept", "arena.cpp",
     "    drop_block(block);",
     "    empty_blocks_++;"),
    ("rule 3 no key check", "afd_state.cpp",
     "switch (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)}) {",
     "switch (PacketKey{reinterpret_cast<ULONG_PTR>(packet.KeyContext)}) { default:"),
    ("rule 3 no held check", "afd_state.cpp",
     "slot != nullptr && slot->is_held_by_kernel()",
     "slot != nullptr"),
    ("rule 3 no alignment check", "arena.cpp",
     "offset >= sizeof block.slots || offset % sizeof(Slot) != 0",
     "offset >= sizeof block.slots"),
    ("rule 3 off by one at the end", "arena.cpp",
     "offset >= sizeof block.slots ||",
     "offset > sizeof block.slots ||"),
    ("rule 4 no liveness check", "afd_state.cpp",
     "  if (!slot.is_live()) return release(slot);  // removed while the poll was out\n",
     ""),
    ("rule 4 no generation check", "afd_backend.cpp",
     "slot != nullptr && slot->generation == place.generation ? slot",
     "slot != nullptr ? slot"),
    ("rule 5 ignore LOCAL_CLOSE", "afd_state.cpp",
     "(events & AFD_POLL_LOCAL_CLOSE) != 0",
     "false"),
    ("rule 5 twice accepted", "afd_backend.cpp",
     "if (!is_over(*slot)) return failure(std::errc::file_exists);",
     ""),
    ("rule 5 reuse refused", "afd_state.cpp",
     "  return is_closed;\n",
     "  return false;\n"),
    ("rule 5 reuse refused while cancelling", "afd_state.cpp",
     "if (slot.state != PollState::pending) return true;",
     "if (slot.state != PollState::pending) return slot.state == PollState::idle;"),
    ("rule 5 twice accepted while cancelling", "afd_state.cpp",
     "  slot.was_armed = is_closed;",
     "  // slot.was_armed = is_closed;"),
    ("rule 6 each wake a packet", "afd_backend.cpp",
     "if (wake_is_queued_.exchange(true, std::memory_order_acq_rel)) return;",
     "wake_is_queued_ = true; "),
    ("rule 6 no retry", "afd_backend.cpp",
     "attempt < 1000",
     "attempt < 1"),
    ("rule 6 flag not cleared", "afd_state.cpp",
     "wake_is_queued_.exchange(false, std::memory_order_acq_rel);",
     ""),
    ("rule 7 edge not silent", "afd_state.cpp",
     "slot.silent = slot.silent | directions_of(readiness);",
     ""),
    ("rule 8 refusal ignored", "afd_state.cpp",
     "if (room != nullptr) return trouble(slot, status, *room);",
     "if (room != nullptr) return;"),
    ("rule 8 invalid handle told", "afd_state.cpp",
     "  if (status == STATUS_INVALID_HANDLE || status == STATUS_OBJECT_TYPE_MISMATCH) return end(slot);\n  if (slot.filter",
     "  if (slot.filter"),
    ("rule 9 cancelled not armed", "afd_state.cpp",
     "if (status == STATUS_CANCELLED) return enqueue(slot);",
     "if (status == STATUS_CANCELLED) return;"),
    ("rule 9 empty success not armed", "afd_state.cpp",
     "    stats_.spurious++;\n    return enqueue(slot);",
     "    stats_.spurious++;\n    return;"),
    ("rule 10 no reserve block", "arena.cpp",
     "if (empty_blocks_ == 0) {",
     "if (false) {"),
    ("early time-out believed", "afd_backend.cpp",
     "(!deadline || kernel_.now() >= *deadline)",
     "true"),
    ("probe skipped", "arming.cpp",
     "inline_wanted_ = probe_inline(slot.base);",
     ""),
    ("fairness: port never due", "afd_backend.cpp",
     "      port_is_due_ = true;\n",
     ""),
    ("level not re-armed", "afd_state.cpp",
     "  if (slot.wanted_mask() != 0) enqueue(slot);",
     ""),
    ("epoll bits not asked for are told", "afd_state.cpp",
     "epoll_bits(events) & slot.filter",
     "epoll_bits(events)"),
    ("epoll failed poll told by its status", "afd_state.cpp",
     "  if (slot.filter != 0) status = static_cast<NTSTATUS>(epoll_bits(AFD_POLL_CONNECT_FAIL) & slot.filter);\n",
     ""),
    ("epoll end watched in a group", "afd_groups.cpp",
     "wanted != 0 && !slot.is_silent()",
     "wanted != 0"),
    ("epoll MOD not armed", "by_number.cpp",
     "  enqueue(*slot);\n",
     ""),
    ("epoll DEL forgets to", "by_number.cpp",
     "  remove(*slot);\n",
     ""),
    ("epoll retire refuses nothing", "by_number.cpp",
     "  closed_ = true;\n",
     ""),
    ("epoll ended ones are found", "by_number.cpp",
     "slot != nullptr && slot->is_live() ? slot : nullptr",
     "slot"),
    ("epoll closed before it gave back", "afd_backend.cpp",
     "if (std::exchange(given_back_, true)) return;",
     "if (std::exchange(given_back_, true) || true) return;"),
]


def object_of(source):
    return WORK / (source.replace("/", "_") + ".o")


def compile_source(source, text, target):
    """Compiles this text in the place of the file, so that its includes are found."""
    command = [*COMPILE, f"-I{ROOT}", f"-I{ROOT / 'tests'}", f"-I{(ROOT / source).parent}", "-x", "c++", "-c", "-", "-o", str(target)]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def run_tests(objects):
    program = WORK / "mutated_test"
    subprocess.run([*COMPILE, *map(str, objects), "-o", str(program), "-pthread"], check=True)
    try:
        done = subprocess.run([str(program)], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return "it hangs"
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    failed = [line for line, later in zip(lines, [*lines[2:], "", ""]) if "TEST CASE:" in line and "ERROR" in later]
    return failed[0].split("TEST CASE:")[1].strip() if failed else "it crashes"


def apply(mutation):
    name, file, before, after = mutation
    source = f"reactor/afd/{file}"
    text = (ROOT / source).read_text(encoding="utf-8")
    if text.count(before) != 1:
        return f"FAIL     {name}: the text to change stands {text.count(before)} times in {source}"
    target = WORK / "mutated.o"
    compiled = compile_source(source, text.replace(before, after), target)
    if compiled.returncode != 0:
        return f"FAIL     {name}: does not compile\n{compiled.stderr[:2000]}"
    caught = run_tests([target if other == source else object_of(other) for other in TESTS + LIBRARY])
    return f"caught   {name}: {caught}" if caught else f"SURVIVED {name}"


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    for source in TESTS + LIBRARY:
        compiled = compile_source(source, (ROOT / source).read_text(encoding="utf-8"), object_of(source))
        if compiled.returncode != 0:
            sys.exit(f"FAIL mutations: {source} does not compile\n{compiled.stderr}")
    if found := run_tests(map(object_of, TESTS + LIBRARY)):
        sys.exit(f"FAIL mutations: the tests fail without any: {found}")
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] for word in words)]
    bad = 0
    for mutation in chosen:
        line = apply(mutation)
        bad += not line.startswith("caught")
        print(line, flush=True)
    print(f"{'FAIL' if bad or not chosen else 'PASS'} mutations: {len(chosen) - bad} of {len(chosen)} caught")
    sys.exit(1 if bad or not chosen else 0)


main()
