"""Where documents come from; one source, one file."""

from calumma.bank.sources.bank_source import BankSource
from calumma.bank.sources.clip_retrieval import ClipRetrieval
from calumma.bank.sources.hf_dataset import HFDataset
from calumma.bank.sources.image_folder import ImageFolder
from calumma.bank.sources.opening import open_source
from calumma.bank.sources.source import Item, Skipped, Source
from calumma.bank.sources.table import Table
from calumma.bank.sources.web_dataset import WebDataset

__all__ = [
    "BankSource",
    "ClipRetrieval",
    "HFDataset",
    "ImageFolder",
    "Item",
    "Skipped",
    "Source",
    "Table",
    "WebDataset",
    "open_source",
]
