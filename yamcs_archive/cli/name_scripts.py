"""The functions of bash, zsh and fish that complete names of instances and sources.

They start ``yamcs-archive`` with the line as far as it is typed, in an environment variable
(:mod:`~yamcs_archive.cli.name_completion`), because bash splits a URL into several words.
"""

from __future__ import annotations

VARIABLE, LINE_VARIABLE = "_YAMCS_ARCHIVE_COMPLETE", "_YAMCS_ARCHIVE_LINE"
"""What is to be completed, and in which line."""
LIMIT_VARIABLE = "_YAMCS_ARCHIVE_COMPLETE_S"
"""Longest time until names are there, in seconds, for who has a slow link; default: 2."""
_BASH = r"""
# $1=what to name
_yamcs_archive_names() {
  local name
  while IFS= read -r name; do printf '%q\n' "$name"; done < <(
    @KIND@="bash:$1" @LINE@="${COMP_LINE:0:COMP_POINT}" yamcs-archive 2>/dev/null)
}
_yamcs_archive_instances() { _yamcs_archive_names instances; }
_yamcs_archive_sources() { _yamcs_archive_names sources; }
_yamcs_archive_instances_or_files() { _yamcs_archive_names instances; compgen -f -- "$1"; }
"""
_ZSH = r"""
# $1=what to name
_yamcs_archive_names() {
  local -a names
  names=(${(f)"$(@KIND@="zsh:$1" @LINE@="$LBUFFER" yamcs-archive 2>/dev/null)"})
  (( $#names )) && compadd -a names
}
_yamcs_archive_instances() { _yamcs_archive_names instances }
_yamcs_archive_sources() { _yamcs_archive_names sources }
_yamcs_archive_instances_or_files() { _yamcs_archive_names instances; _files }
"""
_FISH = r"""
# $argv[1]=what to name
function _yamcs_archive_names
  @KIND@="fish:$argv[1]" @LINE@=(commandline -cp | string collect) yamcs-archive 2>/dev/null
end
"""


def completion_of_names(kind: str, *, files: bool = False) -> dict[str, object]:
    """Return how shells complete names of a kind ("instances" or "sources"), in the form of shtab.

    >>> completion_of_names("sources")["bash"]
    '_yamcs_archive_sources'
    """
    function = f"_yamcs_archive_{kind}{'_or_files' * files}"
    paths = " (__fish_complete_path (commandline -ct))" if files else ""
    return {
        "bash": function,
        "zsh": function,
        "fish": f"(_yamcs_archive_names {kind}){paths}",
        "preamble": {"bash": _filled(_BASH), "zsh": _filled(_ZSH), "fish": _filled(_FISH)},
    }


def _filled(script: str) -> str:
    return script.replace("@LINE@", LINE_VARIABLE).replace("@KIND@", VARIABLE)
