"""The memory bank: documents, their vectors, and the indexes that find them."""

from calumma.bank.bank import Bank
from calumma.bank.build import Report, build, check_place
from calumma.bank.sources import ImageFolder, Item, Skipped, Source
from calumma.bank.tokens import add_tokens

__all__ = ["Bank", "ImageFolder", "Item", "Report", "Skipped", "Source", "add_tokens", "build", "check_place"]
