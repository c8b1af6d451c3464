"""Spoil good files at random: is every one of them read, or refused in one line?

    python tests/fuzz.py --audio 10000 --text 3000 --seed 0

Each spoiled file must be read or raise `DrumnbError`; anything else is printed with its number, and the exit
status is 1. Files that take over ten seconds count as faults as well.
"""

import argparse
import io
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

EXTREMES = [0, 1, 7, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


def mutate(whole: bytes, rng) -> bytes:
    "One to four changes: bytes flipped, cut, inserted, swapped, or a number of the header set to an extreme."
    raw = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, min(len(raw), 128) if rng.random() < 0.7 else len(raw))) if raw else 0
        kind = rng.integers(0, 5)
        if kind == 0 and raw:
            raw[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del raw[at : at + int(rng.integers(1, 1 + max(1, len(raw) // 2)))]
        elif kind == 2:
            raw[at:at] = rng.bytes(int(rng.integers(1, 16)))
        elif kind == 3 and len(raw) > at + 8:
            raw[at : at + 4], raw[at + 4 : at + 8] = raw[at + 4 : at + 8], raw[at : at + 4]
        elif len(raw) > at + 4:
            struct.pack_into(('<I', '>I')[int(rng.integers(0, 2))], raw, at, EXTREMES[int(rng.integers(0, 10))])
    return bytes(raw)


def sounds() -> dict:
    "Good audio files of every kind, 0.3 s each."
    import soundfile

    x, made = np.random.default_rng(0).normal(0, 0.1, 13230).clip(-1, 1), {}
    for kind in ('wav', 'aiff', 'au', 'w64', 'caf', 'flac', 'ogg', 'mp3', 'rf64'):
        out = io.BytesIO()
        soundfile.write(out, x, 44100, format=kind.upper())
        made[f'x.{kind}'] = out.getvalue()
    return made


def texts(folder: Path) -> dict:
    "Good annotations of every kind, with the functions that read them."
    from drumnb import onset_files as files
    from drumnb.midi_files import read_midi, write_midi
    from drumnb.notation.formats import read_transcription
    from drumnb.onsets import Onsets
    from drumnb.tatum.beats import read_beats

    onsets = Onsets.make(np.arange(8) * 0.5, ['KD', 'SD'] * 4, np.linspace(0.1, 1, 8))
    files.write_csv(folder / 'x.csv', onsets)
    files.write_jams(folder / 'x.jams', onsets, 5.0)
    write_midi(folder / 'x.mid', onsets)
    (folder / 'x.beats').write_text(''.join(f'{0.5 * i:.3f}\t{i % 4 + 1}\n' for i in range(16)))
    readers = {
        'x.csv': files.read_csv,
        'x.jams': files.read_jams,
        'x.mid': read_midi,
        'x.beats': read_beats,
        'y.csv': read_transcription,
    }
    (folder / 'y.csv').write_bytes((folder / 'x.csv').read_bytes())
    return {name: ((folder / name).read_bytes(), read) for name, read in readers.items()}


def attempt(path: Path, read) -> str:
    "'read', 'refused', or the fault."
    from drumnb.core import DrumnbError

    start = time.monotonic()
    try:
        read(path)
        said = 'read'
    except DrumnbError:
        said = 'refused'
    except Exception as e:
        return f'{type(e).__name__}: {str(e)[:80]}'
    return said if time.monotonic() - start < 10 else 'slow'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--audio', type=int, default=1000)
    parser.add_argument('--text', type=int, default=500)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    from drumnb.audio import load

    faults = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for what, n, good in (
            ('audio', args.audio, {k: (v, load) for k, v in sounds().items()}),
            ('text', args.text, texts(scratch)),
        ):
            names, counts, start = list(good), Counter(), time.monotonic()
            for i in range(n):
                name = names[i % len(names)]
                whole, read = good[name]
                path = scratch / f'm{name}'
                path.write_bytes(mutate(whole, np.random.default_rng((args.seed, i))))
                said = attempt(path, read)
                counts[said if said in ('read', 'refused') else 'fault'] += 1
                if said not in ('read', 'refused'):
                    faults += 1
                    print(f'{what} {i} ({name}): {said}', flush=True)
            print(f'{what}: {dict(counts)} in {time.monotonic() - start:.0f} s', flush=True)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
