#!/usr/bin/env python3
"""Score beats and bars found in drum onsets: rows into results/beats, means to the screen.

    python scripts/score_beats.py [GROUP ...] [--methods network rule madmom] [--seed 0]

A GROUP is a set of `drumnb.studies.beat_study`, or `mixes` or `references` of MDB Drums; all by default, a file each.
Methods: the network that ships, the rule that it replaced, which is given the time signature, and madmom on the audio
of the mixes, where it is installed; rows of methods that are not asked for stay. Groups that end in `test`, and MDB
Drums, are test sets: score what is finished, and write a look at MDB Drums into results/test_looks.csv.
"""

import argparse
import hashlib
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')
METHODS = ('network', 'rule', 'madmom')


def signature(case) -> str:
    "The time signature of a case; 4/4 where it is not known."
    from drumnb.transcription.meter import TIME_SIGNATURES

    beats, parts = case.meter or (4, 2)
    name = f'{3 * beats}/8' if parts == 3 else f'{beats}/4'
    return name if name in TIME_SIGNATURES else '4/4'


def by_network(case):
    from drumnb.transcription.meter import beats_of_onsets

    return beats_of_onsets(case.onsets)


def by_rule(case):
    from drumnb.tatum.beats import FoundBeats
    from drumnb.transcription.meter import number_beats, track_beats

    meter = signature(case)
    return FoundBeats(number_beats(track_beats(case.onsets), case.onsets, meter), (case.meter or (4, 2))[0])


def by_madmom(case):
    "Beats of the recording, and bars by the rule; None without a recording or madmom."
    from drumnb.audio import load
    from drumnb.core import DrumnbError
    from drumnb.tatum.beats import FoundBeats, madmom_beats
    from drumnb.transcription.meter import number_beats

    if case.audio is None:
        return None
    try:
        beats = madmom_beats(load(case.audio))[:, 0]
    except DrumnbError:
        return None
    return FoundBeats(number_beats(beats, case.onsets, signature(case)), 4)


def transcribed(audio):
    "What the weights that ship hear in a recording, kept in the cache."
    import numpy as np

    from drumnb.core import cache_home, content_key
    from drumnb.datasets.core import file_fingerprint
    from drumnb.drums import DRUMS5
    from drumnb.onsets import Onsets
    from drumnb.transcription.transcribe import shipped_weights, transcribe_performance

    key = content_key('heard-1', file_fingerprint(audio), file_fingerprint(shipped_weights()[-1]))
    path = cache_home() / 'beats' / f'heard-{key}.npz'
    if not path.exists():
        onsets = transcribe_performance(audio).onsets.reduce(DRUMS5)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, times=onsets.times, drums=onsets.drums, velocities=onsets.velocities)
    return Onsets.make(**np.load(path))


def mdb_cases(group: str) -> list:
    "Transcriptions of the nine mixes by the weights that ship, or the 23 annotations."
    from drumnb.datasets.registry import get_dataset
    from drumnb.drums import DRUMS5
    from drumnb.studies.beat_study import BeatCase

    cases = []
    for track in get_dataset('mdb:full_mix').tracks(present_only=group == 'mixes'):
        audio = track.files()['audio'] if group == 'mixes' else None
        onsets = transcribed(audio) if audio else track.onsets(DRUMS5)
        beats = track.beats()
        cases.append(BeatCase(group, track.id, onsets, beats, (int(beats[:, 1].max()), 2), audio))
    return cases


def main(argv=None) -> int:
    import pandas as pd

    from drumnb.core import DrumnbError, data_file, results_home, write_text
    from drumnb.experiments.results import code_version
    from drumnb.models.beat_network import BEAT_WEIGHTS_FILE
    from drumnb.studies.beat_study import BEAT_GROUPS, measure_trackers
    from drumnb.transcription.transcribe import shipped_weights

    groups = [*BEAT_GROUPS, 'mixes', 'references']
    parser = argparse.ArgumentParser(description='Score beats and bars found in drum onsets.')
    parser.add_argument('groups', nargs='*', metavar='GROUP', help=f'any of {", ".join(groups)}; all by default')
    parser.add_argument('--methods', nargs='+', default=METHODS, choices=METHODS, metavar='METHOD')
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn')
    args = parser.parse_args(argv)
    if unknown := set(args.groups) - set(groups):
        parser.error(f'unknown group {min(unknown)!r}; expected any of {", ".join(groups)}')
    methods = {name: globals()[f'by_{name}'] for name in args.methods}
    told = dict(seed=args.seed, commit=(code_version()['commit'] or '')[:7])
    told['weights'] = hashlib.sha256(data_file(BEAT_WEIGHTS_FILE).read_bytes()).hexdigest()[:8]
    for group in args.groups or groups:
        try:
            cases = BEAT_GROUPS[group](group, args.seed) if group in BEAT_GROUPS else mdb_cases(group)
        except DrumnbError as e:
            print(f'score_beats: {group} is left out: {e}', file=sys.stderr)
            continue
        heard = shipped_weights()[-1].stem if group == 'mixes' else ''
        rows = measure_trackers(cases, methods, **told, transcriber=heard)
        path = results_home() / 'beats' / f'{group.replace(" ", "-")}.csv'
        if path.exists():
            old = pd.read_csv(path, dtype=dict(track=str))
            rows = pd.concat([rows, old[~old.method.isin(methods)]])
        write_text(path, rows.to_csv(index=False, lineterminator='\n'))
        print(
            rows.groupby(['group', 'method'])[['beat', 'downbeat']].mean().round(3).to_string(header=False), flush=True
        )
    return 0


if __name__ == '__main__':
    sys.exit(main())
