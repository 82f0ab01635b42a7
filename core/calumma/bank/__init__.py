"""The memory bank: documents, their vectors, and the indexes that find them."""

from calumma.bank.bank import Bank
from calumma.bank.sources import ImageFolder, Item, Skipped, Source, open_source
from calumma.bank.tokens import add_tokens
from calumma.bank.writing.changes import add, build, check_place, remove
from calumma.bank.writing.report import Report

__all__ = [
    "Bank",
    "ImageFolder",
    "Item",
    "Report",
    "Skipped",
    "Source",
    "add",
    "add_tokens",
    "build",
    "check_place",
    "open_source",
    "remove",
]
