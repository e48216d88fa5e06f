"""What a login costs: single POSTs a second with no users, HTTP Basic, tokens, and over TLS.

The servers take turns, so that a change of the machine's speed meets all of them; what counts are the ratios
to the server without users. The second ratio is of the processor time that the server takes for a POST: other
work on the machine changes it less than the rate.

    python -m benchmarks.logins --posts 20000 --rounds 5
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.contenders.archive import INSTANCE
from benchmarks.jobs import Job
from benchmarks.measures.http import load, path
from benchmarks.processes import processor_s
from benchmarks.servers import archive_command, running
from benchmarks.workload import SLAB_EVENTS
from yamcs_archive.access.administration import add_token, add_user
from yamcs_archive.access.login_tokens import Kind, LoginTokens
from yamcs_archive.access.passwords import hashed
from yamcs_archive.access.permissions import Grant
from yamcs_archive.access.signing_keys import read_keys
from yamcs_archive.access.users import Users
from yamcs_archive.access.users_file import read_document

CASES = ("no users", "no users, again", "HTTP Basic", "service token", "access token", "no users, TLS")
"""The first one is what the others are compared with; the second one shows how much two runs differ."""
_PASSWORD = "correct horse"  # of this measure


def _users(folder: Path) -> Path:
    file = folder / "users.json"
    if not file.exists():
        add_user(file, "ada", [Grant.parse("WriteEvents")], hashed(_PASSWORD))
    return file


def _authorization(case: str, file: Path) -> str:
    if case == "HTTP Basic":
        return "Basic " + base64.b64encode(f"ada:{_PASSWORD}".encode()).decode()
    if case == "service token":
        return f"Bearer {add_token(file, 'ada', 'service')}"
    caller = Users(read_document(file)).caller("ada")
    if caller is None:
        raise RuntimeError("there is no such user")
    return f"Bearer {LoginTokens(read_keys(file)).make(caller, Kind.ACCESS)}"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that is its own authority."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


class Measured(NamedTuple):
    """What a new server did."""

    rate: float
    """POSTs a second."""
    processor_us: float
    """Processor time for a POST."""


def measured(job: Job, case: str) -> Measured:
    """Return what a new server does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = archive_command(folder, INSTANCE)
        if case.startswith("no users"):
            if case.endswith("TLS"):
                certificate, key = _certificate(folder)
                command += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
                job = msgspec.structs.replace(job, tls=True)
        else:
            file = _users(folder)
            job = msgspec.structs.replace(job, authorization=_authorization(case, file))
            command += ["--users", str(file)]
        with running(command) as server:
            load(msgspec.structs.replace(job, events=job.warm_up), server.port, path(job, INSTANCE))
            before_s = processor_s(server.pid)
            report = load(msgspec.structs.replace(job, skip=SLAB_EVENTS), server.port, path(job, INSTANCE))
            processor_us = (processor_s(server.pid) - before_s) / job.events * 1e6
    return Measured(len(report.latencies_ns) / report.elapsed_ns * 1e9, processor_us)


def _medians(found: list[Measured]) -> Measured:
    return Measured(median(one.rate for one in found), median(one.processor_us for one in found))


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the medians of each case with their ratios to the first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logins", description=__doc__)
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    job = Job(
        measure="http",
        case="logins",
        contender="archive",
        events=given.posts,
        batch_events=1,
        connections=given.connections,
        warm_up=min(500, given.posts // 4),  # the one check of the password that a minute has is in there
    )
    found: dict[str, list[Measured]] = {case: [] for case in CASES}
    for _ in range(given.rounds):
        for case in CASES:
            found[case].append(measured(job, case))
    base, base_us = _medians(found[CASES[0]])
    for case, each in found.items():
        rate, processor_us = _medians(each)
        spread = f"{min(one.rate for one in each):,.0f} to {max(one.rate for one in each):,.0f}"
        shares = f"{rate / base:.2f}  {processor_us:5.0f} us of the processor  {base_us / processor_us:.2f}"
        print(f"{case:<16} {rate:9,.0f} POSTs a second ({spread})  {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
