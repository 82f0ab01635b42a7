"""The contracts of all kinds. Importing this never imports torch."""

from calumma.interfaces.component import Asset, Component, Device, Dtype, Options, Part, sha256_of
from calumma.interfaces.decoder import Decoder, DecoderCapability, Footprint, Packed, State
from calumma.interfaces.embedder import Embedder, Vectors, normalised
from calumma.interfaces.finisher import Finisher
from calumma.interfaces.image_tokenizer import ImageTokenizer
from calumma.interfaces.labels import Labels
from calumma.interfaces.noise import Noise
from calumma.interfaces.retriever import Entries, Hits, Query, Retriever, RetrieverCapability, RetrieverMetric
from calumma.interfaces.rule import Rule
from calumma.interfaces.sampler import Progress, Sampler
from calumma.interfaces.selection import DocumentStore, Retrieved, Selection, VectorPart
from calumma.interfaces.text_tokenizer import TextTokenizer

__all__ = [
    "Asset",
    "Component",
    "Decoder",
    "DecoderCapability",
    "Device",
    "DocumentStore",
    "Dtype",
    "Embedder",
    "Entries",
    "Finisher",
    "Footprint",
    "Hits",
    "ImageTokenizer",
    "Labels",
    "Noise",
    "Options",
    "Packed",
    "Part",
    "Progress",
    "Query",
    "Retrieved",
    "Retriever",
    "RetrieverCapability",
    "RetrieverMetric",
    "Rule",
    "Sampler",
    "Selection",
    "State",
    "TextTokenizer",
    "VectorPart",
    "Vectors",
    "normalised",
    "sha256_of",
]
