"""The configuration of ``serve``: options, variables, a file, defaults; and all that can be wrong there."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.child import ROOT, WAIT_S, run_bare
from tests.cli.conftest import Run
from tests.server.serving import Served, ended
from yamcs_archive import Archive, Event
from yamcs_archive.server.configuration import FILE_BYTES_MAX, check_file
from yamcs_archive.server.setting_kinds import Choice, FilePath, Kind, Many, OrNone, Switch, Whole
from yamcs_archive.server.setting_table import Setting
from yamcs_archive.server.settings import SETTINGS

TEXTS = {
    "instances": ("sim", "bench", "other"),
    "cors_origins": ("https://a.example", "https://b.example", "https://c.example"),
    "allowed_hosts": ("a.example", ".b.example", "c.example"),
    "trust_proxy": ("192.0.2.1", "10.0.0.0/8", "::1"),
    "user_header": ("X-User", "X-Remote-User", "Remote-User"),
    "public_url": ("http://a.example", "https://b.example:1", "https://c.example/archive"),
    "mirror_of": ("http://a.example", "http://b.example:1", "https://c.example"),
}
"""Three valid values of settings whose texts are checked; others take any."""
NEEDED = {
    "mirror_user": {"MIRROR_OF": "http://a.example"},
    "mirror_token_file": {"MIRROR_OF": "http://a.example"},
    "tls_certificate": {"TLS_KEY": "key.pem"},
    "tls_key": {"TLS_CERTIFICATE": "certificate.pem"},
    "tls_client_ca": {"TLS_CERTIFICATE": "certificate.pem", "TLS_KEY": "key.pem"},
    "user_header": {"USERS": "users.json", "TRUST_PROXY": "192.0.2.1"},
}
"""Other settings without which a setting is refused."""


def samples(setting: Setting, kind: Kind | None = None) -> tuple[str, str, str]:
    """Return three valid values of a setting, as texts."""
    kind = kind or setting.kind
    if isinstance(kind, OrNone):
        return samples(setting, kind.kind)
    if isinstance(kind, Many):
        return samples(setting, kind.one)
    if isinstance(kind, Whole):
        return str(kind.most), str(kind.most - 1), str(kind.least)
    if isinstance(kind, Switch):
        return "true", "false", "true"
    if isinstance(kind, Choice):
        return kind.words[0], kind.words[-1], kind.words[0]
    if isinstance(kind, FilePath):
        return "/a", "/b", "/c"
    return TEXTS.get(setting.name, ("a", "b", "c"))


def of_file(setting: Setting, text: str) -> str:
    """Return the text as a line of the file."""
    return f"[{setting.section}]\n{setting.name} = {setting.kind.toml(setting.kind.of_text(text))}\n"


def option(setting: Setting, text: str) -> tuple[str, ...]:
    if not isinstance(setting.kind, Switch):
        return setting.flag, text
    return (setting.flag if text == "true" else setting.flag.replace("--", "--no-"),)


def shown(out: str, name: str) -> tuple[str, str]:
    """Return the value of a setting and its origin, as ``config show`` has them."""
    [found] = re.findall(rf"^{name} = (.*\S) +# (.*)$", out, re.MULTILINE)
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.name))
def test_an_option_comes_before_a_variable_before_the_file_before_the_default(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: Setting
) -> None:
    ours, theirs, files = samples(setting)
    for name, value in NEEDED.get(setting.name, {}).items():
        monkeypatch.setenv(f"YAMCS_ARCHIVE_{name}", value)
    file = tmp_path / "a.toml"
    file.write_text(of_file(setting, files), encoding="utf-8")

    def told(text: str) -> str:
        return setting.kind.toml(setting.kind.of_text(text))

    monkeypatch.setenv(setting.variable, theirs)
    ran = run("config", "show", "--config", file, *option(setting, ours))
    assert (ran.status, ran.err) == (0, "")
    assert shown(ran.out, setting.name) == (told(ours), setting.flag)
    assert shown(run("config", "show", "--config", file).out, setting.name) == (
        told(theirs),
        setting.variable,
    )
    monkeypatch.setenv(setting.variable, "")  # as if it were not set
    monkeypatch.setenv("YAMCS_ARCHIVE_CONFIG", str(file))
    assert shown(run("config", "show").out, setting.name) == (told(files), f"{file}:2")
    monkeypatch.delenv("YAMCS_ARCHIVE_CONFIG")
    if setting.name == "data":
        assert re.search(r"^# data = +# not given$", run("config", "show").out, re.MULTILINE)
    else:
        assert shown(run("config", "show").out, setting.name) == (
            setting.kind.toml(setting.default),
            "default",
        )


FILE = """# all of it
[server]
host = "::1"
cors_origins = ["https://a.example", "https://b.example"]
wsgi = true

[storage]
data = "ops-data"
instances = ["sim", "bench"]
[retention]
keep_days = 365
max_events = 1_000
[instances.bench]
keep_days = "none"
max_bytes = 5
"""


def test_what_is_shown_is_a_file_with_the_same_settings(run: Run, tmp_path: Path) -> None:
    file, again = tmp_path / "a.toml", tmp_path / "elsewhere" / "b.toml"
    file.write_text(FILE, encoding="utf-8")
    again.parent.mkdir()
    first = run("config", "show", "--config", file, "--port", 0, "--mirror-of", "none").out
    again.write_text(first, encoding="utf-8")
    second = run("config", "show", "--config", again).out
    assert tomllib.loads(first) == tomllib.loads(second)
    assert tomllib.loads(first)["storage"]["data"] == str(tmp_path / "ops-data")  # where the file is
    assert tomllib.loads(first)["instances"] == {"bench": {"keep_days": "none", "max_bytes": 5}}
    assert run("config", "check", again).out == f"{again}: no faults\n"


def test_a_text_with_any_character_is_shown_as_toml(run: Run) -> None:
    data = '/a "b" \\ \x7f \x01 é \U0001f6f0 #'
    assert tomllib.loads(run("config", "show", "--data", data).out)["storage"]["data"] == data


def test_a_list_replaces_another_and_none_and_no_take_back(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("YAMCS_ARCHIVE_INSTANCES", "x, y  z")
    arguments = ("--no-wsgi", "--keep-days", "none", "--cors-origin", "https://c.example")
    out = run("config", "show", "--config", file, *arguments).out
    assert shown(out, "instances") == ('["x", "y", "z"]', "YAMCS_ARCHIVE_INSTANCES")
    assert shown(out, "cors_origins") == ('["https://c.example"]', "--cors-origin")
    assert shown(out, "wsgi") == ("false", "--wsgi")
    assert tomllib.loads(out)["retention"]["keep_days"] == "none"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", ":2: server.prot is not known; did you mean port?"),
        ("[server]\nPort = 1", ":2: server.Port is not known; did you mean port?"),
        ("[server]\n\n'' = 1", ":3: server. is not known; there are "),
        ('[server]\n"po\\nrt" = 1', ":2: server.po\\nrt is not known; did you mean port?"),
        (
            "[server]\nkeep-days = 3",
            ":2: server.keep-days is not known here; keep_days belongs to [retention]",
        ),
        ("port = 1", ":1: port is not known here; port belongs to [server]"),
        ("x = 0\n", ":1: x is not known; there are instances, retention, server, storage"),
        ("\n[sever]\nport = 1", ":2: sever is not known; did you mean server?"),
        ("[[server]]\nport = 1", ":1: server must be a table: [server]"),
        ("server = 3", ":1: server must be a table: [server]"),
        ("server.port = true", ":1: server.port (true or false): must be a whole number, 0 to 65535"),
        ("[server]\nport = '8090'", ":2: server.port (a text): must be a whole number, 0 to 65535"),
        ("[server]\nport = 8090.0", ":2: server.port (a number with a point): must be a whole number, "),
        ("[server]\nport = 1979-05-27", ":2: server.port (date): must be a whole number, "),
        ("[server]\nport = 65536", ":2: server.port 65536: must be 0 to 65535"),
        ("[server]\nport = -1", ":2: server.port -1: must be 0 to 65535"),
        ("[server]\nhost = ''", ":2: server.host '': must be a name or an address"),
        ("[server]\nhost = 1", ":2: server.host (a number): must be a text"),
        ("[server]\nwsgi = 'yes'", ":2: server.wsgi (a text): must be true or false"),
        ("[server]\ncors_origins = 'https://a'", ":2: server.cors_origins (a text): must be a list"),
        ("[server]\ncors_origins = [\n'https://a',\n'*']", ":2: server.cors_origins '*': "),
        ("[server]\nallowed_hosts = ['a b']", ":2: server.allowed_hosts 'a b': "),
        ("[storage]\ninstances = [['a']]", ":2: storage.instances (a list): must be a text"),
        ("[storage]\ninstances = ['../a']", ":2: storage.instances '../a': must be 1 to "),
        ("[storage]\ndata = ''", ":2: storage.data '': must name a directory"),
        ("[storage]\ndata = 'a\\u0000'".replace("'", '"'), ":2: storage.data "),
        ("[storage]\ndata = {a = 1}", ":2: storage.data (a table): must be a path"),
        ("[storage]\ndata.dir = 'a'", ":2: storage.data (a table): must be a path"),
        ("[storage]\nmap_bytes = 1", ":2: storage.map_bytes 1: must be 1048576 to "),
        (
            "[retention]\nkeep_days = 'None'",
            ":2: retention.keep_days (a text): must be a whole number, 1 to ",
        ),
        ("[retention]\nkeep_days = 0", ":2: retention.keep_days 0: must be 1 to "),
        (
            "[retention]\nmax_bytes = 9223372036854775808",
            ":2: retention.max_bytes 9223372036854775808: must be 1",
        ),
        ("[instances]\nsim = 1", ":2: instances.sim must be a table: [instances.sim]"),
        ("[instances.'a b']\n", ":1: instances.a b is no name of an instance: must be "),
        ("[instances.sim]\nkeep_day = 1", ":2: instances.sim.keep_day is not known; did you mean keep_days?"),
        ("[instances.sim]\nport = 1", ":2: instances.sim.port is not known here; port belongs to [server]"),
        ("[instances.sim]\nmax_events = 0", ":2: instances.sim.max_events 0: must be 1 to "),
        ("[server]\nport = 1\nport = 2", ":3: Cannot overwrite a value"),
        ("[server]\nport = \n", ":2: Invalid value"),
        ("[server\nport = 1", ":1: "),
    ],
)
def test_a_fault_of_the_file_is_named_with_its_line(run: Run, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text, encoding="utf-8")
    ran = run("config", "check", file)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.startswith(f"{file}{said}")
    assert ran.out.count("\n") == 1
    for command in (("serve", "--data", tmp_path / "new", "--instance", "sim"), ("config", "show")):
        refused = run(*command, "--config", file)
        assert (refused.status, refused.out) == (2, "")
        assert refused.err == f"yamcs-archive: {ran.out}"
    assert not (tmp_path / "new").exists()


def test_all_faults_of_the_environment_and_the_file_are_named_at_once_in_order(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        "[instances.sim]\nkeep_days = 0\n[server]\nprot = 1\n"
        + "\n" * 7
        + "threads = 0\n[retention]\nx = 1\n"
    )
    monkeypatch.setenv("YAMCS_ARCHIVE_PORT", "http")
    monkeypatch.setenv("YAMCS_ARCHIVE_WSGI", "maybe")
    lines = run("serve", "--data", tmp_path / "new", "--config", file).err.splitlines()
    assert [re.match(r"yamcs-archive: (?:.*a\.toml:(\d+)|(\w+))", line).groups() for line in lines] == [  # type: ignore[union-attr]
        ("2", None),
        ("4", None),
        ("12", None),
        ("14", None),
        (None, "YAMCS_ARCHIVE_PORT"),
        (None, "YAMCS_ARCHIVE_WSGI"),
    ]
    assert "YAMCS_ARCHIVE_PORT 'http': must be a whole number, 0 to 65535" in lines[4]
    assert "YAMCS_ARCHIVE_WSGI 'maybe': must be true or false" in lines[5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ": is empty; was it cut short?"),
        (b" \n\t\n", ": is empty; was it cut short?"),
        (b"[server]\nhost = '\xff'\n", ": is no UTF-8, on line 2"),
        ("[server]\n".encode("utf-16"), ": is no UTF-8, on line 1"),
        (b"#" * (FILE_BYTES_MAX + 1), f": is longer than {FILE_BYTES_MAX} bytes"),
    ],
    ids=["empty", "blank", "latin", "utf-16", "long"],
)
def test_a_file_that_is_no_configuration_is_refused(
    run: Run, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    ran = run("serve", "--data", tmp_path / "new", "--instance", "sim", "--config", file)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"yamcs-archive: {file}{said}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"# nothing\n", b"\xef\xbb\xbf[server]\r\nport = 1\r\n", b"#" * FILE_BYTES_MAX]
)
def test_a_file_may_be_only_a_comment_and_begin_with_a_mark(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    assert run("config", "check", file).status == 0
    assert run("config", "show", "--config", file).status == 0


def test_a_path_that_is_no_file_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, "Is a directory"),
        (tmp_path / "absent.toml", "No such file or directory"),
        (tmp_path / "file" / "a.toml", "Not a directory"),
        (tmp_path / ("a" * 300), "File name too long"),
    ):
        assert run("config", "check", path).out == f"{path}: {said}\n"
        ran = run("serve", "--data", tmp_path / "new", "--instance", "sim", "--config", path)
        assert (ran.status, ran.err) == (2, f"yamcs-archive: {path}: {said}\n")
    assert run("serve", "--config", "").status == 2
    assert "must not be empty" in run("config", "check", "").err


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[server]\n")
    file.chmod(0)
    code = """
        import os, sys
        from pathlib import Path
        from yamcs_archive.server.configuration import check_file
        import encodings.idna
        if os.geteuid() == 0:
            os.seteuid(65534)
        print(*check_file(Path(sys.argv[1])))
        """
    assert "Permission denied" in run_bare(code, file)


def test_a_pipe_can_be_the_file(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"[server]\nport = 'x'\n")
        os.close(write)
        assert check_file(Path(f"/dev/fd/{read}")) == [
            f"/dev/fd/{read}:2: server.port (a text): must be a whole number, 0 to 65535"
        ]
    finally:
        os.close(read)


def test_a_leading_tilde_is_the_home_directory_everywhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.toml").write_text("[storage]\ndata = '~/data'\n")
    for name in ("~/a.toml", tmp_path / "a.toml"):
        out = run("config", "show", "--config", name).out
        assert shown(out, "data")[0] == f'"{tmp_path}/data"'
    assert run("config", "check", "~/a.toml").status == 0


def test_no_secret_is_ever_shown(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.toml"
    monkeypatch.setenv("YAMCS_ARCHIVE_PASSWORD", "hunter2")
    monkeypatch.setenv("YAMCS_ARCHIVE_TOKEN", "hunter2")
    url = "http://ada:hunter2@ops.example"
    for text in (
        "[server]\npassword = 'hunter2'",
        "[server]\npasswords = ['hunter2']",
        f"[server]\nmirror_of = '{url}'",
        f"[server]\nmirror_of = ['{url}']",
        f"[server]\ncors_origins = ['{url}']",
        f"[server]\nmirror_of = {{a = '{url}'}}",
        f"[server]\nport = '{url}'",
        "[server]\nmirror_user = 'ada:hunter2'",
        "token = 'hunter2'",
        "[server]\nmirror_user = 'hunter2",
    ):
        file.write_text(text)
        for command in (("config", "check", file), ("config", "show", "--config", file)):
            ran = run(*command)
            assert ran.status in (1, 2)
            assert "hunter2" not in ran.out + ran.err, text
    monkeypatch.setenv("YAMCS_ARCHIVE_MIRROR_OF", url)
    ran = run("config", "show")
    assert ran.err.startswith("yamcs-archive: YAMCS_ARCHIVE_MIRROR_OF 'http://…@ops.example': ")
    assert "hunter2" not in ran.err
    monkeypatch.setenv("YAMCS_ARCHIVE_MIRROR_OF", "http://ops.example")
    ran = run("config", "show", "--user", "ada")
    assert ran.status == 0
    assert "hunter2" not in ran.out + ran.err


def test_a_variable_that_is_not_known_is_a_warning_except_those_of_kubernetes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8090_TCP", "PORT_8090_TCP_ADDR"):
        monkeypatch.setenv(f"YAMCS_ARCHIVE_{name}", "10.0.0.1")
    monkeypatch.setenv("YAMCS_ARCHIVE_METRICS_SERVICE_HOST", "10.0.0.1")
    for name in ("URL", "INSTANCE", "TOKEN", "PASSWORD", "PAGER", "CLIENT_CERTIFICATE", "CLIENT_KEY"):
        monkeypatch.setenv(f"YAMCS_ARCHIVE_{name}", "of other commands")
    assert run("config", "show").err == ""
    monkeypatch.setenv("YAMCS_ARCHIVE_KEEP_DAY", "1")
    monkeypatch.setenv("YAMCS_ARCHIVE_Z\nforged", "1")
    ran = run("config", "show")
    assert ran.status == 0
    assert ran.err == (
        "yamcs-archive: YAMCS_ARCHIVE_KEEP_DAY is no variable of this program; did you mean"
        " YAMCS_ARCHIVE_KEEP_DAYS?\nyamcs-archive: YAMCS_ARCHIVE_Z\\nforged is no variable of this program\n"
    )
    monkeypatch.setenv("YAMCS_ARCHIVE_PORT", "tcp://10.0.0.1:8090")
    assert "enableServiceLinks: false" in run("config", "show").err


def test_options_are_read_as_before(run: Run, tmp_path: Path) -> None:
    for arguments, said in (
        (("--port", "65536"), "error: --port 65536: must be 0 to 65535"),
        (("--port", "x"), "error: --port 'x': must be a whole number, 0 to 65535"),
        (("--port", "9" * 5000), "must be 0 to 65535"),
        (("--host", ""), "error: --host '': must be a name or an address"),
        (("--instance", "a", "b c"), "error: --instance 'b c': must be 1 to 128"),
        (("--cors-origin", "*"), "error: --cors-origin '*': "),
        (("--user", "ada:secret"), "error: --user 'ada:…': must be a name without ':'"),
        (("--user", "ada"), "yamcs-archive: --user is for --mirror-of URL"),
    ):
        ran = run("serve", "--data", tmp_path / "new", *arguments)
        assert (ran.status, ran.out) == (2, "")
        assert said in ran.err
        assert "secret" not in ran.err
    assert not (tmp_path / "new").exists()
    out = run("config", "show", "--instance", "a", "b", "--instance", "c").out
    assert shown(out, "instances")[0] == '["a", "b", "c"]'


def test_a_server_prunes_each_instance_by_its_own_rules(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "data") as archive:
        for name in ("sim", "bench", "kept"):
            archive.instance(name, create=True).append_many(Event("m", generation_time=n) for n in range(20))
    file = tmp_path / "a.toml"
    file.write_text(
        "[server]\nport = 0\n[storage]\ndata = 'data'\n[retention]\nmax_events = 5\n"
        "[instances.bench]\nmax_events = 7\n[instances.kept]\nmax_events = 'none'\n[instances.smi]\n"
    )
    served = Served(tmp_path / "nowhere", "--config", file, "--data", tmp_path / "data")
    try:
        with Archive.open(tmp_path / "data", readonly=True) as beside:
            until_s = time.monotonic() + WAIT_S
            while [beside.instance(name).count() for name in ("sim", "bench", "kept")] != [5, 7, 20]:
                assert time.monotonic() < until_s
                time.sleep(0.05)
        status, complaints = served.stop(signal.SIGTERM)
        assert status == 0
        assert "[instances.smi]: there is no such instance (there are: bench, kept, sim)" in complaints
        assert "kept: pruned" not in complaints
    finally:
        served.close()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv takes the capability away")
@pytest.mark.skipif(
    int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81,
    reason="all may use all ports",
)
def test_a_port_that_this_process_may_not_use_is_refused_with_advice(tmp_path: Path) -> None:
    serve = [
        sys.executable,
        "-m",
        "yamcs_archive",
        "serve",
        "--data",
        str(tmp_path / "new"),
        "--instance",
        "sim",
    ]
    drop = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    ran = subprocess.run(
        [*(drop if os.geteuid() == 0 else []), *serve, "--port", "81"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(
        "yamcs-archive: cannot listen on 127.0.0.1:81: Permission denied; this process may "
    )
    assert "CAP_NET_BIND_SERVICE" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_a_port_in_use_is_named_whatever_gave_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "a.toml"
        file.write_text(f"[server]\nport = {port}\n[storage]\ninstances = ['sim']\ndata = 'new'\n")
        status, out, err = ended("--config", file)
    assert (status, out) == (1, "")
    assert f"127.0.0.1:{port}: another process listens there" in err


def test_settings_that_contradict_each_other_are_refused_and_shown(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[server]\nmirror_user = 'ada'\n")
    ran = run("serve", "--config", file, "--data", tmp_path / "new", "--instance", "sim")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "yamcs-archive: --user is for --mirror-of URL\n"
    assert not (tmp_path / "new").exists()
    shows = run("config", "show", "--config", file)
    assert (shows.status, shows.err) == (2, "yamcs-archive: --user 'ada': is for --mirror-of URL\n")
    assert shown(shows.out, "mirror_user") == ('"ada"', f"{file}:2")


def _toml(values: dict[str, Any]) -> str:
    """Lines of TOML; its texts, numbers, lists and truths are those of JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def test_the_schema_takes_what_is_shown_and_refuses_what_check_refuses(run: Run, tmp_path: Path) -> None:
    schema = json.loads(run("config", "schema").out)
    Draft7Validator.check_schema(schema)
    file = tmp_path / "a.toml"
    file.write_text(FILE, encoding="utf-8")
    for text in (FILE, "# nothing", run("config", "show", "--config", file).out):
        assert list(Draft7Validator(schema).iter_errors(tomllib.loads(text))) == []
    defaults = {
        section: {key: value["default"] for key, value in table["properties"].items() if "default" in value}
        for section, table in schema["properties"].items()
        if "properties" in table
    }
    assert list(Draft7Validator(schema).iter_errors(defaults)) == []
    file.write_text("".join(f"[{name}]\n{_toml(values)}" for name, values in defaults.items()))
    assert check_file(file) == []
    wrong = 0
    for setting in SETTINGS:
        for value in ("true", "-1", "1.5", "'\\u0000'", "[1]", "{}", "''", str(2**63)):
            text = f"[{setting.section}]\n{setting.name} = {value}\n"
            file.write_text(text)
            valid = Draft7Validator(schema).is_valid(tomllib.loads(text))
            if not valid:
                wrong += 1
                assert check_file(file) != [], text
    assert wrong > 5 * len(SETTINGS)
    for text in (
        "[sever]",
        "[server]\nprot = 1",
        "[instances.sim]\nport = 1",
        "port = 1",
        "[instances]\na = 1",
    ):
        assert not Draft7Validator(schema).is_valid(tomllib.loads(text))


def facts(setting: Setting) -> dict[str, Any]:
    return {"key": setting.key, "variable": setting.variable, "flag": setting.flag}


def test_no_two_settings_have_a_name_in_common() -> None:
    for name in ("key", "variable", "flag"):
        names = [facts(setting)[name] for setting in SETTINGS]
        assert len(set(names)) == len(names)
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
