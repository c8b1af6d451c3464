"""The model that ships and its card: rounding, licences, intervals, on a run made by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drumnb
from drumnb.core import DrumnbError
from drumnb.drums import DRUMS5
from drumnb.experiments.recipes import experiment
from drumnb.experiments.results import run_task
from drumnb.models.onnx import load_onnx
from drumnb.models.registry import load_model, make_model
from drumnb.rendering.kits import KitRef
from drumnb.spectrograms import LogSpec
from drumnb.transcription import model_card as mc
from drumnb.transcription import transcribe as tr
from drumnb.transcription import weights as wt

META = dict(features=LogSpec(mul=3, rms=0.1).to_dict(), threshold=0.3, vocabulary=list(DRUMS5))


def test_rounded_weights_are_read_as_32_bit_and_say_the_same(tmp_path):
    model = make_model('crnn', front='conv1d', channels=(16, 16), hidden=16, layers=1).eval()
    path = wt.write_small(tmp_path / 'drumnb-1', model, META)
    back, meta = load_model(path)
    assert {p.dtype for p in back.parameters()} == {next(model.parameters()).dtype} and meta['threshold'] == 0.3
    assert 0 < max(float((a - b).abs().max()) for a, b in zip(model.parameters(), back.parameters())) < 1e-3
    assert {p.dtype for p in model.parameters()} == {next(back.parameters()).dtype}, (
        'the model that was given stays as it is'
    )


def test_what_is_too_large_at_16_bits_ships_at_8(tmp_path):
    model = make_model('crnn', front='conv1d', channels=(16, 16), hidden=16, layers=1).eval()
    large = wt.write_small(tmp_path / 'a', model, META)
    small = wt.write_small(tmp_path / 'b', model, META, largest=large.stat().st_size - 1)
    back, meta = load_model(small)
    assert (load_model(large)[1]['weight_bits'], meta['weight_bits']) == (
        16,
        8,
    ) and small.stat().st_size < large.stat().st_size
    assert 0 < wt.largest_difference(model, back, META) <= wt.CLOSE[8]
    deaf = make_model('crnn', front='conv1d', channels=(16, 16), hidden=16, layers=1, seed=1).eval()
    assert wt.largest_difference(model, deaf, META) > wt.CLOSE[8], 'the check tells another model from a rounded one'


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_intervals_of_a_track_hold_its_score(tp, fp, fn):
    low, high = mc.onset_interval(tp, fp, fn, n=200)
    if tp + fp + fn == 0:
        assert np.isnan(low)
    else:
        assert 0 <= low <= 2 * tp / (2 * tp + fp + fn) <= high <= 1


def test_licences_come_from_the_table_the_kit_or_are_not_known(tmp_path):
    silent = tmp_path / 'Nameless'
    silent.mkdir()
    (silent / 'kick.wav').write_bytes(b'x')
    known = tmp_path / 'VariBreaks'
    known.mkdir()
    font = tmp_path / 'FluidR3_GM.sf2'
    font.write_bytes(b'RIFF')
    t = mc.kit_facts(
        [
            KitRef('folder', str(silent), 'a', 'train'),
            KitRef('folder', str(known), 'b', 'train'),
            KitRef('soundfont', f'{font}:0', 'c', 'train'),
            KitRef('soundfont', f'{font}:8', 'c', 'train'),
            KitRef('procedural', '3', 'd', 'train'),
        ]
    ).set_index('kit')
    assert t.licence.to_dict() == {
        'Nameless': 'not known',
        'VariBreaks': 'GPL-2+',
        'FluidR3_GM': 'MIT',
        '1 computed kits': 'Apache-2.0',
    }
    before = t.sha256['Nameless']
    (silent / 'kick.wav').write_bytes(b'y')
    assert mc.kit_facts([KitRef('folder', str(silent), 'a', 'train')]).sha256[0] != before


def test_every_kit_of_the_table_is_listed_once():
    table = pd.read_csv(Path(drumnb.__file__).parent / 'data' / 'kit_licences.csv')
    assert table.kit.is_unique and table.notna().all().all()


@pytest.fixture(scope='module')
def shipped(tmp_path_factory):
    "A tiny run, shipped into a folder."
    folder, patch = tmp_path_factory.mktemp('ship'), pytest.MonkeyPatch()
    for name in ('RESULTS', 'RUNS'):
        patch.setenv(f'DRUMNB_{name}', str(folder / name.lower()))
    result = run_task(
        experiment(
            train='synthetic:train=1,validation=2,test=1,seconds=6,kits=procedural',
            recipe='tiny',
            epochs=1,
            windows=dict(batches=2, mode='crops'),
            study='toy',
            threads=1,
        )
    )
    patch.setattr(wt, 'file_speed', lambda path: 100.0)
    path = wt.ship(result.run, folder=folder / 'weights', threshold=(0.3, 0.3, 0.4, 0.3, 0.3))
    yield result, path
    patch.undo()


def test_a_run_becomes_weights_description_and_card(shipped):
    result, path = shipped
    t, card = tr.load_transcriber(path), (path.parent / 'CARD.md').read_text()
    assert path.name == 'drumnb-1.safetensors' and path.with_suffix('.json').exists()
    (model, meta), (graph, told) = load_model(path), load_onnx(path.with_suffix('.onnx'))
    assert told == meta and wt.largest_difference(model, graph, meta) < 1e-5
    assert t.threshold == (0.3, 0.3, 0.4, 0.3, 0.3) and set(t.calibration.drums) <= set(DRUMS5) and t.calibration.drums
    for said in (
        result.run,
        'Apache-2.0',
        '## Scores',
        '## Drum kits and instruments',
        'computed kits',
        result.info['fingerprint'],
        '100 times real time',
        'hi-hat',
    ):
        assert said in card, said
    assert str(Path.home()) not in card and str(path.parent) not in card


def test_the_next_version_replaces_the_one_before(shipped, monkeypatch):
    result, path = shipped
    monkeypatch.setattr(wt, 'model_card', lambda facts: 'card')
    monkeypatch.setattr(wt, 'card_facts', lambda *a: {})
    second = wt.ship(result.path, folder=path.parent)
    assert second.name == 'drumnb-2.safetensors' and sorted(p.name for p in path.parent.iterdir()) == [
        'CARD.md',
        'drumnb-2.json',
        'drumnb-2.onnx',
        'drumnb-2.safetensors',
    ]
    assert tr.load_transcriber(second).threshold == pytest.approx(result.info['threshold'])


def test_what_cannot_ship_is_said_in_one_line(tmp_path):
    with pytest.raises(DrumnbError, match='no results of this name'):
        wt.ship('nothing', folder=tmp_path)
    with pytest.raises(DrumnbError, match='train a smaller model'):
        wt.write_small(tmp_path / 'x', make_model('rnn'), META, largest=10)
    assert list(tmp_path.iterdir()) == []


def test_weights_in_the_package_keep_the_limits():
    for path in tr.shipped_weights()[-1:]:
        assert (
            path.stat().st_size <= wt.LARGEST
            and path.with_suffix('.json').exists()
            and (path.parent / 'CARD.md').exists()
        )
        assert load_model(path)[1]['run'] in (path.parent / 'CARD.md').read_text()


def test_the_committed_benchmark_keeps_its_promises():
    table = pd.read_csv(Path(__file__).parents[1] / 'benchmarks' / 'results' / 'transcribe.csv')
    ours = table[table.model == f'{tr.shipped_weights()[-1].stem}, ONNX Runtime']
    songs, hours = ours[ours.file.str.startswith('4 min')], ours[ours.file.str.startswith('60 min')]
    assert {'4 min wav', '4 min mp3'} <= set(songs.file) and (songs.processor_factor >= 60).all()
    assert len(hours) and (hours.peak_mib < 512).all()
    assert (table[table.model == 'ADTOF'].ratio >= 3).all()


def test_the_readme_says_what_the_card_says():
    "README quotes two scores of the shipped weights; they are those of the card."
    root = Path(__file__).resolve().parents[1]
    card, readme = (root / 'drumnb/data/weights/CARD.md').read_text(), (root / 'README.md').read_text()
    scores = [float(row.split('|')[5]) for row in card.splitlines() if row.startswith('| all |')]
    assert len(scores) == 2
    drums, mixes = (f'{s:.3f}'.lstrip('0') for s in scores)
    assert f'micro F1 of {drums} on drums alone and {mixes} on full mixes' in readme


def test_the_graph_that_ships_says_what_the_weights_say():
    "The same activations, the same description: weights and graph are written in one go."
    for weights in tr.shipped_weights()[-1:]:
        (model, meta), (graph, told) = load_model(weights), load_onnx(tr.shipped_graph(weights))
        assert told == meta and wt.largest_difference(model, graph, meta) < 1e-5
        assert tr.shipped_graph(weights).stat().st_size <= wt.LARGEST
