"""What is made from the definition of the arguments: completion scripts, and the manual page."""

from __future__ import annotations

from .._millstream import __version__
from . import shells
from .arguments import COMMAND, Arguments
from .grammar import Asked, Option
from .helped import names, told, usage, walk
from .lines import say_bytes


def completions(args: Arguments) -> int:
    """Prints a completion script."""
    say_bytes(shells.SCRIPTS[args.shell](Asked((COMMAND,))).encode())
    return 0


def man(args: Arguments) -> int:
    """Prints the manual page."""
    say_bytes(page().encode())
    return 0


def page() -> str:
    """The manual page: the command's own section, then one for each verb."""
    top = Asked((COMMAND,))
    lines = [f'.TH MILLSTREAM 1 "" "millstream {__version__}"', ".SH NAME", f"millstream \\- {roff(COMMAND.about)}"]
    lines += [".SH SYNOPSIS", rf"\fB{roff(usage(top))}\fR", ".SH OPTIONS", *described(top)]
    lines += [".SH COMMANDS"]
    for name, about in names(COMMAND):
        lines += [".TP", rf"\fB{roff(name)}\fR", roff(about)]
    for asked in walk(top)[1:]:
        lines += [f'.SH "MILLSTREAM {" ".join(asked.names).upper()}"', roff(asked.verb.about), ".PP"]
        lines += [rf"\fB{roff(usage(asked))}\fR"]
        for one in asked.verb.positionals:
            lines += [".TP", rf"\fI{roff(one.shown)}\fR", roff(one.help)]
        lines += described(asked)
        for name, about in names(asked.verb):
            lines += [".TP", rf"\fB{roff(name)}\fR", roff(about)]
    lines += [".SH NOTES", ".nf", *(roff(line) for line in COMMAND.after.split("\n")), ".fi"]
    return "\n".join(lines) + "\n"


def described(asked: Asked) -> list[str]:
    """A verb's options."""
    lines = list[str]()
    for option in asked.options():
        if not option.hidden:
            lines += [".TP", flags(option), roff(told(option))]
    return lines


def flags(option: Option) -> str:
    """An option's head."""
    short = rf"\fB{roff('-' + option.short)}\fR, " if option.short else ""
    value = rf" \fI<{roff(option.value)}>\fR" if option.value else ""
    return rf"{short}\fB{roff('--' + option.name)}\fR{value}"


def roff(text: str) -> str:
    """A text in which nothing is a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    text = "".join(letter if letter.isascii() else rf"\[u{ord(letter):04X}]" for letter in text)
    return rf"\&{text}" if text.startswith(".") else text
