"""The command line as a manual page, in roff (man(7)). Pure: the parser in, text out."""

import argparse
from collections.abc import Iterator

_HEAD = """\
.TH MANAGE_VLLM.SH 1
.SH NAME
manage_vllm.sh \\- looks after Rota: models, engines, service
.SH SYNOPSIS
.B manage_vllm.sh
.I VERB
[\\fIOPTION\\fR]...
.SH DESCRIPTION
Rota puts several vLLM models on few GPUs behind one OpenAI endpoint.
Each verb asks the running proxy, or supervisord, or the files of the project folder; each has
.BR \\-\\-help .
What is said is plain when it is not said to a terminal.
.SH VERBS
"""

_TAIL = """\
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
It did not work, and why is on standard error.
For \\fBplan\\fR: it does not fit; \\fBcheck\\fR: there is a fault; \\fBaudit verify\\fR: it is not whole;
\\fBaudit find\\fR: nothing is found.
.TP
.B 2
The arguments are wrong.
.TP
.B 3
The service does not run.
.TP
.B 130
Interrupted.
.TP
.B 141
Nobody reads what it prints any more.
.SH ENVIRONMENT
.TP
.B ROTA_ROOT
The project folder, if not the one that the program lies in.
.TP
.BI ROTA_ SETTING
Any setting, as \\fBROTA_CATALOG\\fR; it wins over \\fIsettings.yaml\\fR.
What runs already has those that it was started with.
.SH FILES
.TP
.I settings.yaml
The settings, in the project folder; each may be a variable instead, as \\fBROTA_LISTEN_PORT\\fR.
.TP
.I var/log
The logs, one a program.
.TP
.I var/audit
What was asked, by whom, of which model.
.SH SEE ALSO
.BR supervisorctl (1);
docs/ of the project: getting-started.md, catalog.md, operations.md, errors.md, api.md, security.md.
"""


def man_page(parser: argparse.ArgumentParser) -> str:
    """The page of `parser`, whose verbs are its sub-commands."""
    return "".join([_HEAD, *_verbs(parser, ""), _TAIL])


def _verbs(parser: argparse.ArgumentParser, before: str) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for name, sub in action.choices.items():
            if any(isinstance(one, argparse._SubParsersAction) for one in sub._actions):
                yield from _verbs(sub, f"{before}{name} ")
            else:
                yield from _verb(f"{before}{name}", sub)


def _verb(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    actions = [one for one in parser._actions if not isinstance(one, argparse._HelpAction)]
    options = " ".join(filter(None, map(_in_synopsis, actions)))
    yield f".SS {_bold(name)} {options}".rstrip() + f"\n{_escaped(parser.description or '')}\n"
    for action in actions:
        yield f".TP\n{_named(action)}\n{_escaped(_help(action))}\n"


def _in_synopsis(action: argparse.Action) -> str:
    if not action.option_strings:
        value = _value(action)
        return {"*": f"[{value}]...", "?": f"[{value}]", "+": f"{value}..."}.get(str(action.nargs), value)
    text = _bold(action.option_strings[-1]) + (f" {_value(action)}" if action.nargs != 0 else "")
    return text if action.required else f"[{text}]"


def _named(action: argparse.Action) -> str:
    if not action.option_strings:
        return _value(action)
    names = ", ".join(map(_bold, action.option_strings))
    return f"{names} {_value(action)}" if action.nargs != 0 else names


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        return f"\\fI{_escaped(str(action.metavar))}\\fR"
    if action.choices is not None:
        return _escaped("|".join(map(str, action.choices)))
    return f"\\fI{_escaped(action.dest.upper())}\\fR"


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    if "%" in text:
        text %= {"default": action.default, "prog": "manage_vllm.sh"}
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") or not text else ".")


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _escaped(text: str) -> str:
    """As roff takes it: a line must not begin with a dot or a quote."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
