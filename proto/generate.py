"""Write the Python code of the .proto files into the package, or check that it is up to date.

    python proto/generate.py            # write
    python proto/generate.py --check    # exit 1 when writing would change something

Needs grpcio-tools (the extra ``proto``). Its version decides which version of protobuf the code needs.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
TARGET = HERE.parent / "yamcs_archive" / "wire" / "pb"


def generate(target: Path) -> None:
    """Write code and type stubs for every .proto file beside this script into ``target``."""
    protos = [str(path) for path in sorted(HERE.glob("*.proto"))]
    include = str(files("grpc_tools") / "_proto")
    status = protoc.main(
        ["protoc", f"-I{HERE}", f"-I{include}", f"--python_out={target}", f"--pyi_out={target}", *protos]
    )
    if status:
        raise SystemExit(f"protoc ended with {status}")


def main() -> None:
    """Write, or with ``--check`` compare."""
    if "--check" not in sys.argv[1:]:
        generate(TARGET)
        return
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        for fresh in sorted(Path(scratch).iterdir()):
            committed = TARGET / fresh.name
            if not committed.is_file() or committed.read_bytes() != fresh.read_bytes():
                raise SystemExit(f"{committed} is stale: run python proto/generate.py")
    print("the generated code is up to date")


if __name__ == "__main__":
    main()
