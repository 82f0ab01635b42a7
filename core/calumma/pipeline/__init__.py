"""Components assembled into something that draws, captions and infills."""

from calumma.pipeline.load import component, load
from calumma.pipeline.pipeline import Pipeline
from calumma.pipeline.result import Result
from calumma.pipeline.stream import Stream
from calumma.pipeline.update import Update

__all__ = ["Pipeline", "Result", "Stream", "Update", "component", "load"]
