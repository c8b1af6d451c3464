"""What the shipped weights write of one recording stays as it was: a refactoring that changes it is no refactoring."""

import csv
import hashlib

import pytest

from drumnb.cli import main

WRITTEN = {  # weights → hash of the onsets of MusicDelta_80sRock_MIX.wav (time and drum of each line)
    'drumnb-5': '7939d93da1f43f05',
}


def test_the_shipped_weights_write_the_same_table(shared_data, tmp_path):
    from drumnb.transcription.transcribe import shipped_weights

    song = shared_data / 'MDB Drums/audio/full_mix/MusicDelta_80sRock_MIX.wav'
    if not song.is_file():
        pytest.skip(f'{song.name} is not here')
    weights = shipped_weights()[-1].stem
    assert main(['transcribe', str(song), '--out', str(tmp_path), '--formats', 'csv']) == 0
    with (tmp_path / f'{song.stem}.csv').open(encoding='utf-8', newline='') as file:
        onsets = [(row['onset_s'], row['drum']) for row in csv.DictReader(file)]
    assert hashlib.sha256(repr(onsets).encode()).hexdigest()[:16] == WRITTEN[weights]
