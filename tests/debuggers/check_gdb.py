# SPDX-License-Identifier: MIT
"""Run by gdb in batch mode with scripts/debuggers/gdb_printers.py on `shown`: compares what the printers show, and checks
that every type and member that reactor.natvis names exists."""
import pathlib
import re
import traceback
import xml.etree.ElementTree

import gdb

NATVIS = pathlib.Path(__file__).resolve().parents[2] / "scripts/debuggers/reactor.natvis"
EVENT = (NATVIS.parents[2] / "reactor/event.hpp").read_text(encoding="utf-8")
EXPECTED = {
    "event": r"token 7: readable\|writable",
    "failed": r"token 8: failed, error 0xc0000236",
    "none": r"no registration",
    "registration": r"slot \d+, generation [1-9]\d*",
    "retired": r"slot 0: retired, poll idle = \{.*",
    "slot": r"slot 3: socket 40, token 7, generation 12, poll idle, wants readable\|endings, disarmed none, edge, list marked = "
            r"\{.*generation = 12,.*",
}


def check_natvis():
    """Evaluates each expression for an object of its type, each of whose members is written OBJECT.MEMBER for that."""
    objects = {"reactor::Event": "event", "reactor::Registration": "registration", "reactor::afd::Slot": "slot"}
    types = xml.etree.ElementTree.parse(NATVIS).getroot()
    assert len(types) == len(objects)
    count = 0
    for described in types:
        shown = objects[described.get("Name")]
        for line in described:
            texts = re.findall(r"\{([^}]+)\}", line.text) + [line.get("Condition") or "0"]
            for text in texts:
                expression = re.sub(r",\w+$", "", text)  # without the format
                if line.get("Optional") == "true":  # has members that only Windows has: their names stand in the header
                    names = re.findall(r"[a-z]\w*", expression)
                    assert all(re.search(rf"\b{name}\b", EVENT) for name in names), f"{text} is in no Event"
                    continue
                gdb.parse_and_eval(re.sub(r"(?<![\w.])([a-z]\w*)", rf"{shown}.\1", expression))
                count += 1
    assert count > 10


def check():
    gdb.execute("break stop_here")
    gdb.execute("run")
    for name, pattern in EXPECTED.items():
        shown = gdb.parse_and_eval(name).format_string()
        assert re.fullmatch(pattern, shown, re.DOTALL), f"{name} is shown as {shown}"
    check_natvis()


try:
    gdb.execute("set confirm off")
    check()
    print("PASS debuggers")
except Exception:  # gdb goes on after an error of a script, so the exit code is passed to it
    traceback.print_exc()
    gdb.execute("quit 1")
gdb.execute("quit 0")
