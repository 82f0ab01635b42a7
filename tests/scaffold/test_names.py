"""Names of plugins: what may be one, and what is called after it."""

from __future__ import annotations

import pytest

from calumma.errors import InputError
from calumma.scaffold.names import LONGEST, check_name, class_of, package_of


@pytest.mark.parametrize("name", ["x2", "my-retriever", "class", "torch", "a1-b2-3", "a" * LONGEST])
def test_lower_case_words_are_names(name: str) -> None:
    check_name(name, {"another"})
    assert package_of(name).isidentifier()
    assert class_of(name, "Retriever").isidentifier()


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("My.Plugin", "my-plugin"),
        ("MyRetriever", "my-retriever"),
        ("my_plugin", "my-plugin"),
        ("Größe", "grosse"),
        ("a--b", "a-b"),
        ("ab-", "ab"),
        ("2d-faces", "d-faces"),
        ("src/mine", "src-mine"),
        ("../mine", "mine"),
        ("a\nb", "a-b"),
        ("", "my-plugin"),
        (" ", "my-plugin"),
        ("日本", "my-plugin"),
        ("HF", "my-plugin"),
        ("calumma-foo", "foo"),
        ("Calumma-My.Foo", "my-foo"),
        ("calumma", "my-calumma"),
        ("hf", "my-hf"),
    ],
)
def test_another_name_is_refused_with_one_that_would_do(name: str, fix: str) -> None:
    with pytest.raises(InputError) as refused:
        check_name(name, ())
    assert refused.value.fix.endswith(f" {fix}.")
    check_name(fix, ())


@pytest.mark.parametrize("name", ["a", "a" * (LONGEST + 1), "a" * 100_000])
def test_a_name_is_neither_a_letter_nor_a_sentence(name: str) -> None:
    with pytest.raises(InputError, match="characters") as refused:
        check_name(name, ())
    assert len(str(refused.value)) < 200


def test_the_name_of_an_installed_plugin_is_refused() -> None:
    with pytest.raises(InputError, match="'mine' is installed"):
        check_name("mine", {"mine"})


@pytest.mark.parametrize(
    ("name", "interface", "expected"),
    [
        ("my-retriever", "Retriever", "MyRetriever"),
        ("flat", "Retriever", "FlatRetriever"),
        ("retriever", "Retriever", "MyRetriever"),
        ("my-tokenizer", "ImageTokenizer", "MyImageTokenizer"),
        ("my-image-tokenizer", "ImageTokenizer", "MyImageTokenizer"),
        ("image-tokenizer", "ImageTokenizer", "MyImageTokenizer"),
        ("query", "Retriever", "QueryRetriever"),
    ],
)
def test_a_class_is_called_after_plugin_and_kind(name: str, interface: str, expected: str) -> None:
    assert class_of(name, interface) == expected
