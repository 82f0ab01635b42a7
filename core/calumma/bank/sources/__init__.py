"""Where documents come from; one source, one file."""

from calumma.bank.sources.image_folder import ImageFolder
from calumma.bank.sources.source import Item, Skipped, Source

__all__ = ["ImageFolder", "Item", "Skipped", "Source"]
