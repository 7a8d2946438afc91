"""The message of a pprof file, built from a table: no generated code has to match the installed protobuf.

Source: github.com/google/pprof, proto/profile.proto. The fields of each message are numbered from 1 without gaps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ("profile_class",)

_PACKAGE = "perftools.profiles"
# Strings are numbers in string_table, whose first one is empty.
_MESSAGES = {
    "Profile": """repeated ValueType sample_type, repeated Sample sample, repeated Mapping mapping,
        repeated Location location, repeated Function function, repeated string string_table, int64 drop_frames,
        int64 keep_frames, int64 time_nanos, int64 duration_nanos, ValueType period_type, int64 period,
        repeated int64 comment, int64 default_sample_type, int64 doc_url""",
    "ValueType": "int64 type, int64 unit",
    "Sample": "repeated uint64 location_id, repeated int64 value, repeated Label label",
    "Label": "int64 key, int64 str, int64 num, int64 num_unit",
    "Mapping": """uint64 id, uint64 memory_start, uint64 memory_limit, uint64 file_offset, int64 filename,
        int64 build_id, bool has_functions, bool has_filenames, bool has_line_numbers, bool has_inline_frames""",
    "Location": "uint64 id, uint64 mapping_id, uint64 address, repeated Line line, bool is_folded",
    "Line": "uint64 function_id, int64 line, int64 column",
    "Function": "uint64 id, int64 name, int64 system_name, int64 filename, int64 start_line",
}
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
}


@cache
def profile_class() -> Any:
    """The class of ``perftools.profiles.Profile``."""
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, words in enumerate(fields.split(","), 1):
            message.field.append(_field(number, words.split()))
    pool = descriptor_pool.DescriptorPool()  # of our own: others may have loaded the real one
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Profile"))


def _field(number: int, words: list[str]) -> descriptor_pb2.FieldDescriptorProto:
    *label, type_name, name = words
    field = _Field(name=name, number=number, label=_Field.LABEL_REPEATED if label else _Field.LABEL_OPTIONAL)
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
    return field
