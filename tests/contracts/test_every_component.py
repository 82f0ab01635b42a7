"""The rules that every component keeps, whatever its kind: each catches a component that is broken on purpose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ConfigDict, Field
from tests.contracts.breaking import assert_caught, broken_rules

from calumma.contracts import BrokenRule, Contract, rule, rules_of, run
from calumma.errors import ComponentError
from calumma.extension import Catalog, ComponentSpec, hookimpl
from calumma.interfaces import Component, Options, Part


class GainOptions(Options):
    gain: float = Field(1.0, ge=0, le=8, description="Factor.", json_schema_extra={"meaning": True})


class Gain(Component):
    """A component that is right: one weight, put where it is told."""

    Options = GainOptions
    weight: torch.Tensor | None = None

    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.weight = torch.ones(2, device=device)


class Careless(Gain):
    class Options(GainOptions):
        model_config = ConfigDict(extra="ignore")


class Mute(Gain):
    class Options(GainOptions):
        bias: float = Field(0.0, ge=0, le=1)


class Boundless(Gain):
    class Options(GainOptions):
        bias: float = Field(0.0, ge=0, description="Summand.")


class EndlessList(Gain):
    class Options(GainOptions):
        steps: list[float] = Field([], description="Summands, one after another.")


class KindlessPart(Gain):
    class Options(GainOptions):
        inner: Part | None = Field(None, description="What it multiplies.")


class PartOfNoKind(Gain):
    class Options(GainOptions):
        inner: list[Part] = Field([], max_length=4, description="What it multiplies.", json_schema_extra={"kind": "retreiver"})


class PretendsBounds(Gain):
    class Options(GainOptions):
        bias: float = Field(0.0, description="Summand.", json_schema_extra={"minimum": 0, "maximum": 1})


class DefaultsOutOfBounds(Gain):
    class Options(GainOptions):
        bias: float = Field(2.0, ge=0, le=1, description="Summand.")


class RewritesOptions(Gain):
    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.options = self.options.model_copy(update={"gain": 2.0})


class NamesItselfLater(Gain):
    def fingerprint(self) -> str:
        return super().fingerprint() if self.weight is None else f"{super().fingerprint()}-warm"


class NamesItselfByChance(Gain):
    made: ClassVar[list[int]] = []

    def fingerprint(self) -> str:
        self.made.append(1)
        return f"{self.id}#{len(self.made):016x}"


class NamesItselfByNothing(Gain):
    def fingerprint(self) -> str:
        return f"{self.id}#0123456789abcdef"


class NamesItselfByEverything(Gain):
    class Options(GainOptions):
        threads: int = Field(1, ge=1, le=64, description="How many threads.")

    def fingerprint(self) -> str:
        return f"{self.id}#{sum(self.options.model_dump().values()):016.0f}"


class Nameless(Gain):
    def fingerprint(self) -> str:
        return "0123456789abcdef"


class StaysOnTheCPU(Gain):
    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        self.weight = torch.ones(2)


class HidesOneTensor(Gain):
    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        super().warm_up(device)
        self.cache: dict[str, Any] = {"rows": [torch.nn.Linear(2, 2)]}


class CannotMove(Gain):
    """Right too: it says that it cannot."""

    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        if device != "cpu":
            raise ComponentError(f"{self.id} runs on the CPU alone.", "Use --device cpu.")
        super().warm_up(device)


@pytest.mark.parametrize("component", [Gain, CannotMove])
def test_a_component_that_keeps_every_rule_is_not_refused(component: type[Component]) -> None:
    assert broken_rules(Contract, component) == {}


@pytest.mark.parametrize(
    ("component", "name"),
    [
        (Careless, "test_unknown_options_are_refused"),
        (Mute, "test_options_are_described_and_bounded"),
        (Boundless, "test_options_are_described_and_bounded"),
        (EndlessList, "test_options_are_described_and_bounded"),
        (KindlessPart, "test_parts_say_their_kind"),
        (PartOfNoKind, "test_parts_say_their_kind"),
        (PretendsBounds, "test_numbers_out_of_bounds_are_refused"),
        (DefaultsOutOfBounds, "test_defaults_are_valid"),
        (RewritesOptions, "test_options_stay_as_they_were"),
        (NamesItselfLater, "test_the_fingerprint_is_of_the_options_alone"),
        (NamesItselfByChance, "test_the_fingerprint_is_of_the_options_alone"),
        (NamesItselfByNothing, "test_meaning_and_nothing_else_changes_the_fingerprint"),
        (NamesItselfByEverything, "test_meaning_and_nothing_else_changes_the_fingerprint"),
        (Nameless, "test_the_fingerprint_is_of_the_options_alone"),
        (StaysOnTheCPU, "test_warming_up_obeys_the_device"),
        (HidesOneTensor, "test_warming_up_obeys_the_device"),
    ],
)
def test_a_broken_component_is_caught_by_the_rule_that_it_breaks(component: type[Component], name: str) -> None:
    assert_caught(Contract, component, name)


@pytest.mark.parametrize(
    ("registering", "options"), [("import torch\n", ""), ("", "import PIL.Image\n")], ids=["registering", "options"]
)
def test_a_plugin_that_imports_its_library_to_be_listed_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registering: str, options: str
) -> None:
    site = tmp_path / "site"
    (site / "calumma_heavy").mkdir(parents=True)
    (site / "calumma_heavy-1.0.dist-info").mkdir()
    (site / "calumma_heavy-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: calumma-heavy\nVersion: 1.0\n")
    (site / "calumma_heavy-1.0.dist-info/entry_points.txt").write_text("[calumma.plugins.v1]\nheavy = calumma_heavy\n")
    (site / "calumma_heavy/options.py").write_text(f"{options}from calumma.interfaces import Options\n")
    (site / "calumma_heavy/__init__.py").write_text(
        f"{registering}from calumma.extension import ComponentSpec, hookimpl\n"
        "@hookimpl\n"
        "def calumma_components():\n"
        "    yield ComponentSpec('rule', 'heavy/rule', 'Heavy.', 'calumma_plugins.sampling.rules:TopP',"
        " 'calumma_heavy.options:Options', requires=('PIL',))\n"
    )
    monkeypatch.syspath_prepend(str(site))

    class Heavy(Contract[Component]):
        kind = "rule"
        component = "heavy/rule"

    (outcome,) = [one for one in run(Heavy) if one.name == "test_listing_it_imports_no_library"]
    assert not outcome.kept
    assert ("torch" if registering else "PIL") in outcome.found


class OtherOptions:
    """A plugin whose spec names Options that the class does not have."""

    @staticmethod
    @hookimpl
    def calumma_components() -> Iterator[ComponentSpec]:
        target, options = "calumma_plugins.sampling.rules:TopP", "calumma_plugins.sampling.options:TopKOptions"
        yield ComponentSpec("rule", "other/top-p", "Keeps the likeliest.", target, options)


def test_a_class_with_other_options_than_its_spec_is_caught() -> None:
    found = Catalog()
    found.add("other", OtherOptions())

    class Other(Contract[Component]):
        kind, component, catalog = "rule", "other/top-p", found

    (outcome,) = [one for one in run(Other) if one.name == "test_the_class_has_the_options_of_the_spec"]
    assert not outcome.kept
    assert "the spec names calumma_plugins.sampling.options:TopKOptions" in outcome.found


def test_an_exception_of_the_component_breaks_the_rule_that_met_it() -> None:
    class Bursts(Gain):
        def fingerprint(self) -> str:
            raise ZeroDivisionError("by accident")

    found = broken_rules(Contract, Bursts)
    assert list(found) == [
        "test_the_fingerprint_is_of_the_options_alone",
        "test_meaning_and_nothing_else_changes_the_fingerprint",
    ]
    assert all("raised ZeroDivisionError: by accident" in message for message in found.values())


def test_the_message_begins_with_the_rule() -> None:
    class Sums(Contract[Component]):
        @rule
        def test_sums(self) -> None:
            """Two and two
            are four."""
            self.fail("they are not.")

    with pytest.raises(BrokenRule, match=r"^Two and two are four\. But they are not\.$"):
        Sums().test_sums()


def test_every_kind_of_the_core_has_a_contract_with_rules_of_its_own() -> None:
    catalog, shared = Catalog(), set(rules_of(Contract))
    for kind in catalog.kinds().values():
        contract = catalog.contract(kind.name)
        assert issubclass(contract, Contract)
        assert contract.kind == kind.name
        assert len(set(rules_of(contract)) - shared) >= 8
        assert all(getattr(contract, name).__doc__.strip().endswith(".") for name in rules_of(contract))


def test_without_assertions_nothing_is_called_kept() -> None:
    code = (
        "from calumma.contracts import Contract, run\n"
        "from calumma.errors import FailedError\n"
        "try: list(run(Contract))\n"
        "except FailedError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True)
    assert "without -O" in done.stdout
