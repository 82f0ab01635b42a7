"""The one place that unpacks archives, the recipe of the starter, writes into its own folder and nowhere else."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Canary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/starter/recipe"))

from fetch import Package, unpack

NPM, DEB = Package("hostile", "1", "npm"), Package("hostile", "1", "apt")


def member(
    name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, target, mode, len(content) if kind == tarfile.REGTYPE else 0
    return info


HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "a climbing name": [member("../escaped")],
    "a link that leads out": [member("link", kind=tarfile.SYMTYPE, target="../.."), member("link/escaped")],
    "an absolute link": [member("link", kind=tarfile.SYMTYPE, target="/etc/passwd")],
    "a hard link to a file outside": [member("link", kind=tarfile.LNKTYPE, target="../escaped")],
    "a device": [member("device", kind=tarfile.CHRTYPE)],
    "a pipe": [member("pipe", kind=tarfile.FIFOTYPE)],
}


def tar(members: list[tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b"x") if info.size else None)
    return buffer.getvalue()


def deb(members: list[tarfile.TarInfo]) -> bytes:
    """A Debian package: an `ar` archive of its version, its control files and its content."""
    content = b"!<arch>\n"
    for name, data in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", tar([member("control")])),
        ("data.tar.gz", tar(members)),
    ):
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return content


@pytest.mark.parametrize("pack", [tar, deb])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_not_unpacked(what: str, pack: Callable[..., bytes], tmp_path: Path, canary: Canary) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    package = DEB if pack is deb else NPM
    archive = folder / package.archive
    archive.write_bytes(pack(HOSTILE[what]))
    with pytest.raises(SystemExit, match="damaged or hostile"):
        unpack(package, archive)
    assert [path.name for path in folder.iterdir()] == [package.archive]
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("pack", [tar, deb])
def test_a_good_archive_is_unpacked_without_set_uid(pack: Callable[..., bytes], tmp_path: Path) -> None:
    package = DEB if pack is deb else NPM
    archive = tmp_path / package.archive
    archive.write_bytes(pack([member("sub/tool", mode=0o4755), member("sub/link", kind=tarfile.SYMTYPE, target="tool")]))
    (tmp_path / f"{package.folder}.partial").mkdir()
    (tmp_path / f"{package.folder}.partial" / "of a broken run").write_text("")
    folder = unpack(package, archive)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {"sub", "sub/tool", "sub/link"}
    assert (folder / "sub/tool").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize("package", [NPM, DEB])
def test_what_is_no_archive_is_said_to_be_none(package: Package, tmp_path: Path) -> None:
    (tmp_path / package.archive).write_bytes(b"no archive")
    with pytest.raises(SystemExit, match="damaged or hostile"):
        unpack(package, tmp_path / package.archive)
