"""What a sampler needs of a decoder is asked before anything is drawn."""

from __future__ import annotations

import pytest

import calumma
from calumma.errors import ComponentError
from calumma.interfaces import Sampler
from calumma.pipeline.wiring import check_wiring
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.sampling.jacobi import JacobiSampler
from calumma_plugins.sampling.mixture import MixtureSampler
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import JacobiOptions, NucleusOptions


class WithoutRewind(CM3LeonDecoder):
    id = "mine/forward"
    capabilities = frozenset(("fork",))


class Both(MixtureSampler):
    """Of samplers that are there already."""

    def __init__(self, *parts: Sampler) -> None:
        self._parts = list(parts)

    @property
    def parts(self) -> list[Sampler]:
        return self._parts


NUCLEUS, JACOBI = NucleusSampler(NucleusOptions()), JacobiSampler(JacobiOptions())


@pytest.mark.parametrize("sampler", [JACOBI, Both(NUCLEUS, JACOBI)], ids=["jacobi", "mixture"])
def test_a_sampler_that_rewinds_is_refused_with_a_decoder_that_cannot(pipeline: calumma.Pipeline, sampler: Sampler) -> None:
    slots = {**pipeline.slots, "sampler": sampler}
    check_wiring(slots, pipeline.bank)
    decoder = WithoutRewind(pipeline.decoder.options)
    with pytest.raises(ComponentError, match=r"needs a decoder that can rewind, and mine/forward cannot\..*sampler=nucleus"):
        check_wiring({**slots, "decoder": decoder}, pipeline.bank)


@pytest.mark.parametrize("sampler", [NUCLEUS, Both(NUCLEUS, NUCLEUS)], ids=["nucleus", "mixture"])
def test_one_that_only_goes_forward_is_not(pipeline: calumma.Pipeline, sampler: Sampler) -> None:
    check_wiring({**pipeline.slots, "sampler": sampler, "decoder": WithoutRewind(pipeline.decoder.options)}, pipeline.bank)
