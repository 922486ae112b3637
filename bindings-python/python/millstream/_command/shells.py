"""Completion scripts, each of a verb and all below it. They complete the word `millstream`: a function of that name
that calls `python -m millstream`, or the binary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .grammar import Asked, Option, Positional
from .helped import names, told, walk

CALLS = 'for: millstream() { python -m millstream "$@"; }'


def options(asked: Asked) -> list[Option]:
    """The options that are shown."""
    return [option for option in asked.options() if not option.hidden]


def flags(option: Option) -> list[str]:
    """What an option is written as."""
    return ([f"-{option.short}"] if option.short else []) + [f"--{option.name}"]


def words(asked: Asked) -> list[str]:
    """All words that a verb takes."""
    choices = [choice for one in asked.verb.positionals for choice in one.choices]
    own = [flag for option in options(asked) for flag in flags(option)]
    return [*(name for name, _ in names(asked.verb)), *choices, *own]


def path(asked: Asked) -> str:
    """A verb and those that lead to it."""
    return " ".join(("millstream", *asked.names))


def takes_files(asked: Asked) -> bool:
    """Whether files are named without an option."""
    return any(one.holds or not one.choices for one in asked.verb.positionals)


# ---- bash


def bash(top: Asked) -> str:
    """For bash."""
    verbs = walk(top)
    lines = [
        f"# {CALLS}",
        "_millstream() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev='' at=millstream word words=''",
    ]
    lines += ["    ((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}", "    COMPREPLY=()"]
    lines += ['    for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do', '        case "$at $word" in']
    lines += [f'            "{path(asked)}") at="{path(asked)}" ;;' for asked in verbs[1:]]
    lines += ["        esac", "    done", '    case "$at $prev" in']
    for asked in verbs:
        for option in options(asked):
            if option.value:
                pattern = " | ".join(f'"{path(asked)} {flag}"' for flag in flags(option))
                lines += [
                    f"        {pattern})",
                    *(f"            {line}" for line in _bash_value(option)),
                    "            ;;",
                ]
    lines += ["    esac", '    case "$at" in']
    for asked in verbs:
        lines.append(f'        "{path(asked)}") words="{" ".join(words(asked))}" ;;')
    lines += ["    esac", '    COMPREPLY=($(compgen -W "$words" -- "$cur"))']
    with_files = " | ".join(f'"{path(asked)}"' for asked in verbs if takes_files(asked))
    lines += [f'    [[ $cur == -* ]] || case "$at" in {with_files})']
    lines += ['        compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")) ;; esac', "}"]
    return "\n".join([*lines, "complete -F _millstream millstream", ""])


def _bash_value(option: Option) -> list[str]:
    if option.choices:
        return [f'COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$cur"))', "return"]
    if option.holds:
        kind = "-d" if option.holds == "folder" else "-f"
        return ["compopt -o filenames 2>/dev/null", f'COMPREPLY=($(compgen {kind} -- "$cur"))', "return"]
    return ["return"]


# ---- zsh


def zsh(top: Asked) -> str:
    """For zsh."""
    verbs = walk(top)
    lines = [
        "#compdef millstream",
        f"# {CALLS}",
        "_millstream() {",
        "    local at=millstream word",
        "    local -a verbs",
    ]
    lines += ["    for word in ${words[2,CURRENT-1]}; do", '        case "$at $word" in']
    lines += [f'            "{path(asked)}") at="{path(asked)}" ;;' for asked in verbs[1:]]
    lines += ["        esac", "    done", '    case "$at" in']
    for asked in verbs:
        lines.append(f'        "{path(asked)}")')
        if asked.verb.verbs:
            lines.append(f"            verbs=({' '.join(_zsh_quoted(_zsh_named(*it)) for it in names(asked.verb))})")
            lines.append("            [[ $PREFIX == -* ]] || { _describe command verbs; return; }")
        specs = [spec for option in options(asked) for spec in _zsh_option(option)]
        specs += [_zsh_positional(one) for one in asked.verb.positionals]
        lines.append("            _arguments -s : \\")
        lines += [f"                {_zsh_quoted(spec)} \\" for spec in specs[:-1]]
        lines += [f"                {_zsh_quoted(specs[-1])}", "            ;;"]
    lines += ["    esac", "}", 'if [ "$funcstack[1]" = "_millstream" ]; then', '    _millstream "$@"', "else"]
    return "\n".join([*lines, "    compdef _millstream millstream", "fi", ""])


def _zsh_named(name: str, about: str) -> str:
    return f"{name}:{about}"


def _zsh_option(option: Option) -> list[str]:
    again = "*" if option.many or option.counts else ""
    if not option.value:
        return [f"{again}{flag}[{_zsh_escaped(told(option))}]" for flag in flags(option)]
    ends = {flag: "+" if flag[1] != "-" else "=" for flag in flags(option)}
    about = f"[{_zsh_escaped(option.help)}]:{_zsh_escaped(option.value)}:{_zsh_values(option)}"
    return [f"{again}{flag}{end}{about}" for flag, end in ends.items()]


def _zsh_positional(one: Positional) -> str:
    return f"*:{_zsh_escaped(one.value)}:{_zsh_values(one)}"


def _zsh_values(of: Option | Positional) -> str:
    if of.choices:
        return f"({' '.join(of.choices)})"
    if isinstance(of, Option) and not of.holds:
        return " "
    return "_files -/" if of.holds == "folder" else "_files"


def _zsh_escaped(text: str) -> str:
    for letter in "\\[]:`":
        text = text.replace(letter, f"\\{letter}")
    return text


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# ---- fish


def fish(top: Asked) -> str:
    """For fish."""
    verbs = walk(top)
    listed = " ".join(_fish_quoted(path(asked)) for asked in verbs)
    lines = ["# for: function millstream; python -m millstream $argv; end", "function __millstream_at"]
    lines += ["    set -l at millstream", "    for word in (commandline -opc)[2..-1]"]
    lines += [f'        contains -- "$at $word" {listed}', '        and set at "$at $word"', "    end"]
    lines += ['    test "$at" = "$argv[1]"', "end"]
    for asked in verbs:
        head = f"complete -c millstream -n {_fish_quoted('__millstream_at ' + _fish_quoted(path(asked)))}"
        if not takes_files(asked):
            lines.append(f"{head} -f")
        lines += [f"{head} -f -a {name} -d {_fish_quoted(about)}" for name, about in names(asked.verb)]
        lines += [
            f"{head} -f -a {choice} -d {_fish_quoted(one.help)}"
            for one in asked.verb.positionals
            for choice in one.choices
        ]
        lines += [f"{head}{_fish_option(option)}" for option in options(asked)]
    return "\n".join([*lines, ""])


def _fish_option(option: Option) -> str:
    short = f" -s {option.short}" if option.short else ""
    value = ""
    if option.choices:
        value = f" -r -f -a {_fish_quoted(' '.join(option.choices))}"
    elif option.value:
        value = " -r -F" if option.holds else " -r -f"
    return f"{short} -l {option.name}{value} -d {_fish_quoted(option.help)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# ---- elvish and PowerShell: a table of candidates by the verbs that were given


def elvish(top: Asked) -> str:
    """For elvish."""
    lines = ["# for: fn millstream {|@args| python -m millstream $@args }", "use builtin", "use str"]
    lines += ["set edit:completion:arg-completer[millstream] = {|@words|"]
    lines += ["    fn cand {|text about| edit:complex-candidate $text &display=$text'  '$about }"]
    lines += ["    var table = [", *_elvish_table(walk(top)), "    ]", "    var at = 'millstream'"]
    lines += [
        "    for word $words[1..-1] {",
        "        if (has-key $table $at' '$word) { set at = $at' '$word }",
        "    }",
    ]
    return "\n".join([*lines, "    $table[$at]", "}", ""])


def _elvish_table(verbs: Iterable[Asked]) -> list[str]:
    lines = list[str]()
    for asked in verbs:
        lines.append(f"        &{_doubled(path(asked))}={{")
        lines += [f"            cand {_doubled(text)} {_doubled(about)}" for text, about in _candidates(asked)]
        lines.append("        }")
    return lines


def powershell(top: Asked) -> str:
    """For PowerShell."""
    kind = "[System.Management.Automation.CompletionResult]"
    lines = ["# for: function millstream { python -m millstream @args }"]
    lines += ["Register-ArgumentCompleter -Native -CommandName 'millstream' -ScriptBlock {"]
    lines += ["    param($wordToComplete, $commandAst, $cursorPosition)", "    $table = @{"]
    for asked in walk(top):
        lines.append(f"        {_doubled(path(asked))} = @(")
        for text, about in _candidates(asked):
            name = "ParameterName" if text.startswith("-") else "ParameterValue"
            # names that differ by their case alone must not be shown alike
            shown = f"{text} " if len(text) == 2 and text[1].isupper() else text
            lines.append(f"            {kind}::new({_doubled(text)}, {_doubled(shown)}, '{name}', {_doubled(about)})")
        lines.append("        )")
    lines += [
        "    }",
        "    $at = 'millstream'",
        "    foreach ($element in $commandAst.CommandElements | Select-Object -Skip 1) {",
    ]
    lines += ['        if ($table.ContainsKey("$at $element")) { $at = "$at $element" }', "    }"]
    lines += ['    $table[$at] | Where-Object { $_.CompletionText -like "$wordToComplete*" }', "}", ""]
    return "\n".join(lines)


def _candidates(asked: Asked) -> list[tuple[str, str]]:
    choices = [(choice, one.help) for one in asked.verb.positionals for choice in one.choices]
    own = [(flag, option.help) for option in options(asked) for flag in flags(option)]
    return [*names(asked.verb), *choices, *own]


def _doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


SCRIPTS: dict[str, Callable[[Asked], str]] = {
    "bash": bash,
    "elvish": elvish,
    "fish": fish,
    "powershell": powershell,
    "zsh": zsh,
}
"""What makes a script, by the shell's name."""
