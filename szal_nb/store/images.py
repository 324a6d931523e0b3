"""Pictures of Pillow as PNG: a file of the store is then a picture for everybody, and code is run by nobody."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from szal_nb.model.loaded import loaded
from szal_nb.store.codecs import Encoded
from szal_nb.store.pickling import ResolveClass, TooLargeError

# What PNG keeps to the last bit; of other modes it keeps something else, or nothing.
_MODES = frozenset({"1", "L", "LA", "RGB", "RGBA", "I;16"})


class ImageCodec:
    """Images that hold pixels and nothing else. One that was opened from a file knows that file, and is pickled."""

    format = "png"
    is_safe = True

    def encode(self, value: Any, limit: int | None, /) -> Encoded | None:
        """See `codecs.Codec`."""
        pillow = loaded("PIL.Image")
        if pillow is None or type(value) is not pillow.Image or value.mode not in _MODES or value.info:
            return None
        pixels = value.tobytes()
        if limit is not None and len(pixels) > limit:
            raise TooLargeError
        file = io.BytesIO()
        # The pixels are what is kept; how small they become is worth little time.
        value.save(file, "PNG", compress_level=1)
        back = _read(file)
        if (back.mode, back.size, back.info, back.tobytes()) != (value.mode, value.size, {}, pixels):
            return None
        return Encoded(self.format, (file.getvalue(),), text=pixels)

    def decode(self, data: bytes | Path, _resolve_class: ResolveClass, /) -> object:
        """See `codecs.Codec`."""
        return _read(data if isinstance(data, Path) else io.BytesIO(data))


def _read(file: Path | io.BytesIO) -> Any:
    from PIL import Image  # late: heavy, and only who has it stores images

    with Image.open(file, formats=["PNG"]) as image:
        # A copy is an image like any other; the one that was opened remembers its file.
        return image.copy()
