"""The JSON schema of manifests, for editors: ``python -m config.schema`` writes it, ``--check`` compares."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from config.manifest import Manifest

__all__ = ("SCHEMA_FILE", "manifest_schema")

SCHEMA_FILE = Path(__file__).with_name("manifest.schema.json")


def manifest_schema() -> bytes:
    """The schema as it is published."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Manifest)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def main() -> int:
    """Write the schema, or say that it is out of date."""
    if "--check" in sys.argv[1:]:
        if SCHEMA_FILE.read_bytes() == manifest_schema():
            return 0
        print(f"{SCHEMA_FILE.name} is out of date: run `python -m config.schema`", file=sys.stderr)  # noqa: T201
        return 1
    SCHEMA_FILE.write_bytes(manifest_schema())
    return 0


if __name__ == "__main__":
    sys.exit(main())
