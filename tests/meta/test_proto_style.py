"""The contract's style, read from compiled descriptors, so that it holds where no linter is installed.

What buf lint checks too is kept short here; what it does not (times, keywords, unsigned numbers) is why this exists.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

from tests.meta.tree import ROOT

GENERATOR = ROOT / "proto/generate.py"
Field = FieldDescriptorProto
UNSIGNED = {Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_FIXED32, Field.TYPE_FIXED64}
MESSAGE, ENUM, SERVICE, EXTENSION = 4, 5, 6, 7  # field numbers in FileDescriptorProto
FIELD, NESTED, NESTED_ENUM, ONEOF = 2, 3, 4, 8  # in DescriptorProto
VALUE, METHOD = 2, 2  # in EnumDescriptorProto, ServiceDescriptorProto

Place = tuple[int, ...]


@pytest.fixture(scope="module")
def protos(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    """Our proto files, compiled with their comments."""
    image = tmp_path_factory.mktemp("image") / "image.binpb"
    subprocess.run([sys.executable, GENERATOR, "--image", image], check=True, timeout=50)
    compiled = FileDescriptorSet.FromString(Path(image).read_bytes())
    return [file for file in compiled.file if file.name.startswith("crossdock/")]


def _messages(file: FileDescriptorProto) -> Iterator[tuple[str, Place, DescriptorProto]]:
    def inside(prefix: str, path: Place, message: DescriptorProto) -> Iterator[tuple[str, Place, DescriptorProto]]:
        if message.options.map_entry:
            return
        name = f"{prefix}.{message.name}"
        yield name, path, message
        for i, nested in enumerate(message.nested_type):
            yield from inside(name, (*path, NESTED, i), nested)

    for i, message in enumerate(file.message_type):
        yield from inside(file.package, (MESSAGE, i), message)


def _fields(protos: list[FileDescriptorProto]) -> Iterator[tuple[str, FieldDescriptorProto]]:
    for file in protos:
        for name, _, message in _messages(file):
            for field in message.field:
                yield f"{name}.{field.name}", field


def _enums(file: FileDescriptorProto) -> Iterator[tuple[str, Place, EnumDescriptorProto]]:
    for i, enum in enumerate(file.enum_type):
        yield f"{file.package}.{enum.name}", (ENUM, i), enum
    for name, path, message in _messages(file):
        for i, enum in enumerate(message.enum_type):
            yield f"{name}.{enum.name}", (*path, NESTED_ENUM, i), enum


def _things(file: FileDescriptorProto) -> Iterator[tuple[str, Place]]:
    """Everything that needs a comment: its name and its path in the descriptor."""
    for name, path, message in _messages(file):
        yield name, path
        yield from ((f"{name}.{f.name}", (*path, FIELD, i)) for i, f in enumerate(message.field))
        synthetic = {f.oneof_index for f in message.field if f.proto3_optional}
        yield from (
            (f"{name}.{o.name}", (*path, ONEOF, i)) for i, o in enumerate(message.oneof_decl) if i not in synthetic
        )
    for name, path, enum in _enums(file):
        yield name, path
        yield from ((f"{name}.{v.name}", (*path, VALUE, i)) for i, v in enumerate(enum.value))
    for i, service in enumerate(file.service):
        yield f"{file.package}.{service.name}", (SERVICE, i)
        yield from ((f"{service.name}.{m.name}", (SERVICE, i, METHOD, j)) for j, m in enumerate(service.method))


def test_everything_has_a_comment(protos: list[FileDescriptorProto]) -> None:
    """The proto files are the manual."""
    silent = []
    for file in protos:
        commented = {tuple(at.path) for at in file.source_code_info.location if at.leading_comments.strip()}
        silent += [name for name, path in _things(file) if path not in commented]

    assert not silent, f"write above it what it means, its unit, range, default and failure: {silent}"


def test_enums_start_with_an_unspecified_zero_and_carry_their_prefix(protos: list[FileDescriptorProto]) -> None:
    """A value left out is told from a chosen one, and values of two enums never clash."""
    wrong = []
    for file in protos:
        for name, _, enum in _enums(file):
            prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper()
            zero = enum.value[0]
            if (zero.number, zero.name) != (0, f"{prefix}_UNSPECIFIED"):
                wrong.append(f"{name}: the first value must be {prefix}_UNSPECIFIED = 0")
            wrong += [
                f"{name}.{v.name}: must start with {prefix}_" for v in enum.value if not v.name.startswith(prefix)
            ]

    assert not wrong, wrong


def test_timestamps_end_in_time_and_nothing_else_does(protos: list[FileDescriptorProto]) -> None:
    """A reader tells an instant from a span by its name."""
    wrong = [
        f"{name}: {'is' if is_instant else 'is no'} Timestamp"
        for name, field in _fields(protos)
        if (is_instant := field.type_name == ".google.protobuf.Timestamp") != field.name.endswith("_time")
    ]

    assert not wrong, f"instants are Timestamps named …_time: {wrong}"


def test_no_name_is_a_keyword_of_python(protos: list[FileDescriptorProto]) -> None:
    """Such a field can only be reached with getattr, and such a package not at all."""
    names = [(name, field.name) for name, field in _fields(protos)]
    names += [(file.name, part) for file in protos for part in file.package.split(".")]

    wrong = [name for name, last in names if keyword.iskeyword(last)]

    assert not wrong, f"rename: {wrong}"


def test_no_number_is_unsigned(protos: list[FileDescriptorProto]) -> None:
    """Java and others have no unsigned integers (AIP-141)."""
    wrong = [name for name, field in _fields(protos) if field.type in UNSIGNED]

    assert not wrong, f"use int32 or int64 with a rule that it is not negative: {wrong}"


def test_money_is_never_a_float(protos: list[FileDescriptorProto]) -> None:
    """Floating point loses fen; no field of the contract needs it."""
    wrong = [name for name, field in _fields(protos) if field.type in {Field.TYPE_FLOAT, Field.TYPE_DOUBLE}]

    assert not wrong, f"use an integer of a small unit: {wrong}"


def test_every_rpc_has_a_request_and_a_response_of_its_own(protos: list[FileDescriptorProto]) -> None:
    """There is room to grow on both sides without touching another call."""
    wrong = [
        method.name
        for file in protos
        for service in file.service
        for method in service.method
        if (method.input_type, method.output_type)
        != (f".{file.package}.{method.name}Request", f".{file.package}.{method.name}Response")
    ]

    assert not wrong, f"name their messages <Rpc>Request and <Rpc>Response: {wrong}"


def test_committed_stubs_are_what_the_protos_give() -> None:
    """A caller's stubs are never older than the contract."""
    done = subprocess.run(
        [sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False, timeout=50
    )

    assert done.returncode == 0, done.stdout + done.stderr
