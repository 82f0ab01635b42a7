"""What must hold of a pickled checkpoint before `torch.load(..., weights_only=True)` is let near it; plugins call it first."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from calumma.errors import AssetError

SAFE_TORCH = (2, 10)  # before it, a forged file could corrupt memory in spite of weights_only: CVE-2025-32434, CVE-2026-24747


def check_checkpoint(path: Path) -> None:
    """Raises AssetError: this torch reads pickles unsafely, or the file is a zip that unpacks to more than it holds.

    Torch writes its zips uncompressed, so a compressed one is no file of torch's.
    """
    import torch

    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < SAFE_TORCH:
        raise AssetError(
            f"{path} is a pickle, which torch {torch.__version__} cannot read safely.",
            "Update torch to 2.10 or later, or have the file as safetensors.",
        )
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        whole = sum(member.file_size for member in members) <= path.stat().st_size
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise AssetError(f"{path} is not a readable PyTorch checkpoint.", "Check the path, or fetch the file again.") from error
    if not whole or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise AssetError(
            f"{path} unpacks to more than it holds, so it was not opened.", "Fetch it again from where it was made."
        )
