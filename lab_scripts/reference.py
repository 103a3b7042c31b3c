"""docs/command-line.md, from the commands themselves: ``python -m lab_scripts.reference > docs/command-line.md``."""

from __future__ import annotations

from typing import Any

from lab_scripts.cli import whole_command
from lab_scripts.exits import MEANING


def reference() -> str:
    """The page as Markdown."""
    group: Any = whole_command()
    parts = [
        "# `xbar`: reference",
        "Made from the commands by `python -m lab_scripts.reference`; `xbar COMMAND --help` says the same.",
        "Results go to stdout, progress and errors to stderr. With `--json`, stdout is one JSON object. A run file "
        "appears whole at the end of a run or not at all, and is never replaced without `--force`.",
        "What is not typed is taken from the environment (`XBAR_BACKEND`, `XBAR_BOARD`, `XBAR_MOCK`, "
        "`XBAR_CALIBRATION`, `XBAR_SEED`, `XBAR_THREADS`), then from `xbar.toml` of the working folder (or the file "
        "that `XBAR_CONFIG` names; keys are the options without dashes, files stand beside it), then the default. "
        "`xbar config` shows each value and where it came from. Consent and files to be written are always typed. "
        "`XBAR_TOKEN` is the token of a board server, `XBAR_LEDGER` the folder of the ledgers.",
        "`xbar --install-completion` completes commands and options in bash, zsh and fish.",
        "## Exit codes",
        "| code | meaning |\n|---|---|\n" + "\n".join(f"| {code.value} | {text} |" for code, text in MEANING.items()),
    ]
    return "\n\n".join(parts + _commands("xbar", group)) + "\n"


def _commands(prefix: str, group: Any) -> list[str]:
    parts = []
    for name, command in group.commands.items():
        parts += [f"## `{prefix} {name}`", " ".join(command.help.split("\n\n")).replace("\n", " ")]
        if hasattr(command, "commands"):
            parts += _commands(f"{prefix} {name}", command)
            continue
        rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append("| parameter | default | |\n|---|---|---|\n" + "\n".join(rows))
    return parts


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if is_argument else ", ".join(parameter.opts)
    if parameter.required:
        default = "required"
    elif isinstance(parameter.show_default, str):
        default = parameter.show_default
    elif parameter.default is None or parameter.default is False:
        default = ""
    else:
        default = str(getattr(parameter.default, "value", parameter.default))
    return f"| `{name}` | {default} | {(parameter.help or '').replace('|', '·')} |"


if __name__ == "__main__":
    print(reference(), end="")
