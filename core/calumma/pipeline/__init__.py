"""Components assembled into something that draws, captions and infills."""

from calumma.pipeline.load import component, load
from calumma.pipeline.pipeline import Pipeline
from calumma.pipeline.result import Result

__all__ = ["Pipeline", "Result", "component", "load"]
