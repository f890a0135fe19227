#!/usr/bin/env python3
"""Builds the site of scripts/docs.sh in build/docs/html: docs/*.md and the API reference, by Doxygen.

Doxygen 1.9 knows neither GitHub's names of headings nor pictures of both colour schemes, so it reads converted copies of
the pages. Fails on an undocumented public name, on anything else that Doxygen warns of, and on a dead link in the site.
"""
import html.parser
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import check_docs

ROOT = check_docs.ROOT
OUT = ROOT / "build/docs"
STYLE = pathlib.Path("/usr/share/doxygen-awesome-css")
# The order in the menu; pages that are not named here come last.
ORDER = ("docs/cookbook.md", "docs/architecture.md", "docs/semantics.md", "docs/kernel-facts.md", "docs/testing.md",
         "docs/performance.md", "docs/performance/results.md", "docs/performance/tuning.md", "docs/epoll.md",
         "docs/loop.md", "docs/simulation.md", "docs/verification.md", "docs/glossary.md", "poc/README.md", "CHANGELOG.md",
         "CONTRIBUTING.md")
INTERNAL = ("export.hpp",)  # installed, and no part of the interface
DOXYFILE = """
PROJECT_NAME = reactor
PROJECT_BRIEF = "When sockets are ready, on Windows and on Linux"
OUTPUT_DIRECTORY = {out}
INPUT = {inputs}
STRIP_FROM_PATH = {root}
STRIP_FROM_INC_PATH = {root}
USE_MDFILE_AS_MAINPAGE = {out}/pages/README.md
MARKDOWN_SUPPORT = YES
TOC_INCLUDE_HEADINGS = 2
AUTOLINK_SUPPORT = YES
JAVADOC_AUTOBRIEF = YES
EXTRACT_ALL = NO
EXTRACT_STATIC = NO
HIDE_UNDOC_MEMBERS = NO
HIDE_FRIEND_COMPOUNDS = NO
SHOW_USED_FILES = NO
SHOW_INCLUDE_FILES = YES
VERBATIM_HEADERS = NO
SOURCE_BROWSER = NO
SORT_MEMBER_DOCS = NO
STRIP_CODE_COMMENTS = NO
GENERATE_LATEX = NO
HAVE_DOT = NO
CLASS_GRAPH = NO
ENABLE_PREPROCESSING = YES
MACRO_EXPANSION = YES
EXPAND_ONLY_PREDEF = YES
PREDEFINED = REACTOR_API= REACTOR_EPOLL_API= DOXYGEN _WIN32
EXCLUDE_SYMBOLS = std reactor::detail reactor::detail::* detail
LAYOUT_FILE = {out}/layout.xml
HTML_OUTPUT = html
HTML_EXTRA_STYLESHEET = {style}/doxygen-awesome.css {style}/doxygen-awesome-sidebar-only.css {out}/site.css
HTML_EXTRA_FILES = {pictures}
HTML_COLORSTYLE_HUE = 209
HTML_COLORSTYLE_SAT = 255
HTML_COLORSTYLE_GAMMA = 113
GENERATE_TREEVIEW = YES
DISABLE_INDEX = NO
FULL_SIDEBAR = NO
SEARCHENGINE = YES
SERVER_BASED_SEARCH = NO
WARN_IF_UNDOCUMENTED = YES
WARN_NO_PARAMDOC = NO
WARN_LOGFILE = {out}/warnings.log
QUIET = YES
"""
CSS = """
:root { --content-maxwidth: 1100px }
.contents img { max-width: 100%; height: auto }
table.markdownTable td { vertical-align: top }
"""


def name_of(page):
    """The name of a page in Doxygen: docs/performance/results.md is performance_results."""
    name = page.removesuffix(".md").removeprefix("docs/")
    return re.sub(r"\W", "_", "index" if name == "README" else name)


def anchor_of(page, heading):
    return f"{name_of(page)}_{re.sub(chr(92) + 'W', '_', heading)}"


def convert_link(page, match):
    is_picture, text, link = match[1] == "!", match[2], match[3]
    target, _, anchor = link.partition("#")
    if re.match(r"[a-z]+:", target):
        return match[0]
    path = ((ROOT / page).parent / target).resolve().relative_to(ROOT).as_posix() if target else page
    if is_picture:
        return f'<img src="{pathlib.Path(path).name}" alt="{text}"/>'
    if not path.endswith(".md"):
        return text  # sources are no part of the site
    return f"[{text}](@ref {anchor_of(path, anchor) if anchor else name_of(path)})"


def convert(page, text):
    is_code, is_first = False, True
    for line in text.split("\n"):
        if check_docs.FENCE.match(line):
            is_code = not is_code
            yield line
            continue
        if is_code:
            yield line
            continue
        if line.startswith("<!--"):
            continue
        plain = re.sub(r"(!?)\[((?:[^\]\[]|`[^`]*`)*)\]\(([^)\s]+)\)", lambda m: convert_link(page, m), line) if "](" in line else line
        # What Doxygen would take for a link to a member (wepoll#35) or for a command of its own.
        plain = "".join(part if part.startswith("`") else re.sub(r"\\(?=\w)", r"\\\\", re.sub(r"(?<=\w)#(?=\d)", r"\\#", part))
                        for part in re.split(r"(`[^`]*`)", plain))
        if match := re.match(r"(#+) (.*)", line):
            heading = next(iter(check_docs.headings(line)))
            if page != "README.md" or not is_first:  # that is the main page, which has a name already
                plain = f"{plain} {{#{name_of(page) if is_first else anchor_of(page, heading)}}}"
            is_first = False
        yield plain


def write_layout(pages):
    default = OUT / "default_layout.xml"
    subprocess.run(["doxygen", "-l", default], check=True)
    titles = {page: re.sub(r"`", "", re.search(r"^# (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)[1]) for page in pages}
    entries = "\n".join(f'      <tab type="user" url="@ref {name_of(page)}" title="{title}"/>' for page, title in titles.items())
    layout = default.read_text(encoding="utf-8")
    layout = re.sub(r'<tab type="pages"[^>]*/>', f'<tab type="usergroup" url="[none]" title="Read">\n{entries}\n    </tab>', layout)
    layout = re.sub(r'(<tab type="(?:modules|interfaces|structs|exceptions|examples|concepts)" visible=)"yes"', r'\1"no"', layout)
    (OUT / "layout.xml").write_text(layout, encoding="utf-8")


def public_headers():
    """Those that CMake installs: `set(..._headers ...)` in reactor/, by the library; and the C API's."""
    folder = ROOT / "reactor"
    found = sorted(folder.glob("*.h"))
    for listing in (folder / "CMakeLists.txt", *sorted(folder.rglob("*.cmake"))):
        for headers in re.findall(r"^set\(\w+_headers ([^)]*)\)", listing.read_text(encoding="utf-8"), re.MULTILINE):
            # Named from reactor/, or from the folder of the listing.
            found += [next(place / name for place in (listing.parent, folder) if (place / name).exists())
                      for name in headers.split()]
    return [str(path) for path in found if path.name not in INTERNAL]


def build():
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "pages").mkdir(parents=True)
    pages = [page for page in check_docs.pages() if page.startswith(("docs/", "poc/")) or "/" not in page]
    pages = [page for page in pages if not page.endswith(".in.md")]
    pages.sort(key=lambda page: (ORDER.index(page) if page in ORDER else len(ORDER), page))
    for page in pages:
        name = "README" if page == "README.md" else name_of(page)
        text = "\n".join(convert(page, (ROOT / page).read_text(encoding="utf-8")))
        (OUT / f"pages/{name}.md").write_text(text, encoding="utf-8")
    (OUT / "site.css").write_text(CSS, encoding="utf-8")
    write_layout([page for page in pages if page != "README.md"])
    headers = public_headers()
    pictures = [str(path) for path in sorted((ROOT / "docs").rglob("*.svg"))]
    (OUT / "Doxyfile").write_text(DOXYFILE.format(
        out=OUT, root=ROOT, style=STYLE, inputs=" ".join([str(OUT / "pages"), *headers]), pictures=" ".join(pictures)), encoding="utf-8")
    subprocess.run(["doxygen", OUT / "Doxyfile"], check=True, stdout=subprocess.DEVNULL)
    if warnings := (OUT / "warnings.log").read_text(encoding="utf-8").strip():
        sys.exit(f"FAIL docs: Doxygen warns\n{warnings.replace(f'{ROOT}/', '')}")
    return len(pages), len(headers)


class Links(html.parser.HTMLParser):
    """The links of a page and the names that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.names = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        self.names |= {attributes[key] for key in ("id", "name") if attributes.get(key)}


def open_menu():
    """On the main page the menu begins closed, since that page is its root."""
    page = OUT / "html/index.html"
    script = ("<script>$(function(){var tries=0;var timer=setInterval(function(){var root=$('#nav-tree-contents a[href=\"javascript:void(0)\"]');"
              "if(root.length||++tries>50){clearInterval(timer);if(root.length==1)root[0].click()}},20)})</script>")
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", f"{script}\n</body>"), encoding="utf-8")


def dead_links():
    site = OUT / "html"
    pages = {path.name: Links(path.read_text(encoding="utf-8")) for path in sorted(site.glob("*.html"))}
    for name, page in pages.items():
        for target in dict.fromkeys(page.targets):
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            if not (site / (path or name)).exists():
                yield f"{name}: a link to nowhere: {target}"
            elif (path or name) in pages and anchor not in pages[path or name].names:
                yield f"{name}: no such heading: {target}"


def main():
    pages, headers = build()
    open_menu()
    if dead := list(dead_links()):
        sys.exit("FAIL docs: dead links\n" + "\n".join(dead))
    print(f"PASS docs: {pages} pages and {headers} headers in {(OUT / 'html/index.html').relative_to(ROOT)}")


main()
