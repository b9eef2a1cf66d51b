#!/usr/bin/env python3
"""Makes the man pages, the tables of README.md and docs/tuning.md, and the code in docs/integrate.md, from one source.

Usage: generate.py OUTPUT_DIR   writes man1/, man3/ and man7/ there
       generate.py --update     writes the tables between their markers
       generate.py --check      status 1, and a diff, when they are not what --update would write
       generate.py --variables  the names of the variables

Sources: the comments of include/memorybucket/memorybucket.h for the calls; the table in
src/core/options.h for the variables, and a section of docs/tuning.md for each that needs more than
a line; --help of the programs in src/cli; and in this folder the frames of some pages (*.md) and the
examples.

The form of a comment: its first sentence is the summary, of at most 80 characters, for whatis.
Paragraphs follow, and parts that begin with a label and a colon: Parameters, Returns, Errors, Cost,
Safety, See also. Where nothing follows the label on its line, the part is a list with a line
"  term: text" for each entry. Lines indented by four are shown as they are. `x` is x in bold.

The first line of an example is a comment: the pages that show it, a colon, and what it shows.

docs/integrate.md names the file that stands between two markers: all of it from its second line on,
or what stands before a main(void) or Rust's main.
"""
import difflib
import os
import re
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEADER = ROOT / "include/memorybucket/memorybucket.h"
OPTIONS = ROOT / "src/core/options.h"
PROGRAMS = {name: ROOT / f"src/cli/{name}.c" for name in ("mbrun", "mbstat", "mbprof", "mbreplay")}
TUNING = ROOT / "docs/tuning.md"
INTEGRATE = ROOT / "docs/integrate.md"
EXAMPLES = sorted((HERE / "examples").glob("*.c"))
SOURCES = [HEADER, OPTIONS, *PROGRAMS.values(), TUNING, *HERE.glob("*.md"), *EXAMPLES]

# The labels of a comment's parts, and the sections of a page that they become.
LABELS = {"Parameters": "PARAMETERS", "Returns": "RETURN VALUE", "Errors": "ERRORS", "Cost": "COST",
          "Safety": "SAFETY"}
SEE_ALSO = "See also"
LABEL = re.compile(r"(%s):\s*(.*)" % "|".join([*LABELS, SEE_ALSO]))
# What each page of a call says at the end of SAFETY.
COMMON = "memorybucket(3) says what holds for every call: threads, fork, signals, cancellation."
TERM = re.compile(r"([-\w]+): (\S.*)")


# ---- reading ------------------------------------------------------------------------------------

def comment_lines(comment):
    """The text of a C comment, line by line."""
    inner = comment.strip()[2:-2]
    return [re.sub(r"^\s*\* ?", "", line).rstrip() for line in inner.splitlines()]


def parse_blocks(lines, has_terms=False):
    """Lines as ("text", string), ("code", [line ...]), if asked ("terms", [(term, text) ...])."""
    blocks = []
    gap = True
    for line in lines:
        indent = len(line) - len(line.lstrip())
        kind, body = blocks[-1] if blocks else ("", None)
        term = TERM.fullmatch(line) if has_terms else None
        if not line.strip():
            if kind == "code":
                body.append("")
        elif term:
            if kind != "terms":
                blocks.append(("terms", []))
            blocks[-1][1].append((term[1], term[2]))
        elif kind == "terms" and indent > 0 and not gap:
            name, text = body[-1]
            body[-1] = (name, text + " " + line.strip())
        elif indent >= 4 and (gap or kind == "code"):
            if kind != "code":
                blocks.append(("code", []))
            blocks[-1][1].append(line[4:])
        elif kind == "text" and not gap:
            blocks[-1] = ("text", body + " " + line.strip())
        else:
            blocks.append(("text", line.strip()))
        gap = not line.strip()
    return blocks


def parse_comment(comment):
    """A comment's summary, its blocks without the labelled parts, and these."""
    free, parts, current, gap = [], {}, None, False
    for line in comment_lines(comment):
        label = LABEL.fullmatch(line)
        if label:
            current = parts.setdefault(label[1], [])
            current += [label[2]] if label[2] else []
        else:
            if gap and line and not line.startswith(" "):
                current = None
            (free if current is None else current).append(line)
        gap = not line
    blocks = parse_blocks(free)
    summary = re.match(r".*?[.](?= +[A-Z`(]|$)", blocks[0][1] if blocks else "")
    if summary is None:
        sys.exit("This comment does not begin with a sentence:\n" + comment)
    return SimpleNamespace(summary=summary[0].rstrip("."), blocks=blocks, parts={
        name: parse_blocks(textwrap.dedent("\n".join(part)).splitlines(), part[0].startswith(" "))
        for name, part in parts.items()})


def prototype(declaration):
    """A declaration without what only compilers read."""
    attributes = r"__attribute__\s*\(\(.*?\)\)(?=\s|;|$)|\bMB_[A-Z_]+\([^()]*\)|\bMB_[A-Z]+\b(?=\s)"
    text = re.sub(attributes, "", declaration, flags=re.S)
    text = re.sub(r"\s+", " ", text).strip().rstrip(";").strip()
    return re.sub(r"\(\s+", "(", text)


def parse_header():
    """The head comment, and a page for each comment of calls: names, prototypes, types, text."""
    text = HEADER.read_text()
    head = re.match(r"/\*.*?\*/", text, re.S)[0]
    item = re.compile(r"^(?P<comment>/\*(?:(?!\*/).)*\*/\n)?"
                      r"(?:(?P<calls>(?:MB_API [^;{]*;\n)+)"
                      r"|(?P<type>#define MB_OCC[^\n]*\n|(?:struct|enum) \w+ \{.*?^\};\n|typedef [^;]*;\n))",
                      re.S | re.M)
    pages, types = [], []
    for match in item.finditer(text, len(head)):
        if match["calls"]:
            prototypes = [prototype(call) for call in re.findall(r"MB_API [^;]*;", match["calls"])]
            names = [re.search(r"(mb_\w+)\(", call)[1] for call in prototypes]
            if match["comment"] is None:
                sys.exit(f"{HEADER}: {names[0]} has no comment")
            doc = parse_comment(match["comment"])
            pages.append(SimpleNamespace(names=names, prototypes=prototypes, types=types, doc=doc,
                                         is_deprecated="MB_DEPRECATED(" in match["calls"]))
            types = []
        elif match["comment"] is None:
            sys.exit(f"{HEADER}: {match['type'].splitlines()[0]} has no comment")
        else:
            types.append((parse_comment(match["comment"]), match["type"].rstrip()))
    return head, pages


def split_arguments(text):
    """Arguments at the top level of "(...)", with adjacent strings joined."""
    arguments, depth = [""], 0
    for token in re.findall(r'"(?:\\.|[^"])*"|.', text, re.S):
        depth += (token == "(") - (token == ")")
        if token == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += token
    strings = [re.findall(r'"((?:\\.|[^"])*)"', one, re.S) for one in arguments]
    return ["".join(found) if found else one.strip() for found, one in zip(strings, arguments)]


def parse_options():
    """Each variable: name, accepted values, default, text. And the names that were removed."""
    text = OPTIONS.read_text().replace("\\\n", "\n")
    table = re.search(r"#define MBI_OPTIONS\(X\)(.*?)\n\n", text, re.S)[1]
    options = []
    for entry in re.findall(r"X\(((?:\"(?:\\.|[^\"])*\"|[^\")(]|\([^)]*\))*)\)", table, re.S):
        arguments = split_arguments(entry)
        accepted, default, what = arguments[-3:]
        options.append(SimpleNamespace(name=arguments[0], accepted=accepted, default=default,
                                       what=what))
    return options


def usage_text(program):
    """What the program prints with --help."""
    array = re.search(r"usage\[\] =(.*?);\n", PROGRAMS[program].read_text(), re.S)[1]
    return "".join(re.findall(r'"((?:\\.|[^"])*)"', array)).replace("\\n", "\n")


def tuning_sections():
    """What docs/tuning.md says of each variable, below a heading of its name.

    Without sentences that link to other documents: pages are installed without these.
    """
    found = re.findall(r"^### `(MB_\w+)`\n(.*?)(?=^##)", TUNING.read_text(), re.S | re.M)
    sentence_with_link = re.compile(r"(?:(?<=\.)[ \n]|^)[^.]*?\[[^]]+\]\([^)]+\)[^.]*\.", re.M)
    return {name: sentence_with_link.sub("", text).strip().splitlines() for name, text in found}


# ---- man pages ----------------------------------------------------------------------------------

def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def inline(text, own=()):
    """A paragraph's text: `x`, names of calls and of variables in bold."""
    def shown(match):
        code, call, name, other = match.groups()
        if other is not None:
            return escape(other)
        page = "(3)" if call in CALLS and call not in own else ""
        return f"\\fB{escape(code or call or name)}\\fR{page}"
    return re.sub(r"`([^`]+)`|\b(mb_\w+)(?:\(\))?(?![\w(])|\b(MB_\w+)|(.)", shown, text)


def text_line(text):
    return "\\&" + text if text[:1] in ".'" else text


def filled(text, own=()):
    lines = textwrap.wrap(inline(text, own), 79, break_on_hyphens=False)
    return [text_line(line) for line in lines]


def roff(blocks, own=(), first=True):
    """Blocks as lines of a man page. The first needs no macro before it, right behind a heading."""
    lines = []
    for kind, body in blocks:
        if kind == "text":
            lines += [] if first else [".P"]
            lines += filled(body, own)
        elif kind == "terms":
            for term, text in body:
                lines += [".TP", text_line(inline(f"`{term}`" if "`" not in term else term, own))]
                lines += filled(text, own)
        elif kind == "items":
            for text in body:
                lines += [".IP \\(bu 3", *filled(text, own)]
        else:
            while body and not body[-1]:
                body = body[:-1]
            lines += ([] if first else [".P"]) + [".in +4n", ".EX"]
            lines += [text_line(escape(line)) for line in body] + [".EE", ".in"]
        first = False
    return lines


def section(title, lines):
    return [f".SH {title}" if " " not in title else f'.SH "{title}"', *lines] if lines else []


def title(name, number):
    version = re.findall(r"#define MB_VERSION_\w+ (\d+)", HEADER.read_text())
    newest = max(path.stat().st_mtime for path in SOURCES)
    stamp = int(os.environ.get("SOURCE_DATE_EPOCH", newest))
    date = time.strftime("%Y-%m-%d", time.gmtime(stamp))
    return [f'.TH {name.upper()} {number} {date} "MemoryBucket {".".join(version)}" MemoryBucket']


def synopsis(prototypes):
    """Prototypes in bold, what the caller names in italics."""
    lines = [".nf", ".B #include <memorybucket/memorybucket.h>", ".P"]
    for text in prototypes:
        before, arguments = text.split("(", 1)
        arguments = re.sub(r"\b(?!void\b)(\w+)(?=[,)])", r"\\fI\1\\fB", arguments)
        call = f"{before}({arguments};".replace(" ", "\0").replace(",\0", ", ")
        for number, line in enumerate(textwrap.wrap(call, 90)):
            lines.append("    " * (number > 0) + "\\fB" + line.replace("\0", " ") + "\\fR")
    return lines + [".fi"]


def example_of(names):
    """The example whose first line names one of these, and what it says there."""
    for path in EXAMPLES:
        lines = path.read_text().splitlines()
        shown_for = re.fullmatch(r"/\* (.*?): (.*) \*/", lines[0])
        if set(names) & set(shown_for[1].split(", ")):
            return path, shown_for[2], lines[1:]
    return None


def example_lines(names):
    found = example_of(names)
    if not found:
        return []
    return roff([("text", found[1]), ("code", found[2])])


def see_also(own, names):
    references = [f".BR {name} (3)" for name in sorted(names) if name in CALLS and name not in own]
    references += [".BR memorybucket (3)", ".BR memorybucket (7)"]
    return [reference + "," for reference in references[:-1]] + references[-1:]


def call_page(page):
    doc, own = page.doc, page.names
    lines = title(own[0], 3)
    summary = ", ".join(own) + " \\- " + escape(lower(doc.summary))
    lines += section("NAME", textwrap.wrap(summary, 79))
    lines += section("LIBRARY", filled("MemoryBucket (`libmemorybucket`, `-lmemorybucket`)"))
    lines += section("SYNOPSIS", synopsis(page.prototypes))
    lines += section("DESCRIPTION", roff(doc.blocks, own))
    for label, heading in LABELS.items():
        blocks = [(kind, capital(body) if kind == "text" else body)
                  for kind, body in doc.parts.get(label, [])]
        if label == "Safety":
            blocks.append(("text", COMMON))
        lines += section(heading, roff(blocks, own))
    lines += section("TYPES", [line for one in page.types for line in type_lines(*one, own)])
    lines += section("EXAMPLES", example_lines(own))
    named = re.findall(r"\w+", str(doc.parts.get(SEE_ALSO)))
    return lines + section("SEE ALSO", see_also(own, named))


def type_lines(doc, declaration, own):
    """What a page says of a type: a structure's members stand in a list."""
    name = declaration.split("{")[0].split("\n")[0].rstrip(" ;")
    members = re.findall(r"^ +(.*?)[;,](?: +/\* (.*?) \*/)?$", declaration, re.M)
    lines = [f'.SS "{escape(name)}"', *roff(doc.blocks, own)]
    for label in ("Parameters", "Returns"):
        kind_of_text = [(kind, f"Returns {body}" if label == "Returns" else body)
                        for kind, body in doc.parts.get(label, [])]
        lines += roff(kind_of_text, own, first=False)
    return lines + roff([("terms", [(f"`{name}`", text or "") for name, text in members])], own)


def lower(sentence):
    """As a part of a line: without the capital, unless it is a name."""
    return sentence[0].lower() + sentence[1:] if sentence[1:2].islower() else sentence


def frame_page(name, number, insertions):
    """A page of a frame, in which @x@ stands for lines that are made."""
    lines = title(name, number)
    text = (HERE / f"{name}.{number}.md").read_text()
    for heading, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.S | re.M):
        made = []
        for piece in re.split(r"^(@\w+@)\n", body, flags=re.M):
            if re.fullmatch(r"@\w+@", piece):
                made += insertions[piece.strip("@")]
            else:
                made += roff(parse_markdown(piece), first=not made)
        lines += section(heading, made)
    return lines


def parse_markdown(text):
    """Blocks of a frame or of docs/tuning.md: as a comment's, and lists with dashes."""
    blocks = []
    for paragraph in re.split(r"\n\n+", text.strip("\n")):
        if paragraph.startswith("- "):
            items = re.split(r"^- ", paragraph, flags=re.M)[1:]
            blocks.append(("items", [" ".join(item.split()) for item in items]))
        else:
            blocks += parse_blocks(paragraph.splitlines())
    return blocks


def option_lines(options):
    sections = tuning_sections()
    lines = []
    for option in options:
        lines += [".TP", f"\\fB{option.name}\\fR"]
        lines += roff([("text", capital(option.what) + "."),
                       ("text", f"Values: {option.accepted}. Default: {option.default}.")])
        lines = [".IP" if line == ".P" else line for line in lines]
        more = roff(parse_markdown("\n".join(sections.get(option.name, []))), first=False)
        lines += [".IP" if line == ".P" else line for line in more]
    return lines


def capital(text):
    return text[0].upper() + text[1:]


def listed(pages):
    return [page for page in pages if not page.is_deprecated]


def call_list(pages):
    lines = []
    for page in listed(pages):
        lines += [".TP", ", ".join(f"\\fB{name}\\fR(3)" for name in page.names)]
        lines += filled(page.doc.summary + ".", CALLS)
    return lines


def head_lines(head):
    """What the header's first comment says: an introduction, and what is common to all calls."""
    text = "\n".join(comment_lines(head))
    introduction, common = re.fullmatch(r".*?\n\n(.*?)Common: (.*)", text, re.S).groups()
    return roff(parse_blocks(introduction.splitlines())
                + parse_blocks(capital(common).splitlines(), has_terms=True))


def program_insertions(program):
    """The parts of a program's --help: its forms, what it does, its options, its exit status."""
    forms, usage, exit_status = re.fullmatch(r"Usage: ((?:[^\n]+\n)(?: {7}[^\n]+\n)*)(.*)"
                                             r"Exit status: (.*)", usage_text(program), re.S).groups()
    synopsis, options = [], []
    for form in forms.splitlines():
        words = re.split(r" {2,}", form.strip())[0].split(" ", 1)[1]
        synopsis += [*([".br"] if synopsis else []), f".B {program}", f"\\fI{escape(words)}\\fR"]
    option = re.compile(r"^  (-.*?) {2,}(.*)\n", re.M)
    for term, text in option.findall(usage):
        options += [".TP", f"\\fB{escape(term)}\\fR", *filled(text)]
    return {"synopsis": synopsis, "options": options,
            "usage": roff(parse_blocks(option.sub("", usage).splitlines())),
            "exit_status": roff(parse_blocks(capital(exit_status).splitlines()))}


def man_pages():
    """Every page, by its path below the folder of manuals."""
    head, pages = parse_header()
    options = parse_options()
    files = {}
    for page in pages:
        files[f"man3/{page.names[0]}.3"] = call_page(page)
        for other in page.names[1:]:
            files[f"man3/{other}.3"] = [f".so man3/{page.names[0]}.3"]
    insertions = {
        "common": head_lines(head), "calls": call_list(pages),
        "options": option_lines(options),
        "removed": [inline(", ".join(REMOVED))],
        "example": example_lines(["memorybucket"]),
    }
    for number in (3, 7):
        files[f"man{number}/memorybucket.{number}"] = frame_page("memorybucket", number, insertions)
    for program in PROGRAMS:
        files[f"man1/{program}.1"] = frame_page(program, 1, program_insertions(program))
    return files


# ---- tables -------------------------------------------------------------------------------------

def cell(text):
    return text.replace("|", "\\|")


def table(*rows):
    lines = ["| " + " | ".join(cell(one) for one in row) + " |" for row in rows]
    return [lines[0], re.sub(r"[^|]+", " --- ", lines[0]), *lines[1:]]


LANGUAGES = {".c": "c", ".cpp": "cpp", ".py": "python", ".rs": "rust", ".txt": "cmake", ".build": "meson",
             ".wrap": "ini", ".sh": "sh"}


def shown_files():
    """The code that docs/integrate.md shows, by the name of its file."""
    shown = {}
    for name in re.findall(r"^<!-- (examples/\S+): ", INTEGRATE.read_text(), re.M):
        path = INTEGRATE.parent / name
        text = re.split(r"^(?:int main\(void|fn main\()", path.read_text().split("\n", 1)[1], flags=re.M)[0]
        shown[name] = ["```" + LANGUAGES[path.suffix], *text.strip("\n").split("\n"), "```"]
    return shown


def tables():
    """What stands between the markers of each document, by path and marker."""
    _, pages = parse_header()
    options = parse_options()
    calls = [("call", "what it does")]
    for page in listed(pages):
        calls.append((", ".join(f"`{text}`" for text in page.prototypes), lower(page.doc.summary)))
    short = [("variable", "default", "what it does")]
    long = [("variable", "values", "default", "what it does")]
    for option in options:
        short.append((f"`{option.name}`", option.default, option.what))
        long.append((f"`{option.name}`", option.accepted, option.default, option.what))
    example = ["```c", *example_of(["memorybucket"])[2], "```"]
    removed = textwrap.wrap("These were removed: " + ", ".join(f"`{name}`" for name in REMOVED)
                            + ". A process that sets one gets a line that says so.", 118)
    return {"README.md": {"calls": table(*calls), "variables": table(*short), "example": example},
            "docs/tuning.md": {"variables": table(*long), "removed": removed},
            "docs/integrate.md": shown_files()}


def with_tables(path, made):
    text = (ROOT / path).read_text()
    for name, lines in made.items():
        marked = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end -->\n)", re.S)
        if not marked.search(text):
            sys.exit(f"{path} has no marker <!-- {name}: ... --> with an <!-- end --> behind it")
        body = "\n".join(lines) + "\n"
        text = marked.sub(lambda match: match[1] + body + match[2], text)
    return text


def main(arguments):
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    if arguments[0] == "--variables":
        print("\n".join(option.name for option in parse_options()))
        return 0
    if arguments[0].startswith("-") and arguments[0] not in ("--update", "--check"):
        print(f"generate.py: {arguments[0]}: no such option; see --help", file=sys.stderr)
        return 2
    if arguments[0] not in ("--update", "--check"):
        for path, lines in man_pages().items():
            target = Path(arguments[0]) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("\n".join(lines) + "\n")
        return 0
    status = 0
    for path, made in tables().items():
        now, wanted = (ROOT / path).read_text(), with_tables(path, made)
        if now == wanted:
            continue
        if arguments[0] == "--update":
            (ROOT / path).write_text(wanted)
        else:
            status = 1
            lines = now.splitlines(True), wanted.splitlines(True)
            sys.stdout.writelines(difflib.unified_diff(*lines, path, "generated"))
    if status:
        print("The tables are made from other sources: run docs/man/generate.py --update")
    return status


REMOVED = re.findall(r"X\((MB_\w+)\)", re.search(r"MBI_REMOVED_OPTIONS\(X\)(.*?)\n\n",
                                                 OPTIONS.read_text(), re.S)[1])
CALLS = [name for page in parse_header()[1] for name in page.names]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
