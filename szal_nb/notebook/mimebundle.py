"""What a step shows, as a record and a message can hold it: plain JSON, whatever its display gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from ipykernel.jsonutil import encode_images
from jupyter_client.jsonutil import json_default

from szal_nb.engine.terminal import printable


def plain_data(bundle: Mapping[Any, Any]) -> dict[str, object]:
    """A mimebundle: images in base64, text as text, JSON as it is. A part that is neither is named, not kept."""
    plain: dict[str, object] = {}
    for kind, part in encode_images(dict(bundle)).items():
        try:
            plain[str(kind)] = _plain_part(str(kind), part)
        except _NO_JSON as error:
            plain.setdefault("text/plain", f"<{kind} cannot be shown: {error}>")
    return plain


def plain_metadata(metadata: Mapping[Any, Any]) -> dict[str, object]:
    """The metadata of a mimebundle, without what is no JSON."""
    plain: dict[str, object] = {}
    for name, part in metadata.items():
        try:
            plain[str(name)] = _plain_json(part)
        except _NO_JSON:
            continue
    return plain


# What msgspec and the values' own methods raise.
_NO_JSON = (TypeError, ValueError, RecursionError, AttributeError)


def _plain_part(kind: str, part: Any) -> object:
    if isinstance(part, str):
        return printable(part)
    if kind.startswith("text/") and not isinstance(part, list | tuple):
        return printable(str(part))
    return _plain_json(part)


def _plain_json(part: Any) -> object:
    """As a kernel packs a message; numbers that JSON does not have are null."""
    return msgspec.json.decode(msgspec.json.encode(part, enc_hook=json_default))
