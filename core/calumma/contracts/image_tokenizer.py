"""The contract of image tokenizers: pictures to ids of a known grid and back, each picture for itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations

import torch
from torch.nn import functional

from calumma.contracts.contract import rule
from calumma.contracts.stateless import Answers, StatelessContract
from calumma.errors import InputError
from calumma.interfaces import ImageTokenizer

TIPPED = 0.05  # share of a picture's codes that a convolution's last bits may tip, as they may in a batch
BITS = 1e-3  # how far they may move a pixel


class ImageTokenizerContract(StatelessContract[ImageTokenizer]):
    """Inherit it, name the component, run pytest."""

    kind = "image_tokenizer"

    def answers(self, component: ImageTokenizer, seed: int = 0) -> Answers:
        ids, images = component.encode(_mosaics(component, 2, seed)), component.decode(_random_ids(component, 2, seed))
        return [ids.numpy(), images.numpy()]

    # --- sizes ---

    @rule
    def test_sizes_are_known_before_warm_up(self) -> None:
        """codebook_size, resolution and grid are known before weights load, and loading does not change them."""
        tokenizer = self.make(warm=False)
        cold = (tokenizer.codebook_size, tokenizer.resolution, tokenizer.grid(*tokenizer.resolution))
        assert type(cold[0]) is int, f"codebook_size is {cold[0]!r}, no int."
        assert cold[0] >= 2, f"codebook_size is {cold[0]}."
        for name, pair in (("resolution", cold[1]), ("grid(*resolution)", cold[2])):
            sides = isinstance(pair, tuple) and len(pair) == 2 and all(type(side) is int and side >= 1 for side in pair)
            assert sides, f"{name} is {pair!r}, no tuple of two ints of at least 1."
        tokenizer.warm_up()
        warm = (tokenizer.codebook_size, tokenizer.resolution, tokenizer.grid(*tokenizer.resolution))
        assert warm == cold, f"they were {cold} and are {warm}."

    @rule
    def test_a_size_fits_or_is_refused(self) -> None:
        """A size is refused by `grid` with InputError, or encoded to the grid that it says and decoded to that size again."""
        tokenizer = self.make()
        for height, width in _sizes(tokenizer):
            grid = _grid(tokenizer, height, width)
            if grid is None:
                continue
            ids = tokenizer.encode(_mosaics(tokenizer, 1, 0, (height, width)))
            assert ids.shape == (1, *grid), f"{height} x {width} has the grid {grid}, and ids {list(ids.shape)}."
            images = tokenizer.decode(ids)
            assert images.shape == (1, 3, height, width), f"{height} x {width} was decoded to {list(images.shape)}."

    @rule
    def test_encoding_refuses_what_does_not_fit(self) -> None:
        """`grid` refuses sides without pixels, and encode what `grid` refuses, with InputError."""
        tokenizer = self.make()
        height, width = tokenizer.resolution
        for size in ((0, 0), (0, width), (height, 0), (-height, -width)):
            self.refused(partial(tokenizer.grid, *size), f"grid{size}", InputError)
        for size in [size for size in [(0, width), *_sizes(tokenizer)] if _grid(tokenizer, *size) is None]:
            image = torch.zeros(1, 3, *size)
            self.refused(partial(tokenizer.encode, image), f"a picture of {size}", InputError)

    # --- values ---

    @rule
    def test_encoding_gives_ids_of_the_codebook(self) -> None:
        """encode gives int64 ids, each from 0 to codebook_size - 1, for black, white, plain, and noisy pictures."""
        tokenizer = self.make()
        ids = tokenizer.encode(torch.cat([_plain(tokenizer), _mosaics(tokenizer, 2, 0), _noise(tokenizer)]))
        assert ids.dtype == torch.int64, f"they are {ids.dtype}."
        low, high = int(ids.min()), int(ids.max())
        assert 0 <= low <= high < tokenizer.codebook_size, f"they go from {low} to {high}, of {tokenizer.codebook_size}."

    @rule
    def test_pictures_are_clamped(self) -> None:
        """decode gives float32 pictures within 0 and 1 whatever the ids, the first and the last of the codebook among them."""
        tokenizer = self.make()
        size, (h, w) = tokenizer.codebook_size, tokenizer.grid(*tokenizer.resolution)
        plain = torch.linspace(0, size - 1, min(size, 12)).round().long()[:, None, None].expand(-1, h, w)
        images = tokenizer.decode(torch.cat([plain, _random_ids(tokenizer, 4, 0)]))
        assert images.dtype == torch.float32, f"they are {images.dtype}."
        low, high = images.min().item(), images.max().item()
        assert 0 <= low <= high <= 1, f"they go from {low} to {high}."

    @rule
    def test_ids_out_of_range_are_refused(self) -> None:
        """decode refuses ids below 0 and from codebook_size on with InputError, be it one among many."""
        tokenizer = self.make()
        for wrong in (-1, tokenizer.codebook_size, -tokenizer.codebook_size, 2**40):
            for place in ((0, 0, 0), (-1, -1, -1)):
                ids = _random_ids(tokenizer, 2, 0)
                ids[place] = wrong
                self.refused(partial(tokenizer.decode, ids), f"the id {wrong}", InputError)

    @rule
    def test_different_pictures_get_different_ids(self) -> None:
        """Different pictures get different ids."""
        tokenizer = self.make()
        rows = [tokenizer.encode(image[None]) for image in _mosaics(tokenizer, 4, 0)]
        same = sum(torch.equal(one, other) for one, other in combinations(rows, 2))
        assert not same, f"of 6 pairs of mosaics of random colours, {same} got the same ids."

    @rule
    def test_different_ids_give_different_pictures(self) -> None:
        """Different ids are decoded to different pictures."""
        tokenizer = self.make()
        rows = [tokenizer.decode(ids[None]) for ids in _random_ids(tokenizer, 4, 0)]
        same = sum(torch.equal(one, other) for one, other in combinations(rows, 2))
        assert not same, f"of 6 pairs of random ids, {same} gave the same picture."

    # --- batches ---

    @rule
    def test_a_pictures_ids_depend_on_it_alone(self) -> None:
        """A picture gets the same ids alone, in a batch, and elsewhere in it, but for codes that the last bits tip."""
        tokenizer = self.make()
        images = _mosaics(tokenizer, 5, 0)
        alone = torch.cat([tokenizer.encode(image[None]) for image in images])
        order = torch.tensor([3, 0, 4, 2, 1])
        for how, ids in (
            ("in a batch", tokenizer.encode(images)),
            ("in another order", _reordered(tokenizer.encode, images, order)),
        ):
            self._few_codes_differ(ids, alone, how)

    @rule
    def test_an_ids_picture_depends_on_them_alone(self) -> None:
        """Ids give the same picture alone, in a batch, and elsewhere in it, but for the last bits."""
        tokenizer = self.make()
        ids = _random_ids(tokenizer, 5, 0)
        alone = torch.cat([tokenizer.decode(one[None]) for one in ids])
        order = torch.tensor([3, 0, 4, 2, 1])
        for how, images in (
            ("in a batch", tokenizer.decode(ids)),
            ("in another order", _reordered(tokenizer.decode, ids, order)),
        ):
            assert images.shape == alone.shape, f"{how} they are {list(images.shape)}, alone {list(alone.shape)}."
            apart = (images - alone).abs().max().item()
            assert apart <= BITS, f"{how} a pixel differs by {apart:.3g}."

    @rule
    def test_memory_layout_changes_nothing(self) -> None:
        """A picture is its values: channels last in memory, or cut out of a larger one, it gets the same ids."""
        tokenizer = self.make()
        images = _mosaics(tokenizer, 2, 0)
        expected = tokenizer.encode(images)
        larger = functional.pad(images, (1, 2, 3, 1), value=0.5)
        cut = larger[:, :, 3:-1, 1:-2]
        for how, same in (("channels last", images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)), ("cut out", cut)):
            self._few_codes_differ(tokenizer.encode(same), expected, how)

    @rule
    def test_no_pictures_have_no_ids(self) -> None:
        """A batch of none gives a batch of none, with the shape and type of the others."""
        tokenizer = self.make()
        (height, width), (h, w) = tokenizer.resolution, tokenizer.grid(*tokenizer.resolution)
        ids = tokenizer.encode(torch.zeros(0, 3, height, width))
        assert (ids.shape, ids.dtype) == ((0, h, w), torch.int64), f"encode gave {ids.dtype} {list(ids.shape)}."
        images = tokenizer.decode(torch.zeros(0, h, w, dtype=torch.int64))
        assert (images.shape, images.dtype) == ((0, 3, height, width), torch.float32), (
            f"decode gave {images.dtype} {list(images.shape)}."
        )

    @rule
    def test_inputs_stay_as_they_were(self) -> None:
        """encode and decode leave the tensors that they are given as they were."""
        tokenizer = self.make()
        images, ids = _mosaics(tokenizer, 2, 0), _random_ids(tokenizer, 2, 0)
        kept = images.clone(), ids.clone()
        tokenizer.encode(images)
        assert torch.equal(images, kept[0]), "encode changed the pictures."
        tokenizer.decode(ids)
        assert torch.equal(ids, kept[1]), "decode changed the ids."

    @rule
    def test_results_carry_no_gradient(self) -> None:
        """What decode returns carries no gradient."""
        tokenizer = self.make()
        assert not tokenizer.decode(_random_ids(tokenizer, 1, 0)).requires_grad, (
            "it requires one; decode under torch.no_grad()."
        )

    # --- inside ---

    def _few_codes_differ(self, ids: torch.Tensor, expected: torch.Tensor, how: str) -> None:
        assert ids.shape == expected.shape, f"{how} they are {list(ids.shape)}, not {list(expected.shape)}."
        share = float((ids != expected).flatten(1).double().mean(1).max())
        assert share <= TIPPED, f"{how}, {share:.0%} of a picture's ids are others."


def _mosaics(tokenizer: ImageTokenizer, count: int, seed: int, size: tuple[int, int] | None = None) -> torch.Tensor:
    """Pictures [count, 3, H, W] of 4 x 4 random colours: unlike each other at every scale that a code could see."""
    tiles = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(tiles, size or tokenizer.resolution, mode="nearest")


def _plain(tokenizer: ImageTokenizer) -> torch.Tensor:
    """Black, white, and six colours at the corners of the cube: [8, 3, H, W]."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    return corners[:, :, None, None].expand(-1, -1, *tokenizer.resolution).contiguous()


def _noise(tokenizer: ImageTokenizer) -> torch.Tensor:
    return torch.rand(1, 3, *tokenizer.resolution, generator=torch.Generator().manual_seed(0))


def _random_ids(tokenizer: ImageTokenizer, count: int, seed: int) -> torch.Tensor:
    shape = (count, *tokenizer.grid(*tokenizer.resolution))
    return torch.randint(tokenizer.codebook_size, shape, generator=torch.Generator().manual_seed(seed))


def _sizes(tokenizer: ImageTokenizer) -> list[tuple[int, int]]:
    """The resolution, small sizes that are not square, and sizes a pixel off."""
    (height, width), (h, w) = tokenizer.resolution, tokenizer.grid(*tokenizer.resolution)
    y, x = max(1, height // h), max(1, width // w)
    small = [(y, x), (2 * y, 3 * x), (3 * y, 2 * x), (4 * y, x)]
    return [(height, width), *small, (1, 1), (y + 1, x), (2 * y, 2 * x + 1), (height - 1, width), (height, width + 1)]


def _grid(tokenizer: ImageTokenizer, height: int, width: int) -> tuple[int, int] | None:
    """The grid of a size; None where it is refused as it should be."""
    try:
        return tokenizer.grid(height, width)
    except InputError:
        return None


def _reordered(call: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """The answers to a batch that was passed in another order, in the order of the batch."""
    return call(batch[order])[order.argsort()]
