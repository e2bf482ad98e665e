"""Generate the bash completion of `edge-agent` from its argument parser."""  # noqa: INP001  (a script)

from __future__ import annotations

import sys

from deploy.debian.man_page import commands_of
from edge_agent.cli import build_parser


def completion() -> str:
    """Return a script for bash-completion: commands first, then their options, else files."""
    commands = commands_of(build_parser())
    cases = "\n".join(
        f'        {name}) options="{" ".join(sorted(command._option_string_actions))}" ;;'  # noqa: SLF001
        for name, command in commands.items()
    )
    return f"""\
_edge_agent() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} options
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{" ".join(commands)} --help --version" -- "$current")
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
        *) return ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    fi
}}
complete -o default -F _edge_agent edge-agent
"""


if __name__ == "__main__":
    sys.stdout.write(completion())
