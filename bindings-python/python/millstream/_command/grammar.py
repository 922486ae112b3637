"""How a command line is read: verbs, options, values and what is wrong with them, in the manners and words of the
binary. Owns no option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Read = Callable[[str], Any]
"""Makes a value of a text, or raises `BadValue`."""


def path(text: str) -> str:
    """A path as it was written, of whatever bytes."""
    return text


class BadValue(ValueError):
    """A text that can't be such a value, and why."""


class Usage(Exception):
    """It was asked for wrongly: what is wrong, and the verb whose usage is to be shown."""

    def __init__(self, words: str, asked: Asked | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.asked = asked


class HelpAsked(Exception):
    """Help is wanted; `by_mistake` if that is all that can be done."""

    def __init__(self, asked: Asked, by_mistake: bool = False) -> None:
        super().__init__(asked)
        self.asked = asked
        self.by_mistake = by_mistake


class VersionAsked(Exception):
    """The version is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option: a flag unless `value` names what it takes. `needs` and `excludes` are names of others; `holds` is what
    its value is the path of."""

    name: str
    help: str
    value: str = ""
    short: str = ""
    field: str = ""
    read: Read = str
    default: str | None = None
    many: bool = False
    counts: bool = False
    choices: tuple[str, ...] = ()
    required: bool = False
    hidden: bool = False
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    holds: Literal["", "file", "folder"] = ""

    @property
    def place(self) -> str:
        """The field that it fills."""
        return self.field or self.name.replace("-", "_")

    @property
    def shown(self) -> str:
        """What it is called in complaints."""
        return f"--{self.name} <{self.value}>" if self.value else f"--{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Positional:
    """A value that needs no name. `unless` names the option that can take its place."""

    value: str
    field: str
    help: str
    read: Read = str
    many: bool = False
    choices: tuple[str, ...] = ()
    required: bool = True
    unless: str = ""
    holds: Literal["", "file", "folder"] = ""

    @property
    def place(self) -> str:
        """The field that it fills."""
        return self.field

    @property
    def shown(self) -> str:
        """What it is called in help and complaints."""
        name = f"<{self.value}>" if self.required else f"[{self.value}]"
        return name + ("..." if self.many else "")

    @property
    def wanted(self) -> str:
        """What it is called where it lacks."""
        return f"<{self.value}>" + ("..." if self.many else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A command, or one of a command's commands."""

    name: str
    about: str
    options: tuple[Option, ...] = ()
    positionals: tuple[Positional, ...] = ()
    verbs: tuple[Verb, ...] = ()
    after: str = ""

    def verb(self, name: str) -> Verb | None:
        """One of its own."""
        return next((verb for verb in self.verbs if verb.name == name), None)


VERBOSE = Option(
    name="verbose",
    short="v",
    counts=True,
    help="Log to stderr; twice for details with peers' addresses, three times for every message",
)
HELP = Option(name="help", short="h", help="Print help")
VERSION = Option(name="version", short="V", help="Print version")
HELP_VERB = "Print this message or the help of the given subcommand(s)"


@dataclass(frozen=True, slots=True)
class Asked:
    """A verb, and those that led to it; the first is the command."""

    path: tuple[Verb, ...]

    @property
    def verb(self) -> Verb:
        """The last of them."""
        return self.path[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The verbs' names, without the command's own."""
        return tuple(verb.name for verb in self.path[1:])

    def into(self, verb: Verb) -> Asked:
        """One of the verb's own."""
        return Asked((*self.path, verb))

    def options(self) -> tuple[Option, ...]:
        """All of its options in the order of its help."""
        own, common = self.verb.options, (VERBOSE,)
        last = (HELP,) if len(self.path) > 1 else (HELP, VERSION)
        return (*own[:1], *common, *own[1:], *last)


@dataclass(slots=True)
class Line:
    """What was said so far: each value by its field, and who said it, in order."""

    verbose: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    by: dict[str, Option | Positional] = field(default_factory=dict)


def parse(command: Verb, argv: Sequence[str]) -> tuple[Asked, int, dict[str, Any]]:
    """The verb that is asked for, how much is to be logged, and the values by their fields. Raises `Usage`, `HelpAsked`
    and `VersionAsked`."""
    asked, words, line = Asked((command,)), list(argv), Line()
    while asked.verb.verbs:
        verb, rest = _next_verb(asked, words, line)
        if verb is None:
            raise HelpAsked(_helped(asked, rest))
        asked, words = asked.into(verb), rest
    _read(asked, words, line)
    _check(asked, line)
    return asked, line.verbose, line.given


def _helped(asked: Asked, names: list[str]) -> Asked:
    """The verb that help is wanted of."""
    for name in names:
        verb = asked.verb.verb(name)
        if verb is None:
            raise Usage(f"unrecognized subcommand '{name}'", asked)
        asked = asked.into(verb)
    return asked


def _next_verb(asked: Asked, words: list[str], line: Line) -> tuple[Verb | None, list[str]]:
    """The verb, `None` for `help`, and what follows."""
    if not words:
        raise HelpAsked(asked, by_mistake=True)
    for at, word in enumerate(words):
        if word.startswith("-") and len(word) > 1:
            for option, value in _flags(asked, word):
                _take_flag(asked, line, option, value)
            continue
        if word == "help":
            return None, words[at + 1 :]
        verb = asked.verb.verb(word)
        if verb is None:
            raise Usage(f"unrecognized subcommand '{word}'", asked)
        return verb, words[at + 1 :]
    names = ", ".join([*(verb.name for verb in asked.verb.verbs), "help"])
    said = " ".join(verb.name for verb in asked.path)
    raise Usage(f"'{said}' requires a subcommand but one was not provided\n  [subcommands: {names}]", asked)


def _read(asked: Asked, words: list[str], line: Line) -> None:
    """Options and positionals, in any order."""
    free, rest = iter(words), list[str]()
    for word in free:
        if word == "--":
            rest += free
        elif word.startswith("-") and len(word) > 1:
            _read_option(asked, word, free, line)
        else:
            rest.append(word)
            _place(asked, rest, line)
            rest.clear()
    for word in rest:
        _place(asked, [word], line)


def _read_option(asked: Asked, word: str, free: Iterator[str], line: Line) -> None:
    for option, value in _flags(asked, word):
        if not option.value:
            _take_flag(asked, line, option, value)
            continue
        if value is None:
            value = next(free, None)
            if value is not None and value.startswith("-") and len(value) > 1:
                if value == "--":
                    _place(asked, list(free), line)
                else:
                    # what is no option at all is complained of by its own name
                    list(_flags(asked, value))
                value = None
        if value is None:
            raise Usage(f"a value is required for '{option.shown}' but none was supplied{_possible(option)}")
        _take(asked, line, option, value)


def _flags(asked: Asked, word: str) -> Iterator[tuple[Option, str | None]]:
    """The options in a word, the last perhaps with a value."""
    options = asked.options()
    if word.startswith("--"):
        name, has_value, value = word[2:].partition("=")
        option = next((option for option in options if option.name == name), None)
        if option is None:
            raise Usage(f"unexpected argument '--{name}' found", asked)
        yield option, value if has_value else None
        return
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = next((option for option in options if option.short == letter), None)
        if option is None:
            raise Usage(f"unexpected argument '-{letter}' found", asked)
        if option.value:
            yield option, letters.removeprefix("=") if letters else None
            return
        if letters.startswith("="):
            yield option, letters[1:]
            return
        yield option, None


def _take_flag(asked: Asked, line: Line, option: Option, value: str | None) -> None:
    if value is not None:
        raise Usage(f"unexpected value '{value}' for '{option.shown}' found; no more were expected", asked)
    if option is HELP:
        raise HelpAsked(asked)
    if option is VERSION:
        raise VersionAsked
    if option is VERBOSE:
        line.verbose += 1
    else:
        _note(asked, line, option, True)


def _take(asked: Asked, line: Line, option: Option, value: str) -> None:
    _note(asked, line, option, _value(asked, option, value))


def _note(asked: Asked, line: Line, option: Option, value: Any) -> None:
    if option.many:
        line.given.setdefault(option.place, []).append(value)
    elif line.by.get(option.name) is option:
        raise Usage(f"the argument '{option.shown}' cannot be used multiple times", asked)
    else:
        line.given[option.place] = value
    line.by[option.name] = option


def _place(asked: Asked, words: list[str], line: Line) -> None:
    """A value without a name goes to the first place that is free."""
    for word in words:
        for positional in asked.verb.positionals:
            if positional.many:
                line.given.setdefault(positional.field, []).append(_value(asked, positional, word))
            elif positional.field in line.by:
                continue
            else:
                line.given[positional.field] = _value(asked, positional, word)
            line.by[positional.field] = positional
            break
        else:
            raise Usage(f"unexpected argument '{word}' found", asked)


def _value(asked: Asked, of: Option | Positional, text: str) -> Any:
    if not text and (of.read is path or of.choices):
        raise Usage(f"a value is required for '{of.shown}' but none was supplied{_possible(of)}")
    if of.read is path:
        return text
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Usage("invalid UTF-8 was detected in one or more arguments", asked)
    if of.choices and text not in of.choices:
        raise Usage(f"invalid value '{text}' for '{of.shown}'{_possible(of)}")
    try:
        return of.read(text)
    except BadValue as error:
        raise Usage(f"invalid value '{text}' for '{of.shown}': {error}") from error


def _possible(of: Option | Positional) -> str:
    return f"\n  [possible values: {', '.join(of.choices)}]" if of.choices else ""


def _check(asked: Asked, line: Line) -> None:
    """What doesn't go together, and what lacks."""
    verb, names = asked.verb, set(line.by)
    for by in line.by.values():
        # each says so of the other
        name = by.name if isinstance(by, Option) else by.field
        others = [other for other in line.by.values() if _exclude(by, other) or _exclude(other, by)]
        if len(others) == 1:
            raise Usage(f"the argument '{by.shown}' cannot be used with '{others[0].shown}'", asked)
        if others:
            listed = "\n  ".join(other.shown for other in others)
            raise Usage(f"the argument '{by.shown}' cannot be used with:\n  {listed}", asked)
        names.add(name)
    lacks = [option.shown for option in verb.options if option.required and option.name not in names]
    for by in line.by.values():
        if isinstance(by, Option):
            needed = [option for option in verb.options if option.name in by.needs and option.name not in names]
            lacks += [option.shown for option in needed if option.shown not in lacks]
    for positional in verb.positionals:
        needed_now = positional.required or (positional.unless and positional.unless not in names)
        if needed_now and positional.field not in names:
            lacks.append(positional.wanted)
    if lacks:
        listed = "\n  ".join(lacks)
        raise Usage(f"the following required arguments were not provided:\n  {listed}", asked)


def _exclude(one: Option | Positional, other: Option | Positional) -> bool:
    name = other.name if isinstance(other, Option) else other.field
    return isinstance(one, Option) and one is not other and name in one.excludes
