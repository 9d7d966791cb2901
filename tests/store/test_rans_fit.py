"""Fitted tables: shared as asked, small, and with room for what the sample didn't show."""

import numpy as np
import pytest

from engine.store.rans_fit import fit_tables
from engine.store.rans_tables import TOTAL, RansTable


def test_frequencies_are_those_counted():
    values = np.array([0] * 512 + [1] * 256 + [-1] * 256, np.int8).reshape(-1, 1)
    (table,) = fit_tables(values, 1).tables
    assert (table.shift, table.low, table.escape_frequency) == (0, -1, 1)
    assert np.abs(np.array(table.frequencies) - [1024, 2048, 1024]).max() <= 1


def test_a_constant_channel_has_one_value():
    (table,) = fit_tables(np.full((100, 1), -5, np.int16), 1).tables
    assert table == RansTable(0, -5, (TOTAL - 1,))


@pytest.mark.parametrize("shape", [(0, 3), (5, 0)])
def test_no_values_give_tables_all_the_same(shape):
    tables = fit_tables(np.zeros(shape, np.int8), 3)
    assert tables.tables == (RansTable(0, 0, (TOTAL - 1,)),) * 3


def test_positions_share_tables_evenly():
    values = np.arange(6, dtype=np.int8).repeat(50).reshape(6, 50).T.reshape(50, 2, 3)
    assert [table.low for table in fit_tables(values, 6).tables] == [0, 1, 2, 3, 4, 5]
    halves = fit_tables(values, 2).tables
    assert [(table.low, len(table.frequencies)) for table in halves] == [(0, 3), (3, 3)]


def test_outliers_escape():
    values = np.zeros((100_000, 1), np.int16)
    values[7], values[8] = 30_000, -30_000
    (table,) = fit_tables(values, 1).tables
    assert (table.low, len(table.frequencies)) == (0, 1)


def test_wide_values_leave_low_bits_apart():
    values = np.random.default_rng(0).integers(-2000, 2000, (20_000, 1)).astype(np.int16)
    (table,) = fit_tables(values, 1).tables
    assert table.shift >= 4
    assert len(table.frequencies) <= 255
    assert table.low << table.shift <= -1900


def test_no_value_of_16_bits_need_be_frequent():
    values = np.arange(1 << 16).astype(np.uint16).view(np.int16).reshape(-1, 1)
    (table,) = fit_tables(values, 1).tables
    assert (table.shift, table.low) == (8, -128)


def test_values_seen_once_let_expect_others():
    values = np.array([[-120], [-60], [0], [60], [120]], np.int8)
    (table,) = fit_tables(values, 1).tables
    assert table.escape_frequency > TOTAL / 4
