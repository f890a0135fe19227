#!/usr/bin/env python3
"""Watches the public interface: its names, the module that exports them, and the layout of the shared libraries.

usage: interface.py                      the list docs/interface.txt and the modules have each public declaration, or fail
       interface.py --abi FOLDER         compares the shared libraries below FOLDER (built with -g by GCC for x86-64 Linux)
                                         with packaging/abi/, and their symbols with the list
       interface.py --record [FOLDER]    writes the list and the modules anew, and from FOLDER the records too; then read
                                         the difference: CHANGELOG.md has to say it to users

A record is of one version's SONAME (0.2). What was added since does not fail; what was changed or is gone does.
"""
import difflib
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "docs/interface.txt"
RECORDS = ROOT / "packaging/abi"
MODULES = {"reactor": "reactor/modules/reactor.cppm", "reactor.loop": "reactor/modules/reactor_loop.cppm"}
LIBRARIES = ("reactor", "reactor_loop")
TYPE = re.compile(r"(?:^|[>\s])(class|struct|union|enum(?: class)?)\s+(?:\[\[[^\]]*\]\]\s*)?(?:REACTOR_\w*API\s+)?"
                  r"((?:[\w:]+(?:<[^{]*>)?)?)\s*(?:final)?\s*((?<!:):(?!:)[^{(]*)?$", re.DOTALL)
NAME = re.compile(r"(operator\s*(?:\(\)|\"\"\s*\w+|co_await|bool|[^\s\w(]+)|~?\w+)\s*\(")


def public_headers():
    """As CMake installs them: those directly in reactor/, of the loop and of the simulation, and those of C."""
    lists = {"reactor": ("CMakeLists.txt", "public_headers"), "reactor/loop": ("loop/loop.cmake", "loop_headers"),
             "reactor/sim": ("sim/sim.cmake", "sim_headers")}
    for folder, (file, variable) in lists.items():
        names = re.search(rf"set\({variable} ([^)]*)\)", (ROOT / "reactor" / file).read_text(encoding="utf-8"))[1].split()
        yield from (f"{folder}/{pathlib.Path(name).name}" for name in names)
    yield from ("reactor/epoll.h", "reactor/epoll_post.h")


def without_comments(text):
    text = re.sub(r"/// @cond.*?/// @endcond", "", text, flags=re.DOTALL)
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


class Header:
    """The declarations of one header: `public` as (depth, text) and (scope, name), `known` with what is private."""

    def __init__(self, path):
        self.lines, self.names, self.known, self.scopes = [], [], set(), []
        text = without_comments((ROOT / path).read_text(encoding="utf-8"))
        for macro in dict.fromkeys(re.findall(r"^\s*#\s*define\s+(\w+(?:\([^)]*\))?)", text, re.MULTILINE)):
            if macro.endswith("_H"):
                continue
            self.lines.append((0, f"#define {macro}"))
        text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
        self.parse(text)

    def is_public(self):
        return all(s["public"] for s in self.scopes)

    def qualified(self, name):
        return "::".join([s["name"] for s in self.scopes if s["name"]] + [name])

    def emit(self, text, name=None):
        if name:
            self.known.add(self.qualified(name))
            if text.startswith("friend"):  # which is a function of the namespace
                self.known.add("::".join([s["name"] for s in self.scopes if s["name"]][:-1] + [name]))
        if self.is_public():
            depth = sum(bool(s["name"]) for s in self.scopes)
            if (depth, text) not in self.lines or depth > 1:
                self.lines.append((depth, text))
            if name:
                self.names.append(("::".join(s["name"] for s in self.scopes if s["name"]), name))

    def declaration(self, text):
        text = re.sub(r"\[\[[^\]]*\]\]|\bREACTOR_\w*API\b|\bWEPOLL_EXPORT\b|\binline\b|\bexplicit\b(?=\s*\()", " ", text)
        text = " ".join(text.split()).replace("( ", "(")
        if not text or text.startswith(("static_assert", "using namespace")):
            return
        if re.fullmatch(r"(?:template <[^{]*> )?(?:class|struct|enum(?: class)?) \w+(?: : [\w:]+)?", text):
            if not text.startswith("template"):
                return  # a forward declaration; that of a template is all there is of it beside its specializations
            self.emit(text, re.search(r"(\w+)$", text)[1])
            return
        if text.startswith("friend") and "operator" not in text:
            return
        if match := re.match(r"(?:template <.*?> )?using ([\w]+) =", text) or re.match(r"template <.*> concept (\w+) =", text):
            self.emit(text, match[1])
        elif text.startswith("using "):
            self.emit(text)
        elif match := NAME.search(re.sub(r"^template <.*?> (?=\w)|decltype\([^)]*\)|noexcept\(|explicit\(", "", text)):
            self.emit(text, match[1].replace(" ", "") if not re.search(r"co_await|bool", match[1]) else match[1])
        else:
            name = re.search(r"(\w+)(?:\[[^\]]*\])?$", re.sub(r"\s*(=.*|\{.*)$", "", text, flags=re.DOTALL))
            self.emit(text, name[1] if name else None)

    def enumerators(self, body):
        for part in filter(None, (" ".join(p.split()) for p in body.split(","))):
            self.emit(part, re.match(r"\w+", part)[0])

    def parse(self, text):
        position, statement, depth = 0, "", 0
        while position < len(text):
            char = text[position]
            position += 1
            if char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
            if depth:
                statement += char
            elif char == ";":
                self.declaration(statement)
                statement = ""
            elif char == ":" and statement.strip() in ("public", "private", "protected") and text[position] != ":":
                self.scopes[-1]["public"] = statement.strip() == "public"
                statement = ""
            elif char == "}":
                self.scopes.pop()
                statement = ""
            elif char == "{":
                position, statement = self.brace(text, position, statement)
            else:
                statement += char

    def brace(self, text, position, statement):
        plain = statement.strip()
        if match := re.match(r"(?:inline )?namespace ([\w:]*)", plain):
            hidden = "detail" in match[1].split("::") or not match[1]
            if self.is_public() and not hidden:
                depth = sum(bool(s["name"]) for s in self.scopes)
                if (depth, f"namespace {match[1]}") not in self.lines:
                    self.lines.append((depth, f"namespace {match[1]}"))
            self.scopes.append({"name": match[1], "public": not hidden})
            return position, ""
        if plain.startswith('extern "C"'):
            self.scopes.append({"name": "", "public": True})
            return position, ""
        end, level = position, 1
        while level:
            level += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        match = TYPE.search(plain)
        if match and not plain.startswith("typedef"):
            name = match[2]
            head = re.sub(r"\[\[[^\]]*\]\]|\bREACTOR_\w*API\b", "", plain)
            bases = re.sub(r"\bprivate [^,]*,?", "", match[3] or "")
            if name:
                self.emit(" ".join((head if bases == (match[3] or "") else head.replace(match[3], bases)).split()).removesuffix(" :"), name)
            self.scopes.append({"name": name, "public": match[1] != "class"})
            if match[1].startswith("enum"):
                self.enumerators(text[position:end - 1])
                self.scopes.pop()
                return end, ""
            return position, ""
        if "(" not in plain or re.search(r"=\s*(?:\w+\s*)?$", plain):  # an initializer: the semicolon follows
            return end, f"{statement}{{{' '.join(text[position:end - 1].split())}}}"
        if re.match(r"\s*[,{]", text[end:]):  # a member's initializer, before the body
            return end, statement
        # A function with its body: its initializers are no part of the declaration.
        self.declaration(re.sub(r"(\)(?:\s*(?:const|noexcept|&&?))*)\s*:(?!:).*$", r"\1", plain, flags=re.DOTALL))
        return end, ""


def listed(headers):
    """As it stands in the file. The private end of a class is not listed, so an empty one is its head alone."""
    lines = ["# Every public declaration, by header: written by scripts/interface.py --record, compared by a test.",
             "# What changes here changes what users may rely on: it belongs into CHANGELOG.md."]
    for path, header in headers.items():
        lines += ["", path] + ["  " * (depth + 1) + text for depth, text in header.lines]
    return "\n".join(lines) + "\n"


def module_names(headers, module):
    """What a module exports: the names directly in namespace reactor, each with the first header that declares it."""
    folder = "reactor/loop" if module == "reactor.loop" else "reactor"
    names = {}
    for path, header in headers.items():
        if path.rsplit("/", 1)[0] == folder and path.endswith(".hpp"):
            for scope, name in header.names:
                if scope == "reactor" and re.match(r"\w+$|operator", name):
                    names.setdefault(name, path)
    return names


def module_of(text, names):
    """The module's text with its headers and exported names made anew; the rest of the file is written by hand."""
    exports = "".join(f"using reactor::{name};\n" for name in sorted(names))
    text = re.sub(r"(export namespace reactor \{\n).*?(\}  // namespace reactor\n)", lambda m: m[1] + exports + m[2], text,
                  flags=re.DOTALL)
    if "#include <reactor/reactor.hpp>" in text:  # which has all headers of that folder
        return text
    includes = "".join(f"#include <{path}>\n" for path in sorted(set(names.values())))
    return re.sub(r"(?:#include <reactor/.*>\n)+", lambda m: includes, text, count=1)


def compare(name, recorded, made):
    difference = list(difflib.unified_diff(recorded.splitlines(), made.splitlines(), name, "the headers", lineterm="", n=1))
    if difference:
        print("\n".join(difference))
    return not difference


def soname():
    version = re.search(r"^project\(reactor VERSION (\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return version[1]


def library(folder, name):
    found = sorted(pathlib.Path(folder).rglob(f"lib{name}.so"))
    if not found:
        sys.exit(f"FAIL interface: no lib{name}.so below {folder}")
    return found[0]


def describe(lib, file):
    """Without the types of the standard library and those that no public header has (packaging/abi/ignore)."""
    subprocess.run(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-architecture",
                    "--no-elf-needed", "--drop-undefined-syms", "--no-parameter-names", "--type-id-style", "hash",
                    "--suppressions", str(RECORDS / "ignore"), "--out-file", str(file), str(lib)], check=True)
    # What GCC says of a destructor and clang does not: its common form, and a parameter that the language has not.
    text = file.read_text(encoding="utf-8")
    text = re.sub(r" *<member-function [^>]*destructor='yes'[^>]*>\n *<function-decl [^>]*D4Ev'[^>]*>.*?</member-function>\n", "", text, flags=re.DOTALL)
    integer = re.search(r"<type-decl name='int' [^>]*id='(\w+)'", text)[1]
    text = re.sub(rf" *<parameter type-id='{integer}' is-artificial='yes'/>\n", "", text)
    file.write_text(text, encoding="utf-8")


def check_abi(headers, folder):
    failed = False
    known = set().union(*(header.known for header in headers.values()))
    for name in LIBRARIES:
        lib = library(folder, name)
        record = RECORDS / f"lib{name}-{soname()}.abi"
        if not record.exists():
            sys.exit(f"FAIL interface: no {record.relative_to(ROOT)}: run scripts/interface.py --record {folder}")
        with tempfile.TemporaryDirectory() as temporary:
            made = pathlib.Path(temporary) / record.name
            describe(lib, made)
            done = subprocess.run(["abidiff", "--no-added-syms", "--no-show-locs", str(record), str(made)], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            print(done.stdout)
            failed = True
        symbols = subprocess.run(["nm", "-DC", "--defined-only", "--format=posix", str(lib)], text=True, check=True,
                                 stdout=subprocess.PIPE).stdout
        strays = sorted({s for s in map(symbol_name, symbols.splitlines()) if s and s not in known and "detail::" not in s})
        if strays:
            print(f"lib{name} exports what no public header declares (or interface.py does not understand it):", *strays, sep="\n  ")
            failed = True
    return not failed


def symbol_name(line):
    """reactor::Poller::wait of what nm prints for it; nothing for tables and what the compiler adds."""
    line = re.sub(r" [A-Zuvi] [0-9a-f]+.*$", "", line).replace("[abi:cxx11]", "")
    match = re.match(r"(?:.*? )?(reactor::[\w:~]*(?:operator[^(]*)?)\(", line)
    return match[1].rstrip() if match and not line.startswith(("vtable", "typeinfo", "guard")) else None


def main():
    headers = {path: Header(path) for path in public_headers()}
    made = {LIST: listed(headers)}
    for module, path in MODULES.items():
        if (ROOT / path).exists():
            made[ROOT / path] = module_of((ROOT / path).read_text(encoding="utf-8"), module_names(headers, module))
    if sys.argv[1:2] == ["--record"]:
        for file, text in made.items():
            file.write_text(text, encoding="utf-8")
        for folder in sys.argv[2:3]:
            RECORDS.mkdir(parents=True, exist_ok=True)
            for name in LIBRARIES:
                describe(library(folder, name), RECORDS / f"lib{name}-{soname()}.abi")
        return
    if sys.argv[1:2] == ["--abi"]:
        if not check_abi(headers, sys.argv[2]):
            sys.exit("FAIL interface: if that is intended, see CONTRIBUTING.md, then scripts/interface.py --record FOLDER")
        print(f"PASS interface: the shared libraries are as recorded for {soname()}")
        return
    same = [compare(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8") if file.exists() else "", text)
            for file, text in made.items()]
    if not all(same):
        sys.exit("FAIL interface: if that is intended, run scripts/interface.py --record and write it into CHANGELOG.md")
    print(f"PASS interface: {sum(len(h.names) for h in headers.values())} public names are as recorded")


main()
