"""The C files of the tree, and C text without comments and strings; shared by the check scripts."""

import os
import re

ROOMS = ("lib", "certs", "sidecar", "ctrlplane", "injector", "cli", "lab", "demo", "bench", "tests")
PRODUCT = ("lib", "certs", "sidecar", "ctrlplane", "injector", "cli")

TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


def root():
    """The top folder of the tree; every path below is relative to it."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def c_files(rooms=ROOMS, endings=(".c", ".h")):
    """Paths of the rooms' C files, sorted; folders named template are no source."""
    found = []
    for room in rooms:
        for folder, folders, names in os.walk(room):
            folders[:] = sorted(d for d in folders if d not in ("template", "build", "__pycache__"))
            found += [os.path.join(folder, n) for n in names if n.endswith(endings)]
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def without_comments(text, keep_strings=False):
    """The same text with comments (and the insides of strings) blanked, line numbers unchanged."""

    def blank(match):
        token = match.group(0)
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        if keep_strings:
            return token
        return token[0] + " " * (len(token) - 2) + token[-1]

    return TOKEN.sub(blank, text)


def finish(name, errors, summary):
    """Prints what was found and returns the exit status."""
    for error in errors:
        print(error)
    if errors:
        print(f"{name}: {len(errors)} error{'s' if len(errors) > 1 else ''}")
        return 1
    print(f"{name}: ok, {summary}")
    return 0
