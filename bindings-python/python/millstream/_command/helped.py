"""Help: what each verb is for, and all that can be said to it. In the binary's words and in its form."""

from __future__ import annotations

from .grammar import HELP_VERB, Asked, Option, Positional, Verb
from .numbers import PROGRAM


def help_of(asked: Asked) -> str:
    """The help of a verb."""
    verb = asked.verb
    parts = [f"{verb.about}\n", f"Usage: {usage(asked)}\n"]
    if verb.verbs:
        rows = [(one.name, one.about) for one in verb.verbs]
        parts.append("Commands:\n" + _table([*rows, ("help", HELP_VERB)]))
    if verb.positionals:
        parts.append("Arguments:\n" + _table([(one.shown, one.help + _values(one)) for one in verb.positionals]))
    options = [option for option in asked.options() if not option.hidden]
    parts.append("Options:\n" + _table([(_flag(option), told(option)) for option in options]))
    if verb.after:
        parts.append(f"{verb.after}\n")
    return "\n".join(parts)


def usage(asked: Asked) -> str:
    """A verb's form in one line."""
    verb = asked.verb
    words = [PROGRAM, *asked.names, "[OPTIONS]"]
    words += [option.shown for option in verb.options if option.required]
    if verb.verbs:
        words.append("<COMMAND>")
    words += [one.shown for one in verb.positionals]
    return " ".join(words)


def told(option: Option) -> str:
    """What is said of an option, with what it is if nothing is said, and what it may be."""
    default = ""
    if option.default is not None:
        quoted = not option.default or " " in option.default
        default = f' [default: "{option.default}"]' if quoted else f" [default: {option.default}]"
    return f"{option.help}{default}{_values(option)}"


def _values(of: Option | Positional) -> str:
    return f" [possible values: {', '.join(of.choices)}]" if of.choices else ""


def _flag(option: Option) -> str:
    short = f"-{option.short}, " if option.short else "    "
    return short + option.shown + ("..." if option.counts else "")


def _table(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "".join(f"  {name:<{width}}  {text}\n" for name, text in rows)


def walk(asked: Asked) -> list[Asked]:
    """A verb, and all below it."""
    return [asked, *(below for verb in asked.verb.verbs for below in walk(asked.into(verb)))]


def names(verb: Verb) -> list[tuple[str, str]]:
    """The verbs of a verb with what they are for, `help` among them."""
    return [*((one.name, one.about) for one in verb.verbs), ("help", HELP_VERB)] if verb.verbs else []
