"""Write the reference of the settings, ``docs/configuration.md``, and the JSON Schema of their file,
``docs/configuration.schema.json``, from the settings themselves.

python docs/configuration.py            # write
python docs/configuration.py --check    # exit 1 when writing would change something
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path

from yamcs_archive.server.configuration import file_schema
from yamcs_archive.server.setting_table import SECTIONS, Setting
from yamcs_archive.server.settings import SETTINGS

PAGE = Path(__file__).parent / "configuration.md"
SCHEMA = PAGE.with_suffix(".schema.json")

_HEAD = """# Configuration

`python docs/configuration.py` writes this page from the settings themselves; a test checks that it is up to
date.

Options, variables and a file give the settings of `yamcs-archive serve`. For each setting, the first of
these decides:

1. the option, as `--port 9000`;
2. the environment variable, as `YAMCS_ARCHIVE_PORT=9000`; an empty one counts as not set;
3. the file, a TOML file that `--config FILE` or `YAMCS_ARCHIVE_CONFIG` names; no file is read unless it is
   named;
4. the default.

```toml
# /etc/yamcs-archive/archive.toml
[server]
host = "0.0.0.0"
users = "users.json"  # beside this file; yamcs-archive users add makes it
allowed_hosts = ["archive.example"]

[storage]
data = "/var/lib/yamcs-archive"
instances = ["simulator", "bench"]

[retention]
keep_days = 365

[instances.bench]
keep_days = 7
```

```console
$ yamcs-archive config check /etc/yamcs-archive/archive.toml
/etc/yamcs-archive/archive.toml: no faults
$ yamcs-archive config show --config /etc/yamcs-archive/archive.toml --port 9000
[server]
host = "0.0.0.0"  # /etc/yamcs-archive/archive.toml:3
port = 9000       # --port
...
$ yamcs-archive serve --config /etc/yamcs-archive/archive.toml
```

- `config show` prints every setting with its origin, as a file that `serve` can read. `config check` prints
  the faults of one file, each with its line, and starts nothing.
- `config schema` prints a JSON Schema, with which editors complete keys and mark faults. Write it beside the
  file, and name it in the file's first line:

  ```toml
  #:schema ./archive.schema.json
  ```

  [configuration.schema.json](configuration.schema.json) is the schema of this version.
- `serve` starts nothing either if there is a fault: a key that is not known (the nearest one is named), a
  value of the wrong type or out of bounds, a text that is no TOML, a file that is no file, is empty or is
  not UTF-8. All faults are named at once, and the exit status is 2. A variable `YAMCS_ARCHIVE_…` that is not
  known is only a warning, because the environment has other owners.
- A list replaces the list that a later source gives. In a variable, its values are separated by commas or
  spaces.
- `none` takes back what a later source gives, where a setting may have no value: `--keep-days none`, and
  `keep_days = "none"`. The option of a switch has an opposite: `--no-wsgi`.
- A relative path in the file begins at the folder of the file, elsewhere at the current directory. A leading
  `~` is the home directory.
- A password is not a setting. `YAMCS_ARCHIVE_PASSWORD` gives the one for `mirror_user`; without it, the
  terminal is asked.
- In Kubernetes, a service named yamcs-archive sets `YAMCS_ARCHIVE_PORT` to `tcp://…` in every pod, and that
  is a fault: set `enableServiceLinks: false`, or choose another name.
"""
_INSTANCES = """## [instances.NAME]

The rules of one instance, instead of those of `[retention]`, whatever gives those: also an option. A key
that is absent here is that of `[retention]`, and `"none"` lifts it. Such a table makes no instance; if there
is none of that name, `serve` logs a warning. There are neither options nor variables for these keys.

"""


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for section in SECTIONS for line in _section(section)), *_instances()])


def _section(section: str) -> Iterator[str]:
    yield f"## [{section}]\n\n{SECTIONS[section].capitalize()}.\n"
    yield "| key | option | variable | default | |\n|---|---|---|---|---|"
    for each in SETTINGS:
        if each.section == section:
            names = f"`{each.name}` | `{each.flag}` | `{each.variable}`"
            yield f"| {names} | {_default(each)} | {_escaped(each.help)} |"
    yield ""


def _instances() -> Iterator[str]:
    yield _INSTANCES + "| key | |\n|---|---|"
    for each in SETTINGS:
        if each.per_instance:
            about = each.help.replace("from every instance", "from this instance")
            yield f"| `{each.name}` | {_escaped(about)} |"
    yield ""


def _default(setting: Setting) -> str:
    return "" if setting.default is MISSING else f"`{setting.kind.toml(setting.default)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write, or with ``--check`` compare."""
    made = {PAGE: page(), SCHEMA: json.dumps(file_schema(), indent=2) + "\n"}
    for path, text in made.items():
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{path} is stale: run python docs/configuration.py")


if __name__ == "__main__":
    main()
