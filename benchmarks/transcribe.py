"""From a file to a table: how many times faster than it plays, and how much memory an hour takes, on one thread.

    python benchmarks/transcribe.py                      4-minute songs as WAV and MP3, files of one and three hours
    python benchmarks/transcribe.py --minutes 4          the songs only
    python benchmarks/transcribe.py --model PATH         with a model of yours instead of the shipped weights

Without a model and without shipped weights, networks of the default shape with random weights are timed: they cost what
trained ones cost.
The column `ratio` is the processor time as a multiple of that of the first model on the same file, in the same run.
ADTOF's PyTorch port is a row where `adtof_pytorch` is installed.
The row `four times` is a network with about four times the work of the default, to show how much room there is for a
larger one.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
import numpy as np  # noqa: E402  after the threads are set

SIZES = {
    'default': dict(front='conv1d', channels=[128, 128], hidden=96, layers=2),
    'four times': dict(front='conv1d', channels=[256, 256], hidden=208, layers=2),
}


def write_song(path: Path, seconds: float):
    "A rendered drum part with noise for a band, repeated to the length asked for, in stereo, block by block."
    import soundfile

    from drumnb.transcription.weights import test_song

    loop = test_song(20.0)
    stereo = np.stack([loop, 0.8 * loop], 1) + 0.02 * np.random.default_rng(0).standard_normal((len(loop), 2)).astype(
        np.float32
    )
    with soundfile.SoundFile(path, 'w', 44100, 2) as f:
        left = int(seconds * 44100)
        while left > 0:
            f.write(stereo[:left])
            left -= len(stereo)


def models(folder: Path, given: str | None) -> dict:
    "Name to path of weights."
    from drumnb.models.registry import load_model, make_model, save_model
    from drumnb.spectrograms import LogSpec
    from drumnb.transcription.transcribe import shipped_graph, shipped_weights

    meta = dict(features=LogSpec(mul=3, rms=0.1).to_dict(), threshold=0.35)
    found = {n: save_model(folder / n.replace(' ', '-'), make_model('crnn', **c), **meta) for n, c in SIZES.items()}
    trained = Path(given) if given else (shipped_weights() or [None])[-1]
    if trained:
        load_model(trained)
        graph = {f'{trained.stem}, ONNX Runtime': g} if (g := shipped_graph(trained)) != trained else {}
        found = {**graph, f'{trained.stem}, PyTorch': trained, **found}
    return found | (dict(ADTOF='adtof') if importlib.util.find_spec('adtof_pytorch') else {})


def drumnb_onsets(path: str, model: str) -> int:
    "Read, transcribe, score, write; the number of onsets."
    from drumnb.core import DrumnbError
    from drumnb.notation.batch_transcription import transcribe_file

    with tempfile.TemporaryDirectory() as out:
        status, message = transcribe_file(path, out, ('csv',), model)
        if status != 'done':
            raise DrumnbError(message)
        return sum(1 for _ in open(next(Path(out).glob('*.csv')))) - 1


def adtof_onsets(path: str, model: str) -> int:
    "The same by ADTOF, to MIDI."
    from peers import run_adtof

    return len(run_adtof(Path(path)))


def peak_mib() -> float:
    "The most memory this process held; what getrusage tells begins with that of the parent."
    status = Path('/proc/self/status')
    if status.exists():
        return int(re.search(r'VmHWM:\s+(\d+)', status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(path: str, first: str, model: str):
    "The whole of a user's wait but the imports, which a short first file brings in."
    onsets = adtof_onsets if model == 'adtof' else drumnb_onsets
    with contextlib.redirect_stdout(sys.stderr):
        onsets(first, model)
        wall, cpu = time.perf_counter(), time.process_time()
        rows = onsets(path, model)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps(dict(wall=wall, cpu=cpu, rows=rows, peak_mib=peak_mib())))


def cold(path: Path, model: Path, repeats: int = 3) -> float:
    "Processor seconds of the whole command, imports included, from a song of ten seconds to its table."
    code = f"from drumnb.cli import main; main(['transcribe', {str(path)!r}, '-o', {str(path.parent / 'cold')!r}, "
    code += f"'-f', 'csv', '--force', '--model', {str(model)!r}])"
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def measure(path: Path, model: Path, repeats: int) -> dict:
    "The quickest of several processes, and the most memory any of them held."
    runs = [
        json.loads(
            subprocess.run(
                [sys.executable, __file__, '--child', str(path), str(path.parent / 'ten.wav'), str(model)],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, 'DRUMNB_QUIET': '1'},
            ).stdout.splitlines()[-1]
        )
        for _ in range(repeats)
    ]
    return dict(
        wall=min(r['wall'] for r in runs),
        cpu=min(r['cpu'] for r in runs),
        rows=runs[0]['rows'],
        peak_mib=max(r['peak_mib'] for r in runs),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, nargs='+', default=[4, 60, 180])
    parser.add_argument('--repeats', type=int, default=2)
    parser.add_argument('--model')
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(*args.child)
    import soundfile

    rows, reference = [], {}  # file → processor seconds of the first model
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        known = models(scratch, args.model)
        write_song(scratch / 'ten.wav', 10)
        for name, model in list(known.items())[:2]:
            print(f'cold, 10 s: {cold(scratch / "ten.wav", model):.2f} processor seconds with {name}', flush=True)
        for minutes in args.minutes:
            song = scratch / f'{minutes:g}.wav'
            write_song(song, 60 * minutes)
            jobs = (
                [(n, m, song) for n, m in known.items()]
                if minutes <= 10
                else [(n, m, song) for n, m in list(known.items())[:1]]
            )
            if minutes <= 10:
                x, rate = soundfile.read(song, dtype='float32')
                with soundfile.SoundFile(
                    scratch / f'{minutes:g}.mp3', 'w', rate, 2, 'MPEG_LAYER_III', format='MP3'
                ) as f:
                    f.write(x)
                jobs.append((*next(iter(known.items())), scratch / f'{minutes:g}.mp3'))
            for name, model, file in jobs:
                r = measure(file, model, args.repeats if minutes <= 10 else 1)
                rows.append(
                    dict(
                        file=f'{minutes:g} min {file.suffix[1:]}',
                        model=name,
                        real_time_factor=round(60 * minutes / r['wall'], 1),
                        processor_factor=round(60 * minutes / r['cpu'], 1),
                        processor_seconds=round(r['cpu'], 2),
                        peak_mib=round(r['peak_mib']),
                        onsets=r['rows'],
                        ratio=round(r['cpu'] / reference.setdefault(file, r['cpu']), 2),
                    )
                )
            song.unlink()
    write_results('transcribe', rows, args.to, goals=dict(processor_factor=60, peak_mib_of_an_hour=1024))


if __name__ == '__main__':
    sys.exit(main())
