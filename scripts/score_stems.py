#!/usr/bin/env python3
"""Signal-to-distortion ratios of drums and backing on the mixes of MDB Drums: rows into results/stems/mdb.csv.

    python scripts/score_stems.py

The recorded drums have another level than in their mix: the gain at which they explain most of the mix makes them the
true drums, and what is left of the mix the true backing. MDB Drums is a test set: nothing is chosen by these rows, and
each run is a look that belongs into results/test_looks.csv.
"""

import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')


def parts(mix, onsets, annotated):
    "Drums and backing by each way of splitting."
    import librosa

    from drumnb.transcription.stems import split_drums

    yield 'none', (mix, mix)
    tones, clicks = librosa.effects.hpss(mix)
    yield 'median filters', (clicks, tones)
    yield 'templates', split_drums(mix, onsets)
    yield 'templates, annotated onsets', split_drums(mix, annotated)


def rows_of(track, drums_of, told):
    "A row for each part and way of splitting of a mix."
    import numpy as np

    from drumnb.audio import load
    from drumnb.transcription.stems import sdr
    from drumnb.transcription.transcribe import transcribe_performance

    path = track.files()['audio']
    mix, stem = load(path), load(drums_of[track.id].files()['audio'])
    n = min(len(mix), len(stem))
    mix, stem = mix[:n], stem[:n]
    drums = stem * np.float32(np.vdot(mix, stem) / np.vdot(stem, stem))
    onsets = transcribe_performance(path).onsets
    for way, (struck, rest) in parts(mix, onsets, track.onsets()):
        for part, true, found in (('drums', drums, struck), ('backing', mix - drums, rest)):
            yield dict(track=track.id, part=part, way=way, sdr_db=round(sdr(true, found), 2), **told)


def main() -> int:
    import pandas as pd

    from drumnb.core import results_home, write_text
    from drumnb.datasets.registry import get_dataset
    from drumnb.experiments.results import code_version
    from drumnb.transcription.transcribe import shipped_weights

    told = dict(weights=shipped_weights()[-1].stem, commit=(code_version()['commit'] or '')[:7])
    tracks, drums = (get_dataset(f'mdb:{kind}').tracks(present_only=True) for kind in ('full_mix', 'drum_only'))
    drums_of = {track.id: track for track in drums}
    table = pd.DataFrame([row for track in tracks for row in rows_of(track, drums_of, told)])
    write_text(results_home() / 'stems' / 'mdb.csv', table.to_csv(index=False, lineterminator='\n'))
    print(table.groupby(['part', 'way'], sort=False).sdr_db.agg(['mean', 'min', 'max']).round(1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
