"""What the shipped weights write of one recording stays as it was: a refactoring that changes it is no refactoring."""

import csv
import hashlib

import pytest

from drumnb.cli import main

WRITTEN = {  # weights → hash of the onsets of MusicDelta_80sRock_MIX.wav (time and drum of each line)
    'drumnb-5': '7939d93da1f43f05',
    'drumnb-6': '063c4fa8732c37b7',
    'drumnb-7': 'c08f7294b2e0c6e5',
}


@pytest.mark.parametrize('weights', WRITTEN)
def test_weights_write_the_same_table(weights, shared_data, tmp_path):
    from drumnb.transcription.transcribe import shipped_graph, shipped_weights

    song = shared_data / 'MDB Drums/audio/full_mix/MusicDelta_80sRock_MIX.wav'
    if not song.is_file():
        pytest.skip(f'{song.name} is not here')
    model = next(shipped_graph(p) for p in shipped_weights() if p.stem == weights)
    assert main(['transcribe', str(song), '--out', str(tmp_path), '--formats', 'csv', '--model', str(model)]) == 0
    with (tmp_path / f'{song.stem}.csv').open(encoding='utf-8', newline='') as file:
        onsets = [(row['onset_s'], row['drum']) for row in csv.DictReader(file)]
    assert hashlib.sha256(repr(onsets).encode()).hexdigest()[:16] == WRITTEN[weights]
