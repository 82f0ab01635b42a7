"""Read the five picture sources into one list of records: pixels on white at 64 x 64, a name, tags, a concept.

The concept is what the splits are made by: skin-tone, gender and direction variants of one emoji share it, in every
style, so that holding a concept out holds all of them out.
"""

from __future__ import annotations

import html
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64
LICENCES = {
    "noto": "Apache-2.0",
    "twitter": "CC-BY-4.0",
    "fluent": "MIT",
    "openmoji": "CC-BY-SA-4.0",
    "clipart": "public domain",
}
SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
DROP_TITLE = re.compile(
    r"gramastar|nicu buculei|\bicon ?(set|theme|collection)|theme\b|iconset|submission|sibmission|collection|"
    r"\bpattern$|template|clipart$|cliparts$|^untitled|^new document|^test\b|^unnamed|etiquette"
)
HASH_TITLE = re.compile(r"^[0-9a-f]{8,}$|^[^a-z]*$|^(?=\w*\d)\w*[0-9]{5,}\w*$")
MAX_TITLE_REPEATS = 8  # a title that stands on more files than this names a collection, not a picture


@dataclass
class Record:
    """One picture with its words."""

    id: str
    name: str
    style: str
    concept: str
    tags: list[str]
    hexcode: str = ""
    load: Callable[[], np.ndarray] | None = field(default=None, repr=False)

    @property
    def caption(self) -> str:
        return f"{self.name}, {self.style} style"

    @property
    def licence(self) -> str:
        return LICENCES[self.style]


def on_white(image: Image.Image, side: int = SIDE) -> np.ndarray:
    """Composite on white, pad to a square, resize; uint8 [side, side, 3]."""
    image = image.convert("RGBA")
    if max(image.size) > 4 * side:
        image.thumbnail((4 * side, 4 * side), Image.Resampling.LANCZOS)
    edge = max(image.size)
    canvas = Image.new("RGBA", (edge, edge), (255, 255, 255, 255))
    canvas.alpha_composite(image, ((edge - image.width) // 2, (edge - image.height) // 2))
    canvas = canvas.convert("RGB")
    if edge != side:
        canvas = canvas.resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(canvas)


def load_file(path: Path) -> np.ndarray:
    """Pixels of a PNG, WebP or SVG file."""
    if path.suffix == ".svg":
        import cairosvg

        data = cairosvg.svg2png(url=str(path), output_width=SIDE, output_height=SIDE, background_color="white")
        return on_white(Image.open(io.BytesIO(data)))
    with Image.open(path) as image:
        return on_white(image)


def normal_hexcode(hexcode: str) -> str:
    """Upper case, without the variation selector, which sources use inconsistently."""
    return "-".join(part for part in hexcode.upper().split("-") if part != "FE0F")


def base_hexcode(hexcode: str) -> str:
    """The hexcode with skin tones, gender and direction removed: what variants of one emoji share."""
    parts = [part for part in normal_hexcode(hexcode).split("-") if part not in SKIN_TONES]
    parts = ["1F9D1" if part in ("1F468", "1F469") else part for part in parts]
    text = "-".join(parts)
    return re.sub(r"-200D-(2640|2642|27A1)", "", text)


def emoji_names(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """hexcode -> (name, tags) from emojibase's English data, skin-tone variants included."""
    names: dict[str, tuple[str, list[str]]] = {}
    for entry in json.loads((folder / "package/en/data.json").read_text()):
        tags = [tag.lower() for tag in entry.get("tags", [])]
        for form in [entry, *entry.get("skins", [])]:
            names[normal_hexcode(form["hexcode"])] = (form["label"].lower(), tags)
    return names


def emoji_concepts(names: dict[str, tuple[str, list[str]]]) -> dict[str, str]:
    """base hexcode -> concept name: the name of the base form, else the shortest name among its variants."""
    concepts: dict[str, str] = {}
    for hexcode, (name, _) in sorted(names.items(), key=lambda item: (len(item[0]), len(item[1][0]))):
        concepts.setdefault(base_hexcode(hexcode), name)
    for hexcode, (name, _) in names.items():
        if hexcode == base_hexcode(hexcode):
            concepts[hexcode] = name
    return concepts


def emoji_records(files: Iterator[Path], style: str, names: dict, concepts: dict) -> Iterator[Record]:
    """Join picture files named by hexcode with emojibase; files without a name there are left out."""
    seen: set[str] = set()
    for path in files:
        hexcode = normal_hexcode(path.stem)
        if hexcode not in names or hexcode in seen:
            continue
        seen.add(hexcode)
        name, tags = names[hexcode]
        concept = concepts[base_hexcode(hexcode)]
        yield Record(f"{style}:{hexcode.lower()}", name, style, concept, tags, hexcode, lambda p=path: load_file(p))


def openmoji_names(folder: Path, names: dict[str, tuple[str, list[str]]]) -> dict[str, tuple[str, list[str]]]:
    """OpenMoji's own names, for its extra pictograms that Unicode has no emoji for."""
    extra = {}
    for entry in json.loads((folder / "package/data/openmoji.json").read_text()):
        hexcode = normal_hexcode(entry["hexcode"])
        if hexcode not in names and entry["annotation"]:
            tags = f"{entry['tags']}, {entry['openmoji_tags']}".split(",")
            extra[hexcode] = (entry["annotation"].lower(), sorted({t.strip().lower() for t in tags if t.strip()}))
    return extra


def clipart_titles(folder: Path) -> dict[Path, tuple[str, list[str]]]:
    """SVG path -> (title, keywords), read by pattern, because many of the files are not well-formed XML."""
    found = {}
    for path in sorted(folder.rglob("*.svg")):
        text = path.read_text(errors="replace")[:60000]
        match = re.search(r"<dc:title>(.*?)</dc:title>", text, re.S)
        title = html.unescape(match.group(1)) if match else ""
        title = re.sub(r"[_\s]+", " ", title).strip().lower()
        title = re.sub(r"(?<=[a-z]) ?[-#]? ?0?\d{1,2}$", "", title).strip(" .-,")
        subject = re.search(r"<dc:subject>(.*?)</dc:subject>", text, re.S)
        words = re.findall(r"<rdf:li>(.*?)</rdf:li>", subject.group(1), re.S) if subject else []
        tags = sorted({html.unescape(word).strip().lower() for word in words if 1 < len(word.strip()) < 30})
        found[path] = (title, tags[:16])
    return found


def clipart_records(png: Path, svg: Path, dropped: Counter) -> Iterator[Record]:
    """openclipart pictures whose title says what they show; `dropped` counts the others by reason."""
    root = svg / "usr/share/openclipart/svg"
    titles = clipart_titles(root)
    repeats = Counter(title for title, _ in titles.values())
    for path, (title, tags) in titles.items():
        picture = (png / "usr/share/openclipart/png" / path.relative_to(root)).with_suffix(".png")
        if not picture.exists():
            reason = "no png"
        elif not title or len(title) > 60 or len(title) < 3:
            reason = "no usable title"
        elif DROP_TITLE.search(title):
            reason = "collection or icon-theme title"
        elif HASH_TITLE.search(title):
            reason = "title without words"
        elif repeats[title] > MAX_TITLE_REPEATS:
            reason = "title on many files"
        else:
            stem = str(path.relative_to(root).with_suffix(""))
            yield Record(f"clipart:{stem}", title, "clipart", title, tags, "", lambda p=picture: load_file(p))
            continue
        dropped[f"clipart: {reason}"] += 1


def read_records(folders: dict[str, Path], dropped: Counter) -> list[Record]:
    """All records of all sources, pictures not yet loaded."""
    names = emoji_names(folders["emojibase-data"])
    concepts = emoji_concepts(names)
    openmoji = {**names, **openmoji_names(folders["openmoji"], names)}
    openmoji_concepts = {**emoji_concepts(openmoji), **concepts}
    emoji_files = {
        "noto": folders["emoji-datasource-google"] / "package/img/google/64",
        "twitter": folders["emoji-datasource-twitter"] / "package/img/twitter/64",
        "fluent": folders["@lobehub/fluent-emoji-3d"] / "package/assets",
    }
    records: list[Record] = []
    for style, folder in emoji_files.items():
        records += emoji_records(iter(sorted(folder.iterdir())), style, names, concepts)
    svgs = sorted((folders["openmoji"] / "package/color/svg").glob("*.svg"))
    records += emoji_records(iter(svgs), "openmoji", openmoji, openmoji_concepts)
    records += clipart_records(folders["openclipart-png"], folders["openclipart-svg"], dropped)
    return records
