#!/usr/bin/env python3
"""Writes `python/millstream/_millstream.pyi`, the stub of the native half, from the Rust sources in `src`.

    bindings-python/stub.py            writes it
    bindings-python/stub.py --check    fails if what is there is another

Names, order and defaults are those of Rust; so are types, where Rust's say it all. Where they don't (a `PyAny`, a
literal, settings by name), they are told where Rust tells them: in `#[pyo3(signature = (data: "BytesLike") ->
"list[Message]")]`, or, for what is read as an attribute, in a line `// stub: tuple[Address, ...]` above it. `stubtest`
holds the outcome against the module. Needs Python alone.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
PACKAGE = HERE / "python" / "millstream"
STUB = PACKAGE / "_millstream.pyi"
WIDTH = 120

LIBRARY = {
    "collections.abc": ("Callable", "Iterable", "Mapping", "Sequence"),
    "os": ("PathLike",),
    "pathlib": ("Path",),
    "typing": ("Any", "Literal", "Unpack", "final"),
}
"""Names of the standard library that types are told with."""

ROOMS = ("_create", "_dht", "_messages", "_pool", "_settings", "_tracker", "_values", "_work", "bencode")
"""Modules of the package that types are told with."""

PLAIN = {
    "bool": "bool",
    "f64": "float",
    "Seconds": "float",
    "str": "str",
    "String": "str",
    "PathBuf": "str | PathLike[str]",
    "PyBytes": "bytes",
    "PyMemoryView": "memoryview",
    "SocketAddr": "Address",
    "Raw": "bytes",
    "StateName": "State",
    "()": "None",
}
"""Types of Rust that have one of Python's."""


class Wrong(Exception):
    """A source that can't be understood, or that doesn't say enough."""


@dataclass(frozen=True)
class Argument:
    """An argument: its name with the stars, its type if known, its default in Python."""

    name: str
    type: str | None
    default: str | None = None

    def __str__(self) -> str:
        told = self.name if self.type is None else f"{self.name}: {self.type}"
        return told if self.default is None else f"{told}{' = ' if self.type else '='}{self.default}"


@dataclass
class Function:
    """A function or a method. `kind` is an attribute of PyO3's: getter, new, staticmethod; or nothing."""

    name: str
    kind: str
    arguments: list[Argument]
    returns: str
    where: str = ""
    span: tuple[int, int] = (0, 0)


@dataclass
class Class:
    """A class: what `match` takes by position, if anything, and its methods."""

    name: str
    match_args: tuple[str, ...] | None = None
    methods: list[Function] = field(default_factory=list)
    compared: bool = False


# ---- reading Rust


def closing(text: str, at: int) -> int:
    """Where the bracket at `at` closes: past it. Strings, characters and comments are passed over."""
    depth = 0
    token = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.[^\']*|[^\'\\])\'|->|=>|[()\[\]{}]', re.DOTALL)
    for found in token.finditer(text, at):
        if found[0] in "([{":
            depth += 1
        elif found[0] in ")]}":
            depth -= 1
            if depth == 0:
                return found.end()
    raise Wrong(f"what opens here never closes: {text[at : at + 60]!r}")


def parts(text: str, separator: str = ",") -> list[str]:
    """The parts of a list, cut at the commas that stand in no bracket and no string."""
    found, depth, begin, quoted = [], 0, 0, False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "([{" or (char == "<" and "<<" not in (text[at - 1 : at + 1], text[at : at + 2])):
            depth += 1
        elif char in ")]}" or (char == ">" and text[at - 1] not in "-="):
            depth -= 1
        elif char == separator and depth == 0:
            found.append(text[begin:at])
            begin = at + 1
    found.append(text[begin:])
    return [part.strip() for part in found if part.strip()]


def python_type(rust: str, owner: str = "") -> str | None:
    """The type that Python has for one of Rust's; None if that says too little."""
    # references, lifetimes and paths say nothing to Python
    rust = re.sub(r"&?'\w+ |&(mut )?|'\w+,\s*|<'\w+>", "", rust.strip()).strip()
    rust = re.sub(r"\b(?:\w+::)+", "", rust)
    if rust in PLAIN:
        return PLAIN[rust]
    if rust == "Self":
        return owner
    if re.fullmatch(r"[ui](8|16|32|64|size)", rust):
        return "int"
    if rust in CLASSES:
        return rust
    if re.fullmatch(r"\[u8; ?\w+\]", rust):
        return "bytes"
    if rust.startswith("(") and rust.endswith(")"):
        inner = [python_type(part, owner) for part in parts(rust[1:-1])]
        return None if None in inner else f"tuple[{', '.join(str(part) for part in inner)}]"
    outer = re.fullmatch(r"(\w+)<(.*)>", rust, re.DOTALL)
    if outer is None:
        return None
    inner = [python_type(part, owner) for part in parts(outer[2])]
    if not inner or inner[0] is None or None in inner:
        return None
    match outer[1]:
        case "PyResult" | "Bound" | "Py" | "Int" | "Arc" | "Borrowed":
            return inner[0]
        case "Option":
            return inner[0] if inner[0].endswith("None") else f"{inner[0]} | None"
        case "Vec":
            return f"list[{inner[0]}]"
        case "BTreeMap":
            return f"dict[{inner[0]}, {inner[1]}]"
        case _:
            return None


CLASSES: set[str] = set()
"""The classes of the module."""


@dataclass
class Signature:
    """What `signature` and `text_signature` tell."""

    entries: dict[str, tuple[str | None, str | None]]
    returns: str | None
    stars: list[str]


def signature(attributes: str) -> Signature | None:
    """The signature among these attributes."""
    found = re.search(r"\bsignature\s*=\s*(?=\()", attributes.replace("text_signature", "text-sig"))
    if found is None:
        return None
    text = attributes.replace("text_signature", "text-sig")
    end = closing(text, found.end())
    arrow = re.match(r'\s*->\s*"([^"]*)"', text[end:])
    shown = re.search(r'text-sig\s*=\s*"\((.*?)\)"', text, re.DOTALL)
    defaults = {}
    if shown is not None:
        for part in parts(shown[1]):
            argument, equals, given = part.partition("=")
            if equals:
                defaults[argument.strip()] = given.strip()
    entries: dict[str, tuple[str | None, str | None]] = {}
    order = []
    for part in parts(text[found.end() + 1 : end - 1]):
        told = re.fullmatch(r'(\*{0,2}\w+|\*|/)(?:\s*:\s*"([^"]*)")?(?:\s*=\s*(.*))?', part, re.DOTALL)
        if told is None:
            raise Wrong(f"what argument is {part!r}?")
        name = str(told[1])
        default = None if told[3] is None else defaults.get(name, python_default(told[3].strip()))
        entries[name] = (told[2], default)
        order.append(name)
    return Signature(entries, arrow[1] if arrow else None, order)


def python_default(rust: str) -> str:
    """A default as Python shows it; dots for what it can't."""
    simple = {"None": "None", "true": "True", "false": "False"}
    if rust in simple:
        return simple[rust]
    return rust if re.fullmatch(r'-?\d[\d.]*|"[^"]*"', rust) else "..."


ATTRIBUTES = r"((?:[ \t]*(?:///[^\n]*|//[^\n]*|#\[(?:[^\[\]\"]|\"[^\"]*\"|\[[^\]]*\])*\])\s*\n)*)"
FUNCTION = re.compile(ATTRIBUTES + r"[ \t]*(?:pub(?:\(crate\))? )?(?:unsafe )?fn (\w+)(<[^>]*>)?(?=\()")


def functions(text: str, owner: str, where: str, begin: int = 0) -> Iterator[Function]:
    """The functions of a text, as Python has them."""
    at = 0
    while (found := FUNCTION.search(text, at)) is not None:
        attributes = found[1]
        end = closing(text, found.end())
        body = text.index("{", end)
        returned = re.match(r"\s*->\s*(.*?)\s*(?:where\b.*)?$", text[end:body], re.DOTALL)
        at = closing(text, body)
        span = (begin + found.start(2), begin + found.end(1))
        yield function(
            (found[2], attributes),
            parts(text[found.end() + 1 : end - 1]),
            returned[1] if returned else "()",
            (owner, where, span),
        )


def function(
    named: tuple[str, str], given: list[str], returned: str, place: tuple[str, str, tuple[int, int]]
) -> Function:
    """One of them: its name and attributes, Rust's arguments, what it returns."""
    (name, attributes), (owner, where, span) = named, place
    kinds = re.findall(r"#\[(new|getter|staticmethod|classattr)\]", attributes)
    renamed = re.search(r'#\[pyo3\(name = "(\w+)"\)\]', attributes)
    told = re.search(r"// stub: ([^\n]*)", attributes)
    kind, shown = (kinds[0] if kinds else ""), (renamed[1] if renamed else name)
    sign = signature(attributes)
    rust = {}
    for part in given:
        argument, _, kept = part.partition(":")
        if argument.strip() in ("&self", "self", "slf") or re.match(r"\s*Python\b", kept):
            continue
        rust[argument.strip()] = kept.strip()
    arguments = []
    for each in sign.stars if sign else list(rust):
        bare = each.lstrip("*")
        annotation, default = sign.entries[each] if sign else (None, None)
        if bare in rust and annotation is None:
            annotation = python_type(rust[bare], owner)
            if annotation is None and is_shown(name, kind):
                raise Wrong(f"{where}: of what type is {bare!r} of {owner or 'the function'} {name}? {rust[bare]}")
        arguments.append(Argument(each, annotation, default))
    returns = (sign.returns if sign else None) or (told[1] if told else None) or python_type(returned, owner)
    if kind == "new":
        returns = owner
    if returns is None:
        if is_shown(name, kind):
            raise Wrong(f"{where}: of what type is what {owner} {name} gives? {returned}")
        returns = "Any"
    return Function(shown, kind, arguments, returns, where, span)


def is_shown(name: str, kind: str) -> bool:
    """Whether the stub has it: of Python's own methods those that a type is known by."""
    return kind in ("new", "getter", "staticmethod") or not name.startswith("__")


# ---- the classes and functions of the module


def classes(where: str, text: str) -> Iterator[Class]:
    """The classes that a source defines."""
    for found in re.finditer(r"#\[pyclass\(([^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub\(crate\) )?struct (\w+)", text):
        made = Class(found[2], compared="eq" in parts(found[1]))
        rest = text[found.end() :]
        if rest.lstrip().startswith("{"):
            body = rest[: closing(rest, rest.index("{"))]
            for got in re.finditer(r"#\[pyo3\(get\)\]\s*(?:pub\(crate\) )?(\w+): ([^,}]*)", body):
                made.methods.append(Function(got[1], "getter", [], python_type(got[2]) or "Any", where))
        impl = re.search(r"#\[pymethods\]\s*impl " + found[2] + r" (?=\{)", text)
        if impl is not None:
            body = text[impl.end() : closing(text, impl.end())]
            for each in functions(body, found[2], where, impl.end()):
                add(made, each, body)
        yield made


def add(to: Class, each: Function, body: str) -> None:
    """Adds a method, or what a class attribute says."""
    if each.name == "__match_args__":
        found = re.search(r"fn __match_args__.*?\{\s*\(([^)]*)\)", body, re.DOTALL)
        to.match_args = tuple(re.findall(r'"(\w+)"', found[1])) if found else ()
    elif each.name == "__eq__":
        to.compared = True
    elif is_shown(each.name, each.kind) and each.kind != "classattr":
        to.methods.insert(0, each) if each.kind == "new" else to.methods.append(each)


def value_classes(where: str, text: str) -> Iterator[Class]:
    """The classes of the macro `value_classes`: all that they have follows from their fields."""
    invoked = re.search(r"^value_classes! (?=\{)", text, re.MULTILINE)
    if invoked is None:
        raise Wrong(f"{where}: there are no values")
    text = text[invoked.end() + 1 : closing(text, invoked.end()) - 1]
    at = 0
    while (found := re.compile(r"^\s*([A-Z]\w*) (?=\{)", re.MULTILINE).search(text, at)) is not None:
        at = closing(text, found.end())
        fields = []
        for part in parts(re.sub(r"//[^\n]*", "", text[found.end() + 1 : at - 1])):
            name, _, rust = part.partition(":")
            kind = python_type(rust)
            if kind is None:
                raise Wrong(f"{where}: of what type is {found[1]}.{name}? {rust}")
            fields.append((name, kind, "BytesLike" if rust.strip() == "Raw" else kind))
        made = Class(found[1], tuple(name for name, _, _ in fields), compared=True)
        taken = [Argument(name, wider) for name, _, wider in fields]
        made.methods.append(Function("__new__", "new", taken, found[1], where))
        made.methods += [Function(name, "getter", [], kind, where) for name, kind, _ in fields]
        more = re.match(r"\s*with (?=\{)", text[at:])
        if more is not None:
            body = text[at + more.end() : closing(text, at + more.end())]
            for each in functions(body, found[1], where):
                add(made, each, body)
            at += more.end() + len(body)
        yield made


def module() -> list[Class | Function]:
    """All that the module has, in its order."""
    sources = {path: path.read_text() for path in sorted(SOURCES.rglob("*.rs"))}
    named = {path.relative_to(SOURCES).as_posix().removesuffix(".rs").removesuffix("/mod"): path for path in sources}
    for text in sources.values():
        CLASSES.update(re.findall(r"#\[pyclass\([^\]]*\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub\(crate\) )?struct (\w+)", text))
    found: list[Class | Function] = []
    library = sources[SOURCES / "lib.rs"]
    for entry in re.finditer(r"wrap_pyfunction!\(([\w:]+)|add_class::<([\w:]+)>|(\w+)::add_to\(", library):
        room, _, name = (entry[1] or entry[2] or f"{entry[3]}::").rpartition("::")
        where = named[room.replace("::", "/")]
        text = sources[where]
        if entry[1]:
            begin = re.search(
                r"#\[pyfunction\]\s*\n(?=(?:#\[[^\n]*\n|\s+[^\n]*\n)*pub\(crate\) fn " + name + r"\b)", text
            )
            if begin is None:
                raise Wrong(f"{where}: there is no function {name}")
            found.append(next(functions(text[begin.end() :], "", where.name, begin.end())))
        else:
            made = value_classes(where.name, text) if entry[3] else classes(where.name, text)
            found += [each for each in made if entry[3] or each.name == name]
    return found


# ---- writing the stub


def line(each: Function, indent: str, owner: str) -> str:
    """A function as a stub has it: in one line if it fits."""
    first = {"": ["self"], "getter": ["self"], "new": ["cls"]}.get(each.kind, [])
    name = "__new__" if each.kind == "new" else each.name
    arguments = [*(first if owner else []), *(str(argument) for argument in each.arguments)]
    above = {"getter": f"{indent}@property\n", "staticmethod": f"{indent}@staticmethod\n"}.get(each.kind, "")
    short = f"{indent}def {name}({', '.join(arguments)}) -> {each.returns}: ..."
    if len(short) <= WIDTH:
        return above + short
    rows = "".join(f"{indent}    {argument},\n" for argument in arguments)
    return f"{above}{indent}def {name}(\n{rows}{indent}) -> {each.returns}: ..."


def block(each: Class) -> str:
    """A class as a stub has it."""
    rows = [f"@final\nclass {each.name}:"]
    if each.match_args is not None:
        shown = ", ".join(f'"{name}"' for name in each.match_args) + ("," if len(each.match_args) == 1 else "")
        rows.append(f"    __match_args__ = ({shown})")
    rows += [line(method, "    ", each.name) for method in each.methods]
    if each.compared:
        rows += ["    def __eq__(self, other: object, /) -> bool: ...", "    def __hash__(self) -> int: ..."]
    return "\n".join(rows)


def imports(body: str, ours: set[str]) -> str:
    """Where the names come from that the types are told with, but for ours."""
    used = {"final"}
    for node in ast.walk(ast.parse(body)):
        for told in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(told, ast.AST):
                used.update(name.id for name in ast.walk(told) if isinstance(name, ast.Name))
    missing = used - ours - set(dir(builtins))
    rows = []
    for place, names in LIBRARY.items():
        if wanted := sorted(used & set(names), key=lambda name: (name[0].islower(), name)):
            rows.append(f"from {place} import {', '.join(wanted)}")
            missing -= set(wanted)
    rows.append("")
    for room in ROOMS:
        known = set()
        for node in ast.parse((PACKAGE / f"{room}.py").read_text()).body:
            if isinstance(node, ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                known.update(target.id for target in targets if isinstance(target, ast.Name))
        if wanted := sorted(missing & known):
            missing -= known
            told = f"from .{room} import {', '.join(wanted)}"
            rows.append(
                told if len(told) <= WIDTH else f"from .{room} import (\n    " + ",\n    ".join(wanted) + ",\n)"
            )
    if missing:
        raise Wrong(f"nobody knows {', '.join(sorted(missing))}: the rooms are {', '.join(ROOMS)}")
    return "\n".join(rows)


def stub() -> str:
    """The whole stub."""
    found = module()
    body = "\n\n".join(block(each) if isinstance(each, Class) else line(each, "", "") for each in found)
    names = sorted([each.name for each in found] + ["__version__"])
    everything = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]"
    head = (
        '"""The native half of millstream. Written by `bindings-python/stub.py` from the Rust sources: change those."""'
    )
    body = body.replace("'", '"')
    return f"{head}\n\n{imports(body, set(names))}\n\n{everything}\n\n__version__: str\n\n{body}\n"


def main() -> int:
    """Writes the stub, or compares it."""
    try:
        made = stub()
    except Wrong as error:
        print(f"stub.py: {error}", file=sys.stderr)
        return 1
    if "--check" not in sys.argv[1:]:
        STUB.write_text(made)
        return 0
    there = STUB.read_text()
    if there == made:
        return 0
    sys.stderr.writelines(difflib.unified_diff(there.splitlines(True), made.splitlines(True), "is", "should be"))
    print("stub.py: the stub isn't what the sources say; bindings-python/stub.py writes it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
