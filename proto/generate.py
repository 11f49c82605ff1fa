"""Generates the stubs in clients/python from the protos beside this file.

    python proto/generate.py                     write the stubs
    python proto/generate.py --check             fail when the committed stubs differ
    python proto/generate.py --image FILE [DIR]  write a descriptor image (of the protos in DIR) for buf

Everything needed comes in wheels: protoc from grpcio-tools, google/rpc from googleapis-common-protos, and
buf/validate from the descriptor that protovalidate carries. No schema registry is asked.
"""

from __future__ import annotations

import filecmp
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import google.rpc
import grpc_tools
from protovalidate._gen.buf.validate import validate_pb

PROTO = Path(__file__).resolve().parent
OUT = PROTO.parent / "clients" / "python"
VALIDATE = "buf/validate/validate.proto"
FOLDERS = (Path("crossdock/v1"), Path("buf/validate"))


def main(arguments: list[str]) -> int:
    """Generate, compare or write an image."""
    match arguments:
        case []:
            return _write()
        case ["--check"]:
            return _check()
        case ["--image", image]:
            return _image(Path(image), PROTO)
        case ["--image", image, folder]:
            return _image(Path(image), Path(folder))
    print(__doc__)
    return 2


def _write() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        made = _stubs(Path(scratch))
        for stale in _committed() - made:
            (OUT / stale).unlink()
        for path in made:
            (OUT / path).parent.mkdir(parents=True, exist_ok=True)
            (OUT / path).write_bytes((Path(scratch) / path).read_bytes())
    print(f"{len(made)} files written")
    return 0


def _check() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        made = _stubs(Path(scratch))
        stale = made ^ _committed()
        stale |= {
            path for path in made & _committed() if not filecmp.cmp(Path(scratch) / path, OUT / path, shallow=False)
        }
    for path in sorted(stale):
        print(f"{path} is not what the protos give; run: python proto/generate.py")
    return 1 if stale else 0


def _stubs(target: Path) -> set[Path]:
    """Run protoc into `target`; returns the files worth keeping, relative to it."""
    outputs = [f"--{kind}_out={target}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    _protoc(PROTO, [*outputs, *_sources(PROTO), VALIDATE])
    made = {path.relative_to(target) for path in target.rglob("*_pb2*")}
    # A proto without a service gets an empty *_pb2_grpc module; nobody imports it.
    return {p for p in made if "_pb2_grpc" not in p.name or b"class " in (target / p.with_suffix(".py")).read_bytes()}


def _image(image: Path, folder: Path) -> int:
    image.parent.mkdir(parents=True, exist_ok=True)
    options = ["--include_imports", "--include_source_info", f"--descriptor_set_out={image}"]
    _protoc(folder, [*options, *_sources(folder)])
    return 0


def _protoc(folder: Path, arguments: list[str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".binpb") as validate:
        # One FileDescriptorSet entry: field 1, length-delimited.
        descriptor = validate_pb.desc().proto.to_binary()
        validate.write(b"\x0a" + _varint(len(descriptor)) + descriptor)
        validate.flush()
        google_protos = Path(next(iter(google.rpc.__path__))).parents[1]
        bundled = resources.files(grpc_tools) / "_proto"
        paths = [f"--proto_path={path}" for path in (folder, google_protos, bundled)]
        bin_folder = Path(sys.executable).parent
        plugins = [f"--plugin=protoc-gen-{name}={bin_folder / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={validate.name}"]
        subprocess.run([*command, *paths, *plugins, *arguments], check=True)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _sources(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.proto"))


def _committed() -> set[Path]:
    return {path.relative_to(OUT) for folder in FOLDERS for path in (OUT / folder).glob("*_pb2*")}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
