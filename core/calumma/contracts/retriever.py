"""The contract of retrievers: how they answer (in the files beside), how they grow and shrink, what they keep on disk."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from calumma.contracts.changes import changed, marked
from calumma.contracts.contract import rule
from calumma.contracts.retriever_abilities import AbilityRules
from calumma.contracts.retriever_data import DataRules
from calumma.contracts.retriever_filters import FilterRules
from calumma.contracts.retriever_questions import QuestionRules
from calumma.contracts.retriever_search import K
from calumma.contracts.rows import Rows, found
from calumma.errors import AssetError, CalummaError, ComponentError, InputError
from calumma.interfaces import Entries, Retriever


class RetrieverContract(FilterRules, DataRules, QuestionRules, AbilityRules):
    """What a retriever keeps.

    Attributes:
        recall: the share of the true best that an engine finds which is not exact; None for 0.9.
        score_tolerance: how far a score may be from the inner product; more for engines that compress vectors.
        rows, dimension: of what most rules index; more where the engine needs them to train.
    """

    # --- growing and shrinking ---

    @rule
    def test_a_key_twice_is_refused_as_a_whole(self) -> None:
        """A key that is there already, or comes twice, raises InputError, and nothing of what came with it is added."""
        retriever, rows, more = self.make(), self.sample(), self.sample(8, first=5000)
        if not retriever.accepts:
            self.finds(self.filled(rows), rows, [0], "although it accepts nothing")
            return
        twice = Rows(np.where(np.arange(8) == 7, more.keys[0], more.keys), more.vectors, more.texts)
        self.refused(lambda: retriever.add(twice.entries(retriever.accepts)), "A key twice in one call", InputError)
        assert retriever.size == 0, f"size is {retriever.size} after a refused call."
        retriever.add(rows.entries(retriever.accepts))
        if "grows" in retriever.capabilities:
            known = Rows(np.where(np.arange(8) == 7, rows.keys[3], more.keys), more.vectors, more.texts)
            for wrong in (twice, known):
                self.refused(partial(retriever.add, wrong.entries(retriever.accepts)), "A key twice", InputError)
        assert retriever.size == len(rows), f"size was {len(rows)}, and is {retriever.size} after refused calls."
        self.finds(retriever, rows, range(0, len(rows), 7), "after refused calls")
        hits = retriever.search([more.query(i, retriever.accepts) for i in range(8)], K)
        half = {key for i in range(8) for key in found(hits, i)} & set(more.keys.tolist())
        assert not half, f"{len(half)} rows of refused calls can be found."

    @rule
    def test_entries_that_do_not_fit_are_refused(self) -> None:
        """Keys without a vector or text each, and rows of another dimension, raise InputError and add nothing."""
        retriever, rows, more = self.filled(), self.sample(), self.sample(6, first=5000)
        entries, wide = more.entries(retriever.accepts), np.ones((6, self.dimension + 1), np.float32)
        wrong: list[tuple[str, Entries]] = []
        if "vector" in retriever.accepts:
            wrong.append(("5 vectors for 6 keys", Entries(entries.keys, entries.vectors[:5], entries.texts)))
            wrong.append(("A row of another dimension", Entries(entries.keys, wide, entries.texts)))
        if "text" in retriever.accepts:
            wrong.append(("No texts for 6 keys", Entries(entries.keys, entries.vectors)))
            wrong.append(("5 texts for 6 keys", Entries(entries.keys, entries.vectors, list(more.texts[:5]))))
        for what, one in wrong:
            fresh = self.make()
            if "another" not in what:
                self.refused(partial(fresh.add, one), f"{what} in an empty index", InputError)
                assert fresh.size == 0, f"size is {fresh.size} after {what} in an empty index."
            if "grows" in retriever.capabilities:
                self.refused(partial(retriever.add, one), what, InputError)
        expected = len(rows) if retriever.accepts else 0
        assert retriever.size == expected, f"size was {expected} and is {retriever.size} after refused calls."

    @rule
    def test_it_grows_where_it_says_so(self) -> None:
        """With the capability `grows` rows that come later are found too; without it, adding again raises ComponentError."""
        rows, more = self.sample(), self.sample(2 * self.rows, first=5000)
        retriever = self.filled(rows)
        self._grow(retriever, rows, more)

    def _grow(self, retriever: Retriever, rows: Rows, more: Rows) -> None:
        if "grows" not in retriever.capabilities:
            self.refused(lambda: retriever.add(more.entries(retriever.accepts)), "Adding again", ComponentError)
            self.finds(retriever, rows, range(0, len(rows), 7), "after a refused call")
            return
        for start in (0, 1, 5):
            part = more.only(slice(start, {0: 1, 1: 5}.get(start, len(more))))
            retriever.add(part.entries(retriever.accepts))
        expected = len(rows) + len(more) if retriever.accepts else 0
        assert retriever.size == expected, f"size is {retriever.size}; {expected} rows were added."
        self.finds(retriever, more, range(0, len(more), 7), "after it grew")
        self.finds(retriever, rows, range(0, len(rows), 7), "after others were added")

    @rule
    def test_it_removes_where_it_says_so(self) -> None:
        """With the capability `deletes` removed rows are not found and cost no answers, and unknown keys are ignored; without
        it, removing raises ComponentError.
        """
        rows = self.sample()
        retriever = self.filled(rows)
        if "deletes" not in retriever.capabilities:
            self.refused(lambda: retriever.remove(rows.keys[:2]), "Removing", ComponentError)
            self.finds(retriever, rows, range(0, len(rows), 7), "after a refused call")
            return
        gone = np.concatenate([rows.keys[:40], rows.keys[:3], np.array([123, -7])])
        given = gone.copy()
        for _ in range(2):  # the second time they are unknown
            retriever.remove(gone)
            self._lacks(retriever, rows, 40)
        assert np.array_equal(gone, given), "`remove` changed the keys that it was given."
        retriever.remove(rows.keys)
        self._lacks(retriever, rows, len(rows))
        self.make().remove(rows.keys)

    def _lacks(self, retriever: Retriever, rows: Rows, gone: int, when: str = "after they were removed") -> None:
        left = rows.only(slice(gone, None))
        expected = len(left) if retriever.accepts else 0
        assert retriever.size == expected, f"size is {retriever.size} {when}; {expected} rows are left."
        queries = [rows.query(i, retriever.accepts) for i in range(0, gone, 3)]
        hits = retriever.search(queries, K)
        back = {key for i in range(len(queries)) for key in found(hits, i)} & set(rows.keys[:gone].tolist())
        assert not back, f"it found {sorted(back)[:5]} {when}."
        self.finds(retriever, left, range(0, len(left), 7), f"{when} (others)") if len(left) else None
        if retriever.accepts == {"vector"} and len(left) > K:
            assert (hits.counts == K).all(), f"counts are {hits.counts} {when}, with k = {K} and {len(left)} rows left."
            share = self.share(hits, left, np.array([query.vector for query in queries]))
            assert share >= self.bound(retriever), f"of the true best that are left it finds {share:.3f} {when}."

    @rule
    def test_removed_keys_may_come_back(self) -> None:
        """A key that was removed can be added again, with another row: then that row is found, and the old one is not."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not {"deletes", "grows"} <= retriever.capabilities:
            self.finds(retriever, rows, range(0, len(rows), 7), "as the only rows that it can have")
            return
        retriever.remove(rows.keys[:40])
        fresh = self.sample(40, first=5000)
        new = Rows(rows.keys[:40], fresh.vectors, fresh.texts)
        retriever.add(new.entries(retriever.accepts))
        assert retriever.size == (len(rows) if retriever.accepts else 0), f"size is {retriever.size}."
        self.finds(retriever, new, range(40), "under keys that were removed before")
        hits = retriever.search([rows.query(i, retriever.accepts) for i in range(40)], 1)
        old = [key for i, key in enumerate(rows.keys[:40].tolist()) if found(hits, i) == [key]]
        assert len(old) < 10, f"{len(old)} of 40 old rows are still found under their keys."
        retriever.remove(rows.keys[:40])
        self._lacks(retriever, rows, 40, "after they were removed again")

    # --- on disk ---

    @rule
    def test_saving_writes_into_its_folder_alone(self) -> None:
        """`save` writes into the folder it is given, nowhere else, and leaves the index as it was."""
        retriever, top = self.filled(), self.folder()
        before = retriever.search(self.asked(retriever), K)
        with _watched(top) as folder:
            retriever.save(folder)
        strays = [path for path in top.rglob("*") if path.is_file() and folder not in path.parents]
        assert not strays, f"it wrote {', '.join(str(path.relative_to(top)) for path in strays)} beside the folder."
        self.same(before, retriever.search(self.asked(retriever), K), "after it was saved")

    @rule
    def test_what_is_saved_opens_and_finds_the_same(self) -> None:
        """An index that was saved, moved to another folder and opened, finds what it found before; also an empty one."""
        for rows in (self.sample(), self.sample(0)):
            retriever = self.filled(rows)
            opened = self._reopened(retriever)
            assert type(opened) is type(retriever), f"`open` gave a {type(opened).__name__}."
            assert opened.size == retriever.size, f"size was {retriever.size}, and is {opened.size} after opening."
            before = retriever.search(self.asked(retriever), K)
            self.same(before, opened.search(self.asked(opened), K), "after opening")
            self.same(before, self._reopened(opened).search(self.asked(opened), K), "after opening a second copy")

    def _reopened(self, retriever: Retriever) -> Retriever:
        folder, moved = self.folder(), self.folder() / "moved"
        retriever.save(folder)
        shutil.copytree(folder, moved)
        shutil.rmtree(folder)
        opened = type(retriever).open(moved, retriever.options)
        opened.warm_up()
        return opened

    @rule
    def test_an_opened_index_lives_on(self) -> None:
        """An opened index grows and removes like the one that was saved; neither that one nor the folder notices."""
        rows, more = self.sample(), self.sample(40, first=5000)
        retriever, folder = self.filled(rows), self.folder()
        before = retriever.search(self.asked(retriever), K)
        retriever.save(folder)
        files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        opened = type(retriever).open(folder, retriever.options)
        opened.warm_up()
        self._grow(opened, rows, more)
        self.same(before, retriever.search(self.asked(retriever), K), "after the opened one was changed")
        if "deletes" in retriever.capabilities:
            opened.remove(more.keys)
            opened.remove(rows.keys[:40])
            self._lacks(opened, rows, 40, "after they were removed from the opened index")
        after = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        assert after == files, "changing the opened index changed the files that it was opened from."

    @rule
    def test_what_was_removed_stays_removed(self) -> None:
        """Rows that were removed before saving, and rows that came late, are so after opening; a removed key may come back."""
        rows, more = self.sample(), self.sample(40, first=5000)
        retriever = self.filled(rows)
        if "deletes" in retriever.capabilities:
            retriever.remove(rows.keys[:40])
        if "grows" in retriever.capabilities:
            retriever.add(more.entries(retriever.accepts))
        opened = self._reopened(retriever)
        assert opened.size == retriever.size, f"size was {retriever.size}, and is {opened.size} after opening."
        self.same(retriever.search(self.asked(retriever), K), opened.search(self.asked(opened), K), "after opening")
        if "grows" in retriever.capabilities:
            self.finds(opened, more, range(40), "after opening")
        if {"deletes", "grows"} <= retriever.capabilities:
            opened.remove(more.keys)
            self._lacks(opened, rows, 40, "after opening")
            back = rows.only(slice(0, 40))
            opened.add(back.entries(opened.accepts))
            self.finds(opened, back, range(40), "when added again after opening")

    @rule
    def test_what_holds_no_index_is_refused(self) -> None:
        """A folder that is empty, missing or full of other things raises AssetError."""
        retriever = self.filled()
        empty, foreign = self.folder(), self.folder()
        (foreign / "notes.txt").write_text("Not an index.")
        (foreign / "picture.npy").write_bytes(b"\x93NUMPY nothing")
        for folder, what in (
            (empty, "An empty folder"),
            (foreign, "A folder of other things"),
            (empty / "no", "A missing one"),
        ):
            if retriever.accepts:
                self.refused(partial(type(retriever).open, folder, retriever.options), what, AssetError)
            else:
                self.finds(type(retriever).open(folder, retriever.options), self.sample(), [0], f"in {what.lower()}")

    @rule
    def test_damaged_files_are_refused(self) -> None:
        """An index with a file cut short, emptied, overwritten or gone raises AssetError, or finds what it found before."""
        retriever, folder = self.filled(), self.folder()
        retriever.save(folder)
        before = retriever.search(self.asked(retriever), K)
        for name in [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]:
            content = (folder / name).read_bytes()
            damages = {"gone": None, "emptied": b"", "cut in half": content[: len(content) // 2], "cut by 3": content[:-3]}
            damages["overwritten"] = (b"This is no index. " * (len(content) // 18 + 1))[: len(content)]
            for damage, changed_content in damages.items():
                copy = self.folder() / "index"
                shutil.copytree(folder, copy)
                (copy / name).unlink() if changed_content is None else (copy / name).write_bytes(changed_content)
                try:
                    opened = type(retriever).open(copy, retriever.options)
                    opened.warm_up()
                    after = opened.search(self.asked(retriever), K)
                except AssetError:
                    continue
                except Exception as error:
                    self.fail(f"with {name} {damage} it raised {type(error).__name__}, not AssetError: {str(error)[:200]}.")
                self.same(before, after, f"with {name} {damage}")

    # --- options ---

    @rule
    def test_opening_takes_the_options(self) -> None:
        """An opened index has the options that it is opened with, and finds what an index that was built with them finds."""
        retriever, rows = self.filled(), self.sample()
        others = [
            one
            for name in type(retriever.options).model_fields
            for one in changed(retriever.options, name)
            if marked(retriever.options, name, "search")
        ]
        for options in (retriever.options, *others):
            try:
                built = type(retriever)(options)
                built.warm_up()
                built.add(rows.entries(built.accepts))
            except CalummaError:
                continue  # an option that this instance has no use for
            folder = self.folder()
            retriever.save(folder)
            opened = type(retriever).open(folder, options)
            opened.warm_up()
            assert opened.options == options, f"it has the options {opened.options}, and was opened with {options}."
            for k in (1, K):
                expected = built.search(self.asked(built, 30), k)
                self.same(expected, opened.search(self.asked(opened, 30), k), f"when opened with {options}")

    @rule
    def test_the_index_key_is_of_what_was_built(self) -> None:
        """`index_key` is the same whatever the options of searching, and another for each other option that changes meaning."""
        retriever = self.make(warm=False)
        key = retriever.index_key()
        assert key.partition("#")[0] == retriever.id, f"{key!r} does not begin with the id {retriever.id!r} and #."
        for name in type(retriever.options).model_fields:
            meaning, search = (marked(retriever.options, name, mark) for mark in ("meaning", "search"))
            for options in changed(retriever.options, name):
                try:
                    other = type(retriever)(options)
                except CalummaError:
                    continue  # a value that does not go with the others
                other.id = retriever.id
                same = other.index_key() == key
                told = f"with {name} = {getattr(options, name)!r} it is {'the same' if same else 'another'}."
                assert same == (search or not meaning), told

    @rule
    def test_unmarked_options_change_no_answer(self) -> None:
        """An option that is not marked as changing meaning changes no answer."""
        retriever = self.filled()
        before = retriever.search(self.asked(retriever), K)
        for change, other in self.unmarked(retriever):
            other.add(self.sample().entries(other.accepts))
            self.same(before, other.search(self.asked(other), K), f"with {change}")

    @rule
    def test_the_fingerprint_does_not_know_the_rows(self) -> None:
        """Fingerprint and index key stay what they are while rows are added, asked for and saved."""
        retriever = self.make()
        before = retriever.fingerprint(), retriever.index_key()
        retriever.add(self.sample().entries(retriever.accepts))
        retriever.search(self.asked(retriever, 2), K)
        retriever.save(self.folder())
        after = retriever.fingerprint(), retriever.index_key()
        assert after == before, f"they were {before} and are {after}."


@contextlib.contextmanager
def _watched(top: Path) -> Iterator[Path]:
    """An empty folder; the working directory and the folder of temporary files are others beside it."""
    folder, here, temporary = (top / name for name in ("index", "here", "temporary"))
    for one in (folder, here, temporary):
        one.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        with contextlib.chdir(here):
            yield folder
    finally:
        tempfile.tempdir = before
