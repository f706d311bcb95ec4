"""What is to be run of a page of the documentation: its commands, what they print, its files, and what its comments say to the test.

    <!-- test: run: COMMAND -->         what the reader has done already, or need not see
    <!-- test: not run: REASON -->      the next block is left out
    <!-- test: page of NAME -->         begins where the page NAME.md beside this one ends
"""

import dataclasses
import re

ANY = "…"
FENCE = re.compile(r"^ *```(\w*) *$")
ORDER = re.compile(r"^<!-- test: (run|not run|page of):? (.+) -->$")
FILE = re.compile(r"^# ([\w./-]+\.toml)(: add)?$")
EXIT = re.compile(r"#.*\bexit code (\d+)$")


@dataclasses.dataclass
class Command:
    """Of one block: lines of shell, and how each ends. `printed` is None where the page does not show it."""
    line: int
    lines: list
    printed: list | None = None


@dataclasses.dataclass
class File:
    line: int
    name: str
    text: str
    adds: bool


@dataclasses.dataclass
class Page:
    before: str | None
    steps: list
    left_out: list
    faults: list


def read(path):
    page, language, block, began, exempt = Page(None, [], [], []), None, [], 0, None
    follows = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, block, began = fence[1], [], number
        elif fence and not fence[1]:
            if exempt and language in ("sh", "toml"):
                page.left_out.append((began, exempt))
                exempt, follows = None, False
            else:
                follows = take(page, language, block, began, follows)
            language = None
        elif language is not None:
            block.append(line)
        elif order := ORDER.match(line):
            exempt = obey(page, order, number, exempt)
        elif line.startswith("<!-- test"):
            page.faults.append(f"line {number}: no such order")
        elif line.strip():
            follows = False
    return page


def obey(page, order, number, exempt):
    if order[1] == "not run":
        return order[2]
    if order[1] == "page of":
        page.before = order[2]
    else:
        page.steps.append(Command(number, [(order[2], 0)]))
    return exempt


def take(page, language, block, began, follows):
    """Whether what comes next may be what this printed."""
    if language == "sh":
        page.steps.append(Command(began, shell_lines(block)))
        return True
    if language == "text" and follows:
        page.steps[-1].printed = block
    elif language == "toml":
        name = FILE.match(block[0]) if block else None
        if name:
            page.steps.append(File(began, name[1], "\n".join(block) + "\n", bool(name[2])))
        else:
            page.faults.append(f"line {began}: TOML without the name of its file")
    return False


def shell_lines(block):
    """Commands with the exit code that each is to have; what ends in a backslash or a pipe goes on, as does an open `for`, `if` or `<<`."""
    commands, whole = [], ""
    for line in block:
        whole += line + "\n"
        if line.endswith(("\\", "|")) or is_open(whole):
            continue
        if whole.strip() and not whole.lstrip().startswith("#"):
            code = EXIT.search(line)
            commands.append((whole, int(code[1]) if code else 0))
        whole = ""
    return commands


def is_open(text):
    document = re.search(r"<<'?(\w+)'?", text)
    if document and f"\n{document[1]}\n" not in text:
        return True
    words = re.findall(r"(?m)(?:^|;)\s*(for|while|if|done|fi)(?=$|[;\s])", re.sub(r"(?m)(^|\s)#.*", "", text))
    return sum(1 if word in ("for", "while", "if") else -1 for word in words) > 0


def fits(printed, expected):
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == ANY else re.escape(line.rstrip()).replace(re.escape(ANY), r"[^\n]*") + "\n"
        for line in expected)
    lines = [line.rstrip() + "\n" for line in printed.splitlines()]
    return re.fullmatch(pattern, "".join(lines)) is not None
