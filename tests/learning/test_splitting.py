"""Splits: nothing leaks, every mineral is in every part, and the shares are as good as the groups allow."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dataset_support import SIDE, numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ore_minerals.errors import DatasetError
from napari_ore_minerals.learning.assigning import _cost, _sums, assign
from napari_ore_minerals.learning.collection import TileDataset
from napari_ore_minerals.learning.naming import minerals_named
from napari_ore_minerals.learning.splitting import SplitOptions, split
from napari_ore_minerals.learning.tile_table import check_split

SHARES = np.array([0.6, 0.2, 0.2])


def dataset_of(table: pd.DataFrame) -> TileDataset:
    """Dataset with a table of these photographs, deposits and minerals, that is not on disk."""
    table = table.reset_index(drop=True)
    rows = table.assign(
        tile=[f"t{number}" for number in range(len(table))],
        picture=table["photograph"] + ".png",
        picture_sha256=table["photograph"],
        row_px=0,
        column_px=0,
        tile_px=SIDE,
        fraction=1.0,
        origin="folder",
        sure=True,
        part="",
        sha256=[f"{number:064x}" for number in range(len(table))],
    ).drop(columns="number", errors="ignore")
    names = [name for name in table["mineral"].unique() if name]
    return TileDataset(Path("nowhere"), "rocks", minerals_named(names), SIDE, rows, {})


def rows(*counts: tuple[str, str, str, int]) -> pd.DataFrame:
    """Photograph, deposit, mineral, and how many tiles."""
    found = [row[:3] for row in counts for _ in range(row[3])]
    return pd.DataFrame(found, columns=["photograph", "deposit", "mineral"])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(12, 40), st.sampled_from([0, 5, 8]), st.integers(2, 5))
def test_no_split_leaks_and_every_part_has_every_mineral(seed, photographs, deposits, minerals):
    dataset = dataset_of(numbers(seed, photographs, deposits, minerals))
    found = split(dataset, SplitOptions(seed=seed))
    check_split(found.table)
    table = found.table
    for photograph, parts in table.groupby("photograph")["part"]:
        assert parts.nunique() == 1, photograph
    if deposits:
        in_test = set(table.loc[table["part"] == "test", "deposit"])
        assert not in_test & set(table.loc[table["part"] != "test", "deposit"])
    assert (found.table2()[["training", "validation", "test"]] > 0).all(axis=None)
    assert table.drop(columns="part").equals(dataset.table.drop(columns="part"))


def test_shares_are_kept_where_groups_are_many():
    found = split(dataset_of(numbers(1, 80, 0, 4))).table2()[["training", "validation", "test"]]
    shares = found.div(found.sum(axis=1), axis=0)
    np.testing.assert_allclose(shares, np.broadcast_to([0.6, 0.2, 0.2], shares.shape), atol=0.02)


def test_no_part_has_all_its_tiles_from_one_photograph_where_there_are_more():
    """One photograph has a fifth of the gold: by tiles alone it would do as the whole test."""
    table = rows(
        ("g", "", "gold", 10),
        *((f"g{number}", "", "gold", 2) for number in range(20)),
        *((f"p{number}", "", "pyrite", 6) for number in range(10)),
    )
    found = split(dataset_of(table)).table2()
    assert found.loc["gold", ["validation photographs", "test photographs"]].min() >= 4


@pytest.mark.parametrize("seed", range(4))
def test_the_assignment_is_nearly_the_best_of_all(seed: int):
    counts = np.random.default_rng(seed).integers(0, 20, (8, 3)).astype(float)
    weights = counts / counts.sum(axis=0)
    every = [np.array(parts) for parts in product(range(3), repeat=8)]
    best = min(float(_cost(_sums(parts, weights, 3), SHARES)) for parts in every)
    found = assign(counts, SHARES, np.random.default_rng(0))
    assert float(_cost(_sums(found, weights, 3), SHARES)) <= 1.2 * best + 1e-3


def test_the_same_seed_gives_the_same_split():
    dataset = dataset_of(numbers(2, 20, 0, 3))
    first, second = (split(dataset, SplitOptions(seed=4)).table["part"] for _ in range(2))
    assert first.equals(second)


def test_thousands_of_groups_take_seconds():
    counts = np.eye(5)[np.random.default_rng(0).integers(0, 5, 4500)]
    parts = assign(counts, SHARES, np.random.default_rng(0))
    shares = _sums(parts, counts / counts.sum(axis=0), 3)
    np.testing.assert_allclose(shares, np.repeat(SHARES[:, None], 5, axis=1), atol=0.01)


def test_unlabelled_tiles_go_with_their_photograph_and_unknown_deposits_are_never_test():
    table = numbers(5, 20, 5, 2)
    table.loc[table["photograph"].isin(["p000", "p001"]), "deposit"] = ""
    table.loc[table["number"] == 0, "mineral"] = ""
    found = split(dataset_of(table)).table
    assert (found.groupby("photograph")["part"].nunique() == 1).all()
    assert "test" not in set(found.loc[found["deposit"] == "", "part"])
    labelled = set(found.loc[found["mineral"] != "", "photograph"])
    assert ((found["part"] != "") == found["photograph"].isin(labelled)).all()


def test_test_deposits_leave_enough_to_learn_from():
    """Taking both deposits with much gold for the test would leave one photograph of gold."""
    table = rows(
        ("a", "x", "gold", 30), ("b", "x", "gold", 30), ("c", "y", "gold", 12), ("d", "z", "gold", 1),
        *((f"{name}{number}", name, "pyrite", 9) for name in "xyz" for number in range(3)),
    )  # fmt: skip
    found = split(dataset_of(table)).table2()
    assert (found[["training", "validation", "test"]] > 0).all(axis=None)


def test_copies_of_a_picture_stay_together_however_they_are_chained():
    dataset = dataset_of(numbers(4, 20, 0, 2))
    copies = {"p007": "p003", "p011": "p003"}
    table = dataset.table.assign(picture_sha256=dataset.table["photograph"].replace(copies))
    other = table["photograph"].eq("p011") & (table.groupby("photograph").cumcount() == 0)
    table.loc[other, "picture_sha256"] = "p015"  # a photograph of two pictures, each with a copy elsewhere
    for seed in range(4):
        found = split(replace(dataset, table=table), SplitOptions(seed=seed)).table
        parts = found.groupby("photograph")["part"].first()
        assert parts[["p003", "p007", "p011", "p015"]].nunique() == 1
        assert found["photograph"].equals(table["photograph"])
    table.loc[table["photograph"] == "p007", "deposit"] = "elsewhere"
    with pytest.raises(DatasetError, match=r"1 of 17 photographs are, .* from more than one deposit: p003"):
        split(replace(dataset, table=table))


def test_more_deposits_than_can_all_be_tried():
    found = split(dataset_of(numbers(3, 60, 20, 4))).table2()
    share = found.loc["all", "test"] / found.loc["all", ["training", "validation", "test"]].sum()
    assert 0.15 < share < 0.25


def test_by_photograph_deposits_may_be_shared_and_the_dataset_says_so():
    table = numbers(6, 12, 1, 2)
    with pytest.raises(
        DatasetError, match=r"all 12 photographs of known deposit are from d0.*split --by photograph"
    ):
        split(dataset_of(table))
    found = split(dataset_of(table), SplitOptions(by="photograph"))
    assert found.making.split_by == "photograph"
    with pytest.raises(DatasetError, match="1 of 1 deposits are in training and in test"):
        check_split(found.table)


def test_minerals_are_left_out_with_their_tiles():
    table = pd.concat([numbers(7, 12, 0, 2), rows(("p000", "", "gold", 5))])
    with pytest.raises(
        DatasetError, match=r"1 of 3 minerals have .* fewer than 3 photographs \(gold: 1\).*--leave-out gold"
    ):
        split(dataset_of(table))
    found = split(dataset_of(table), SplitOptions(leave_out=("Au",)))
    assert "gold" not in set(found.table["mineral"])
    assert [mineral.name for mineral in found.minerals] == ["mineral a", "mineral b"]
    assert found.dropped == {"tiles of gold, which was not wanted": 5}
    with pytest.raises(DatasetError, match="galena cannot be left out"):
        split(dataset_of(table), SplitOptions(leave_out=("galena",)))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (rows(*((f"p{n}", "", "gold", 3) for n in range(5))), "has tiles of 1 mineral, gold; a classifier needs two"),
        (rows(("p", "", "gold", 9), ("q", "", "pyrite", 9)), r"2 of 2 minerals .*\(gold: 1, pyrite: 1\)"),
        (rows(("p", "", "", 9)), "has no labelled and sure tile"),
        (
            rows(*((f"{d}{n}", d, m, 3) for d, m in (("x", "gold"), ("y", "pyrite")) for n in range(3))),
            r"2 of 2 minerals are from one deposit alone \(gold from x, pyrite from y\)",
        ),
        (
            rows(("p", "x", "gold", 3), ("p", "y", "pyrite", 3), *((f"q{n}", "x", m, 1) for n in range(3) for m in ("gold", "pyrite"))),
            "1 of 4 photographs are, themselves or as copies, from more than one deposit: p",
        ),
    ],
)  # fmt: skip
def test_datasets_that_cannot_be_split_get_a_sentence(table: pd.DataFrame, sentence: str):
    dataset = dataset_of(table.replace({"mineral": {"": "gold"}}))
    dataset = replace(dataset, table=dataset.table.assign(mineral=table["mineral"]))
    with pytest.raises(DatasetError, match=sentence):
        split(dataset)
