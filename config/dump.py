"""A manifest -> the YAML that a person would write."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from config.manifest import Manifest

__all__ = ("as_yaml",)

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Short mappings, such as one key or field, stand on one line; what cannot be printed is an escape."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = bool(mapping) and not any(isinstance(value, (dict, list)) for value in mapping.values())
        return node

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_Dumper.add_representer(str, _Dumper.represent_str)


def as_yaml(manifest: Manifest) -> str:
    """What ``config.loader.load`` reads as the same manifest."""
    return yaml.dump(msgspec.to_builtins(manifest), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
