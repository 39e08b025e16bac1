"""Code blocks of Markdown files: which there are, and what their commands should print."""

import re
from dataclasses import dataclass

LANGUAGES = ("sh", "console", "python")
SKIPPED = re.compile(r"<!-- not run: (.*) -->")
PROMPT = "$ "
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# Scores differ between processors by a few units in the sixth digit, estimates by more.
TOLERANCE = 0.02


@dataclass
class Block:
    """A fenced block of a language that is run."""

    where: str
    language: str
    lines: list
    # Why it is not run; empty if it is.
    reason: str

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"


def blocks(path, name):
    """The blocks of a file, in order."""
    reason, opening, found = "", None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if opening is None:
            skipped = SKIPPED.fullmatch(line.strip())
            if skipped:
                reason = skipped.group(1)
            elif line.startswith("```"):
                opening = Block(f"{name}:{number}", line[3:].strip(), [], reason)
            elif line.strip():
                reason = ""
        elif line.startswith("```"):
            if opening.language in LANGUAGES:
                found.append(opening)
            opening, reason = None, ""
        else:
            opening.lines.append(line)
    return found


def commands(block):
    """The commands of a console block, each with the lines that it should print."""
    found = []
    goes_on = False
    for line in block.lines:
        if goes_on or line.startswith(PROMPT):
            text = line if goes_on else line[len(PROMPT) :]
            if goes_on:
                found[-1][0] += "\n" + text
            else:
                found.append([text, []])
            goes_on = text.endswith("\\")
        else:
            found[-1][1].append(line)
    return found


def printed_by(block):
    """What a Python block says that it prints: the comments behind `print(...)`."""
    comments = (re.fullmatch(r"print\(.*\)\s+# (.*)", line) for line in block.lines)
    return [comment.group(1) for comment in comments if comment]


def differs(expected, printed):
    """The first expected line that was not printed, or None; `…` stands for any lines."""
    at, skips = 0, False
    for line in expected:
        if line == "…":
            skips = True
            continue
        while skips and at < len(printed) and not is_same(line, printed[at]):
            at += 1
        if at >= len(printed) or not is_same(line, printed[at]):
            return line
        at, skips = at + 1, False
    return None if skips or at >= len(printed) else "(nothing more)"


def is_same(expected, printed):
    """Whether two lines differ in nothing but the last digits of their numbers."""
    if NUMBER.sub("#", expected) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(printed))
    return all(is_close(wanted, got) for wanted, got in pairs)


def is_close(wanted, got):
    if "." not in wanted:
        return wanted == got
    return abs(float(wanted) - float(got)) <= TOLERANCE * abs(float(wanted))
