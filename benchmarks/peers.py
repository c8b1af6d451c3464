"""Other systems on the same files with the same scorer.

    python benchmarks/peers.py mdb:full_mix@all --predictions FOLDER --name NAME [--version TEXT] [--shift 0.01]
    python benchmarks/peers.py mdb:full_mix@all mdb:drum_only@all --run adtof drumscript

A folder of predictions holds one file for each track, named like it: .csv, .txt, .mid or .jams. ADTOF (its PyTorch
port) and DrumScript run only where they are installed; their weights are not part of this project. Counts of each
track and drum go to results/peers/NAME.csv, with the version and the number of predictions.
"""

import argparse
import importlib
import importlib.metadata
import sys
import tempfile
from pathlib import Path

from common import one_thread

one_thread()
import mido  # noqa: E402  after the threads are set
import pandas as pd  # noqa: E402

from drumnb.core import DrumnbError, atomic_path, progress, results_home  # noqa: E402
from drumnb.datasets.registry import get_dataset  # noqa: E402
from drumnb.drums import DRUMS5  # noqa: E402
from drumnb.metrics import bootstrap, count, micro_f1, scores  # noqa: E402
from drumnb.onset_files import read_onsets  # noqa: E402
from drumnb.onsets import Onsets  # noqa: E402

COLUMNS = ('system', 'version', 'test', 'protocol', 'window_ms', 'shift_ms', 'track', 'drum', 'tp', 'fp', 'fn')
SUFFIXES = ('.csv', '.txt', '.mid', '.midi', '.jams')


# ---- systems that run where they are installed


def installed(module: str, how: str):
    "A module, or one line that says how to get it."
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DrumnbError(f'{module} is not installed; {how}') from None


def run_adtof(path: Path) -> Onsets:
    "Onsets of the PyTorch port of ADTOF."
    adtof = installed('adtof_pytorch', 'see github.com/xavriley/ADTOF-pytorch')
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'out.mid'
        adtof.transcribe_to_midi(str(path), str(out))
        silent = not any(m.type == 'note_on' for track in mido.MidiFile(out).tracks for m in track)
        return Onsets.make([], []) if silent else read_onsets(out, DRUMS5)


def run_drumscript(path: Path) -> Onsets:
    "Onsets of DrumScript, which expects drums alone."
    drumscript = installed('drumscript', 'install the package drumscript')
    return read_onsets(drumscript.transcribe(str(path))['midi_path'], DRUMS5)


SYSTEMS = dict(adtof=('adtof_pytorch', run_adtof), drumscript=('drumscript', run_drumscript))


def version_of(module: str) -> str:
    try:
        return importlib.metadata.version(module.replace('_', '-'))
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'


# ---- predictions in a folder


def prediction_for(folder: Path, name: str) -> Path | None:
    "The file of a track: named like it, whatever stands after its name."
    found = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and p.stem.startswith(name)]
    exact = [p for p in found if p.stem == name]
    if len(exact or found) > 1:
        raise DrumnbError(f'{folder}: {len(found)} files for {name}; keep one of {", ".join(p.name for p in found)}')
    return (exact or found or [None])[0]


def shifted(onsets: Onsets, seconds: float) -> Onsets:
    "Onsets moved in time, for systems that report too early or too late; never before 0."
    moved = (onsets.times + seconds).clip(min=0)
    return Onsets.make(moved, onsets.names, onsets.velocities, onsets.vocabulary)


def score_tracks(test: str, predict, shift: float = 0.0, windows=(50, 25)) -> list[dict]:
    "Counts of every track of a test set that has a prediction; `predict` takes a data set and a track."
    dataset, _, split = test.partition('@')
    data, rows, missing = get_dataset(dataset), [], []
    tracks = data.tracks(None if split in ('', 'all') else split)
    for track in progress(tracks, test, leave=False):
        est = predict(data, track)
        if est is None:
            missing.append(track.id)
            continue
        ref, est = data.load_onsets(track, DRUMS5), shifted(est.reduce(DRUMS5), shift)
        for ms in windows:
            facts = dict(test=test, protocol='onset', window_ms=ms, shift_ms=round(1000 * shift), track=track.id)
            rows += [facts | r for r in count(ref, est, ms / 1000).to_dict('records')]
    if missing:
        print(f'peers: no prediction for {", ".join(missing)}', file=sys.stderr)
    return rows


def from_folder(folder: Path, labels: str | None = None):
    def predict(_, track):
        path = prediction_for(folder, track.id)
        return path and read_onsets(path, DRUMS5, labels)

    return predict


def from_system(run):
    def predict(data, track):
        path = Path(data.files(track)['audio'])
        return run(path) if path.is_file() else None

    return predict


def summary(table: pd.DataFrame) -> str:
    "F1 of every test set within 50 ms, with the interval over tracks."
    lines = []
    for test, rows in table[table.window_ms == 50].groupby('test', sort=False):
        low, high = bootstrap(rows)
        by_drum = ', '.join(f'{d} {f:.3f}' for d, f in scores(rows).f1.items())
        lines.append(f'{test}: {micro_f1(rows):.3f} [{low:.3f}, {high:.3f}], {rows.track.nunique()} tracks; {by_drum}')
    return '\n'.join(lines)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tests', nargs='+', help='test sets, such as mdb:full_mix@all')
    parser.add_argument('--predictions', type=Path, help='folder with one file for each track')
    parser.add_argument('--name', help='of the system whose predictions these are')
    parser.add_argument('--labels', choices=['gm', 'td11', 'mdb', 'enst'], help='of text and MIDI files; our codes, gm')
    parser.add_argument('--version', default='unknown', help='of that system')
    parser.add_argument('--run', nargs='+', choices=list(SYSTEMS), default=[], help='systems to run where installed')
    parser.add_argument('--shift', type=float, default=0.0, metavar='S', help='seconds added to every prediction')
    parser.add_argument('--to', type=Path, help='folder of the rows; peers in the results home')
    args = parser.parse_args(argv)
    if bool(args.predictions) == bool(args.run) or bool(args.predictions) != bool(args.name):
        parser.error('give either --run, or --predictions and --name')
    jobs = [(args.name, args.version, from_folder(args.predictions, args.labels))] if args.predictions else []
    try:
        for name in args.run:
            module, run = SYSTEMS[name]
            installed(module, 'leave it out of --run')
            jobs.append((name, version_of(module), from_system(run)))
        for name, version, predict in jobs:
            rows = [r for test in args.tests for r in score_tracks(test, predict, args.shift)]
            if not rows:
                raise DrumnbError(f'{name}: no track of {", ".join(args.tests)} has a prediction')
            table = pd.DataFrame(rows).assign(system=name, version=version)[list(COLUMNS)]
            with atomic_path((args.to or results_home() / 'peers') / f'{name}.csv') as tmp:
                table.to_csv(tmp, index=False, lineterminator='\n')
            print(f'{name} {version}\n{summary(table)}')
    except (DrumnbError, OSError) as e:
        print(f'peers: {e}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
