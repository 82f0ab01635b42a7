import numpy as np
import pytest

from calumma.documents import Vocabulary
from calumma.errors import InputError


def test_ids_come_in_the_order_text_image_specials_masks() -> None:
    v = Vocabulary(5, 3)
    assert [v.name(i) for i in range(15)] == [
        "text:0", "text:1", "text:2", "text:3", "text:4", "image:0", "image:1", "image:2",
        "<pad>", "<eos>", "<break>", "<infill>", "<eoss>", "<mask:0>", "<mask:1>",
    ]  # fmt: skip
    assert (v.pad, v.eos, v.break_, v.infill, v.eoss, v.mask(0)) == (8, 9, 10, 11, 12, 13)
    assert v.mask(511) == v.size - 1


def test_codes_come_back_from_their_ids() -> None:
    v = Vocabulary(5, 3)
    codes = np.array([[0, 2], [1, 1]])
    assert v.image(codes).tolist() == [5, 7, 6, 6]
    assert v.codes(v.image(codes)).tolist() == codes.reshape(-1).tolist()


BEYOND = [lambda v: v.text([5]), lambda v: v.image([-1]), lambda v: v.mask(512), lambda v: v.codes(np.array([4]))]


@pytest.mark.parametrize("call", BEYOND)
def test_an_id_out_of_range_is_refused(call) -> None:
    with pytest.raises(InputError) as caught:
        call(Vocabulary(5, 3))
    assert caught.value.fix


def test_an_empty_vocabulary_is_refused() -> None:
    with pytest.raises(InputError):
        Vocabulary(0, 3)
