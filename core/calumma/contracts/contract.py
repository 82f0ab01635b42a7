"""What all contracts share: building a small component, naming the rule that is broken, and the rules of every component."""

from __future__ import annotations

import functools
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, cast

from pydantic import ValidationError

from calumma.contracts.changes import alone, changed, marked
from calumma.contracts.inspection import (
    imported_by_listing,
    options_that_hold,
    out_of_bounds,
    tensors_of,
    unbounded_options,
    unnamed_libraries,
)
from calumma.errors import CalummaError, ComponentError
from calumma.extension import Catalog, ComponentSpec
from calumma.extension.building import part_kind
from calumma.interfaces import Asset, Component, Device, Dtype, Options, Part

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "that is empty": lambda content: b"",
    "that is cut short": lambda content: content[: len(content) // 2],
    "of noise": lambda content: random.Random(0).randbytes(len(content)),
}
C = TypeVar("C", bound=Component)
R = TypeVar("R", bound=Callable[..., None])


class BrokenRule(AssertionError):  # noqa: N818  (what pytest prints; it says what happened)
    """A component breaks a rule of its contract.

    Attributes:
        rule: the rule as a sentence. found: what the component did instead.
    """

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(f"{rule} But {found}")
        self.rule, self.found = rule, found


def rule(check: R) -> R:
    """Makes a test method a rule: its docstring is the sentence that a failure names, whatever the failure was."""
    sentence = " ".join((check.__doc__ or "").split())

    @functools.wraps(check)
    def kept(self: Contract[Any]) -> None:
        try:
            check(self)
        except BrokenRule:
            raise
        except AssertionError as error:
            raise BrokenRule(sentence, str(error) or "it does not hold.") from error
        except (Exception, SystemExit) as error:
            raise BrokenRule(sentence, f"it raised {type(error).__name__}: {' '.join(str(error).split())[:400]}") from error

    cast(Any, kept).is_rule = True
    return cast(R, kept)


class Contract(Generic[C]):
    """Base of the contracts. A plugin's author inherits the one of the kind, names the component, and runs pytest.

    >>> class TestMine(RetrieverContract):
    ...     component = "mine/flat"

    A contract asks for nothing but the component: no network, no files, no fixtures. It builds it anew for every rule.

    Attributes:
        kind: the kind it tests.
        component: a component id of an installed plugin, or a class.
        options: options of a small instance; None for the `example` of the component's spec, else the defaults.
        catalog: where the id is looked up; None for the plugins that are installed.
    """

    kind: ClassVar[str] = ""
    component: ClassVar[str | type[Component]] = ""
    options: ClassVar[Mapping[str, Any] | None] = None
    catalog: ClassVar[Catalog | None] = None

    def setup_method(self) -> None:
        """Before each rule (pytest calls it, and so does `run`)."""
        self._folders: list[Path] = []

    def teardown_method(self) -> None:
        """After each rule."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    # --- what rules are written with ---

    def folder(self) -> Path:
        """A new empty folder, gone after the rule."""
        self._folders.append(Path(tempfile.mkdtemp(prefix="calumma-contract-")))
        return self._folders[-1]

    def make(self, *, warm: bool = True, device: Device = "cpu", dtype: Dtype = "float32", **changes: Any) -> C:
        """A new component with the small options and `changes`; warmed up unless told not to."""
        component = self._built({**self.small(), **changes})
        if warm:
            component.warm_up(device, dtype)
        return cast(C, component)

    def small(self) -> dict[str, Any]:
        """Options of a small instance that needs no network. Override it where they must be worked out."""
        if self.options is not None:
            return dict(self.options)
        spec = self.spec()
        return {} if spec is None else self._catalog().example(spec, self.folder())

    def spec(self) -> ComponentSpec | None:
        """The spec of a component that is named by its id; None for a class."""
        return self._catalog().spec(self.kind, self.component) if isinstance(self.component, str) else None

    def unmarked(self, component: C) -> Iterator[tuple[str, C]]:
        """What should answer as `component` does: ("option = value", a twin with it), for each option not marked `meaning`."""
        for name in type(component.options).model_fields:
            for options in () if marked(component.options, name, "meaning") else changed(component.options, name):
                try:
                    twin = type(component)(options)
                    twin.warm_up()
                except CalummaError:
                    continue  # a value that does not go with the others
                twin.id = component.id
                yield f"{name} = {getattr(options, name)!r}", twin

    def refused(self, call: Callable[[], object], what: str, *errors: type[CalummaError]) -> CalummaError:
        """The error; fails unless `call` raises one of `errors` (any CalummaError by default) that says something."""
        expected = errors or (CalummaError,)
        names = " or ".join(one.__name__ for one in expected)
        try:
            call()
        except expected as error:
            self.says_something(error, what)
            return error
        except Exception as error:
            self.fail(f"{what} raised {type(error).__name__}, not {names}: {error}.")
        else:
            self.fail(f"{what} was accepted; it should raise {names}.")

    def says_something(self, error: CalummaError, what: str) -> None:
        """Fails where an error has no sentence."""
        if len(error.message.split()) < 3:
            self.fail(f"{what} is refused without a sentence: {error.message!r}.")

    def fail(self, found: str) -> NoReturn:
        """Breaks the rule that is being checked."""
        raise AssertionError(found)

    # --- rules of every component ---

    @rule
    def test_unknown_options_are_refused(self) -> None:
        """An option that does not exist is refused, not ignored."""
        cls = self._options_class()
        try:
            cls.model_validate({**self.small(), "no_such_option_here": 1})
        except ValidationError:
            return
        self.fail(f"{cls.__name__} took the option 'no_such_option_here'; keep extra='forbid' of calumma.interfaces.Options.")

    @rule
    def test_options_are_described_and_bounded(self) -> None:
        """Every option has a description, every number has bounds, and every list a largest length."""
        wrong = unbounded_options(self._options_class())
        assert not wrong, f"{'; '.join(wrong)}. Use pydantic's Field(..., ge=, le=, max_length=, description=)."

    @rule
    def test_parts_say_their_kind(self) -> None:
        """An option that is itself a component says of which kind, and there is that kind."""
        cls, kinds = self._options_class(), self._catalog().kinds()
        for name in options_that_hold(cls, Part):
            kind = part_kind(cls.model_fields[name])
            assert kind in kinds, (
                f"{name} says {kind!r}. Declare it with json_schema_extra={{'kind': 'retriever'}}, or another."
            )

    @rule
    def test_numbers_out_of_bounds_are_refused(self) -> None:
        """A number outside the bounds of its option is refused."""
        cls, small = self._options_class(), self.small()
        for name, value in out_of_bounds(cls):
            try:
                cls.model_validate({**small, name: value})
            except ValidationError:
                continue
            self.fail(f"{name} = {value} was accepted.")

    @rule
    def test_defaults_are_valid(self) -> None:
        """The default of an option is a value that the option takes."""
        for name, field in self._options_class().model_fields.items():
            if not field.is_required():
                default = field.get_default(call_default_factory=True)
                try:
                    alone(name, field).model_validate({name: default})
                except ValidationError as error:
                    self.fail(f"{name} is {default!r} by default: {error.errors()[0]['msg']}.")

    @rule
    def test_options_stay_as_they_were(self) -> None:
        """Options are not changed by building and warming up."""
        component = self.make(warm=False)
        before = component.options.model_dump()
        component.warm_up()
        assert component.options.model_dump() == before, "the options are others after warm_up."

    @rule
    def test_the_fingerprint_is_of_the_options_alone(self) -> None:
        """The fingerprint is known before weights load, and the same options give the same one."""
        options = self.small()
        cold, other = self._built(options), self._built(options)
        before = cold.fingerprint()
        assert before.partition("#")[0] == cold.id, f"{before!r} does not begin with the id {cold.id!r} and #."
        assert other.fingerprint() == before, f"two with the same options have {before!r} and {other.fingerprint()!r}."
        cold.warm_up()
        assert cold.fingerprint() == before, f"warm_up changed {before!r} to {cold.fingerprint()!r}."

    @rule
    def test_meaning_and_nothing_else_changes_the_fingerprint(self) -> None:
        """An option that is marked as changing meaning changes the fingerprint, and no other does."""
        component = self.make(warm=False)
        before = component.fingerprint()
        for name in type(component.options).model_fields:
            for options in changed(component.options, name):
                try:
                    other = type(component)(options)
                except CalummaError:
                    continue  # a value that does not go with the others
                other.id = component.id
                what, same = f"{name} = {getattr(options, name)!r}", other.fingerprint() == before
                meaning = marked(component.options, name, "meaning")
                assert same is not meaning, f"with {what} it is {before!r} still." if meaning else f"{what} changes it."

    @rule
    def test_warming_up_obeys_the_device(self) -> None:
        """warm_up puts every tensor on the device it is told, or raises ComponentError."""
        component = self.make()
        strays = {name: tensor.device for name, tensor in tensors_of(component) if tensor.device.type != "cpu"}
        assert not strays, f"warm_up('cpu') left {strays}."
        if not any(True for _ in tensors_of(component)):
            return
        moved = self.make(warm=False)
        try:
            moved.warm_up("meta")
        except ComponentError:
            return
        strays = {name: tensor.device for name, tensor in tensors_of(moved) if tensor.device.type != "meta"}
        assert not strays, f"warm_up('meta') left {strays}."

    @rule
    def test_the_class_has_the_options_of_the_spec(self) -> None:
        """The class attribute `Options` is what the spec names."""
        wanted, spec = self._options_class(), self.spec()
        if spec is not None:
            found = self._catalog().component_class(spec).Options
            assert found is wanted, f"{spec.target}.Options is {found}, and the spec names {spec.options}."

    @rule
    def test_the_class_has_the_id_of_the_spec(self) -> None:
        """An `id` that the class states itself is the one that the spec names."""
        spec = self.spec()
        if spec is not None:
            found = vars(self._catalog().component_class(spec)).get("id", "")
            assert found in ("", spec.name), f"{spec.target}.id is {found!r}, and the spec says {spec.name!r}."

    @rule
    def test_the_spec_names_its_files(self) -> None:
        """The `assets` of the spec are the options that are files."""
        spec = self.spec()
        if spec is not None:
            told, files = sorted(spec.assets), options_that_hold(self._options_class(), Asset)
            assert told == files, f"it says {told}, and the options of type Asset are {files}."

    @rule
    def test_the_spec_names_what_it_needs(self) -> None:
        """`requires` names the libraries that the component imports and that do not come with calumma itself."""
        spec = self.spec()
        if spec is not None:
            of_kind = self._catalog().interface(self.kind).__module__  # without it there is no such kind
            lacking = unnamed_libraries(self._catalog().component_class(spec), (*spec.requires, of_kind))
            assert not lacking, f"it imports {', '.join(lacking)}; without it, `plugins list` would say `broken`."

    @rule
    def test_damaged_files_are_refused_with_a_sentence(self) -> None:
        """A file that is empty, cut short or full of noise raises a CalummaError, if anything, and no error of a library."""
        for what, damaged in DAMAGES.items():
            options = self.small()
            for file in [file for folder in self._folders for file in folder.rglob("*") if file.is_file()]:
                content = file.read_bytes()
                file.unlink()  # it may be a link to a file that is not the example's
                file.write_bytes(damaged(content))
            try:
                self._built(options).warm_up()
            except CalummaError as error:
                self.says_something(error, f"a file {what}")

    @rule
    def test_listing_it_imports_no_library(self) -> None:
        """The registering module and the module of the Options import pydantic and calumma only."""
        spec = self.spec()
        if spec is not None:
            heavy = imported_by_listing(self._catalog(), spec)
            assert not heavy, f"they import {', '.join(heavy)}; import that where the component is, not where it is offered."

    # --- inside ---

    def _catalog(self) -> Catalog:
        if not hasattr(self, "_found"):
            self._found = self.catalog or Catalog()
        return self._found

    def _options_class(self) -> type[Options]:
        spec = self.spec()
        if spec is not None:
            return self._catalog().options_class(spec)
        assert isinstance(self.component, type)
        return self.component.Options

    def _built(self, options: Mapping[str, Any]) -> Component:
        if isinstance(self.component, str):
            if not self.component:
                raise ComponentError(f"{type(self).__name__} names no component.", 'Write: component = "plugin/name".')
            return self._catalog().build(self.kind, self.component, options)
        component = self.component(self.component.Options.model_validate(dict(options)))
        component.id = component.id or f"tests/{self.component.__name__.lower()}"
        return component
