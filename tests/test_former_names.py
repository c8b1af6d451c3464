"Names of version 0.1 give what they name today, with a warning that says where it is."

import csv
import importlib
import subprocess
import sys
import warnings

import pytest

from drumnb.core import data_file

with data_file('former_names.csv').open() as table:
    ROWS = [tuple(row.values()) for row in csv.DictReader(table)]


def test_table_names_each_former_name_once_and_no_present_one():
    assert len({row[:2] for row in ROWS}) == len(ROWS) > 500
    gone = {module for module, *_ in ROWS} - {now for *_, now, _ in ROWS}
    assert {'drumnb.transcribe', 'drumnb.engraving', 'drumnb.band_kits', 'drumnb.models.zoo'} <= gone
    for module, name, *_ in ROWS:
        if module not in gone:
            assert name not in vars(importlib.import_module(module)).get('__all__', ()), f'{module}.{name}'


@pytest.mark.parametrize('module', sorted({row[0] for row in ROWS}))
def test_every_former_name_gives_todays_object_and_says_where_it_is(module):
    before = importlib.import_module(module)
    for _, name, now, name_now in (row for row in ROWS if row[0] == module):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            found = getattr(before, name)
        assert found is getattr(importlib.import_module(now), name_now)
        if name not in vars(before):  # a module may use what another one owns today
            said = f'{module}.{name} is now {now}.{name_now}; the old name will go'
            assert [str(w.message) for w in caught] == [said]
            assert caught[0].category is DeprecationWarning and caught[0].filename == __file__


def test_a_name_that_never_was_is_no_name():
    for module in ('drumnb.transcribe', 'drumnb.onsets', 'drumnb.experiments'):
        with pytest.raises(AttributeError, match='no attribute'):
            importlib.import_module(module).nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('drumnb.nothing')


def run(code):
    command = [sys.executable, '-W', 'error::DeprecationWarning:__main__', '-c', code]
    return subprocess.run(command, capture_output=True, text=True)


def test_transcribe_stays_what_one_calls_after_its_former_module_was_imported():
    "The library itself uses no former name: the warning is an error here."
    code = (
        'import drumnb.transcribe\nfrom drumnb import transcribe\n'
        'try: transcribe("nothing.wav")\nexcept ValueError as e: print(e)'
    )
    assert 'nothing.wav: no such file' in run(code).stdout
    asked = run('from drumnb.transcribe import find_beats')
    assert asked.returncode == 1 and 'drumnb.transcription.meter.find_beats' in asked.stderr


def test_import_of_the_package_brings_nothing_heavy():
    code = 'import sys, drumnb\nprint([m for m in ("numpy", "torch", "drumnb.core") if m in sys.modules])'
    assert run(code).stdout.strip() == '[]'
