#!/usr/bin/env python3
"""A made-up run on Windows, as scripts/gates.ps1 writes it, has to fill a column of docs/kernel-facts.md.

It works on a copy of scripts/facts.py and of what that reads. The ids are those of the template, so that facts which no
system on record has an answer to (socket notifications, Unix sockets) are in it too.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITE_SECTION = "## What kernel_test asks"
problems = []


def expect(is_so, what):
    if not is_so:
        problems.append(what)


def asked_by_id():
    """Every fact on record, and of the template those that have no answer yet, by the gate that finds it."""
    gates = {}
    for gate in json.loads((ROOT / "docs/facts/wine-8.0.json").read_text(encoding="utf-8"))["gates"]:
        gates[gate["gate"]] = {fact["id"]: (fact["kind"], fact["asked"]) for fact in gate["facts"]}
    known = {fact_id for facts in gates.values() for fact_id in facts}
    template = (ROOT / "docs/kernel-facts.in.md").read_text(encoding="utf-8")
    for part, owner in zip(template.split(SUITE_SECTION), ("stage4_notify", "kernel_test"), strict=True):
        for fact_id, asked in re.findall(r"^@fact (\S+) \? (.*?) \|", part, re.MULTILINE):
            if fact_id not in known:
                gates[owner][fact_id] = ("fact", asked)
    return gates


def lines_of(facts, answer):
    """As the gates and kernel_test print them."""
    return [f"{'~' if kind == 'figure' else ' '} {i:<27} {asked:<60} -> {answer(i)}" for i, (kind, asked) in facts.items()]


def as_gates_ps1_reads(lines):
    script = (ROOT / "scripts/gates.ps1").read_text(encoding="utf-8")
    pattern = re.search(r"\$line -match '(.*)'\) \{", script)[1]
    matches = [re.fullmatch(pattern, line) for line in lines]
    expect(all(matches), "gates.ps1 does not know a line that a gate prints")
    return [{"kind": "figure" if m[1] == "~" else "fact", "id": m[2], "asked": m[3], "answer": m[4]} for m in matches if m]


def made_up_run(build, answer):
    return {"system": {"windows": build, "wine": None, "architecture": "x64"},
            "gates": [{"gate": name, "facts": as_gates_ps1_reads(lines_of(facts, answer)), "seconds": 1.5,
                       "verdict": "made up", "passed": True, "skipped": False} for name, facts in asked_by_id().items()]}


def rows(page, heading):
    """id -> the cell of that column, of every table that has it."""
    found, column = {}, None
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[:2] == ["id", "asked"]:
            column = cells.index(heading) if heading in cells else None
        elif cells and cells[0].startswith("`") and column is not None:
            found[cells[0].strip("`")] = cells[column]
    return found


def main():
    gates_ps1 = (ROOT / "scripts/gates.ps1").read_text(encoding="utf-8")
    gates_py = (ROOT / "scripts/gates.py").read_text(encoding="utf-8")
    named = re.findall(r"stage\d_\w+", re.search(r"\$gates = (.*)", gates_ps1)[1])
    expect(named == re.findall(r"stage\d_\w+", re.search(r"GATES = (.*)", gates_py)[1]), "gates.ps1 has other gates")

    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        (copy / "scripts").mkdir()
        (copy / "docs").mkdir()
        shutil.copy(ROOT / "scripts/facts.py", copy / "scripts")
        shutil.copy(ROOT / "docs/kernel-facts.in.md", copy / "docs")
        shutil.copytree(ROOT / "docs/facts", copy / "docs/facts")

        def facts(*arguments):
            return subprocess.run([sys.executable, copy / "scripts/facts.py", *arguments], capture_output=True, text=True,
                                  check=False)

        def record(run):
            sent = copy / "gates.json"
            sent.write_text(json.dumps(run), encoding="utf-8")
            return facts("--record", sent)

        def page():
            return (copy / "docs/kernel-facts.md").read_text(encoding="utf-8")

        before = len(list((ROOT / "docs/facts").glob("windows-*.json")))
        first = made_up_run("10.0.26100", lambda i: f"A of {i}")
        expect(record(first).returncode == 0, "a run on Windows is not taken")
        column = rows(page(), "Windows 10.0.26100")
        expect(len(column) > 150 and "notify.data" in column and "unix.close" in column, "facts are missing in the page")
        for fact_id, cell in column.items():
            expect(cell == f"A of {fact_id}", f"{fact_id} has {cell!r} in the column of Windows")
        expect(before > 0 or "| Windows |" not in page(), "the empty column is still there")
        expect(facts("--check", copy / "gates.json").returncode == 0, "the run that is on record does not agree with itself")

        # Another build is another column, and the first stays.
        expect(record(made_up_run("10.0.20348", lambda i: f"B of {i}")).returncode == 0, "a second build is not taken")
        expect(rows(page(), "Windows 10.0.20348").get("notify.data") == "B of notify.data", "the second build has no column")
        expect(rows(page(), "Windows 10.0.26100") == column, "the second build changed the column of the first")

        # An older system skips socket notifications; the suite may fail there, as that is how a system differs.
        older = made_up_run("10.0.19045", lambda i: f"C of {i}")
        for gate in older["gates"]:
            if gate["gate"] == "stage4_notify":
                gate |= {"facts": [], "passed": False, "skipped": True}
            if gate["gate"] == "kernel_test":
                gate |= {"passed": False}
        taken = record(older)
        expect(taken.returncode == 0 and "kernel_test failed there" in taken.stdout, "a system that differs is not taken")
        expect(rows(page(), "Windows 10.0.19045").get("notify.data") == "", "what was skipped has an answer")

        # A red gate, or a fact that the template does not name, is refused.
        older["gates"][0]["passed"] = False
        expect(record(older).returncode != 0, "a run with a red gate is taken")
        first["gates"][0]["facts"].append({"kind": "fact", "id": "made.up", "asked": "?", "answer": "!"})
        expect("made.up" in record(first).stderr, "a fact that the template does not name is taken")

    for problem in problems:
        print(problem)
    print("FAIL facts_test" if problems else f"PASS facts_test: {len(column)} rows of a made-up Windows are filled")
    sys.exit(1 if problems else 0)


main()
