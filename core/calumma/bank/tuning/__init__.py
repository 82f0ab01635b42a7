"""Tuning: which parameters of which retriever reach a recall on a bank, and how fast each is."""

from calumma.bank.tuning.grid import LeftOut
from calumma.bank.tuning.result import Row, Tuning
from calumma.bank.tuning.run import tune

__all__ = ["LeftOut", "Row", "Tuning", "tune"]
