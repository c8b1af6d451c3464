"""Fetch free music from Debian's packages and cut the stretches without drums.

usage: fetch_music.py FOLDER [--longest SECONDS] [--shortest SECONDS]

FOLDER is `music` in the data home; drumnb/data/drumless_music.csv lists what is cut. Packages, about 1.9 GB in all,
are downloaded one at a time with apt-get, unpacked into a scratch folder and removed again; what is cut already stays
as it is. FOLDER/index.csv names source, author and licence of each piece.
"""

import argparse
import csv
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr

ROOT = Path(__file__).resolve().parents[1]
RATE = 44100
COLUMNS = ('file', 'package', 'path', 'start_s', 'end_s', 'style', 'licence', 'author')


def stretches() -> dict[str, list[dict]]:
    "The rows of the list, by package."
    by_package = defaultdict(list)
    with (ROOT / 'drumnb/data/drumless_music.csv').open(encoding='utf-8', newline='') as file:
        for row in csv.DictReader(file):
            by_package[row['package']].append(row)
    return by_package


def pieces_of(row: dict, longest: float, shortest: float) -> list[dict]:
    "A stretch as pieces of equal length, none longer than `longest`; too short ones are left out."
    start, end = float(row['start_s']), float(row['end_s'])
    n = max(1, math.ceil((end - start) / longest))
    if (end - start) / n < shortest:
        return []
    edges = np.linspace(start, end, n + 1).round(2)
    stem = re.sub(r'[^a-z0-9]+', '-', f'{row["package"]}-{Path(row["path"]).with_suffix("")}'.lower())[-80:].strip('-')
    return [
        {**row, 'file': f'{stem}-{int(a):04d}.flac', 'start_s': float(a), 'end_s': float(b)}
        for a, b in zip(edges[:-1], edges[1:])
    ]


def read(path: Path, start: float, end: float) -> np.ndarray:
    "Part of a recording as one channel at 44.1 kHz."
    with soundfile.SoundFile(path) as file:
        file.seek(min(int(start * file.samplerate), file.frames))
        x = file.read(int((end - start) * file.samplerate), dtype='float32', always_2d=True).mean(1)
        return np.clip(soxr.resample(x, file.samplerate, RATE), -1, 1)


def unpack(package: str, folder: Path):
    "Download a package and unpack it below `folder`."
    command = ['apt-get', '-qq', '-o', 'APT::Sandbox::User=root', 'download', package]
    subprocess.run(command, cwd=folder, check=True)
    archive = next(folder.glob('*.deb'))
    subprocess.run(['dpkg', '-x', archive, folder / 'unpacked'], check=True)
    archive.unlink()


def cut(package: str, pieces: list[dict], folder: Path) -> list[dict]:
    "Fetch a package and cut its pieces; the pieces that were written."
    missing = [p for p in pieces if not (folder / p['file']).exists()]
    if missing:
        with tempfile.TemporaryDirectory() as scratch:
            unpack(package, Path(scratch))
            for p in missing:
                source = Path(scratch) / 'unpacked' / p['path']
                if not source.is_file():
                    print(f'{package}: has no {p["path"]} in this release', file=sys.stderr)
                    continue
                part = folder / f'.{p["file"]}.part'
                soundfile.write(part, read(source, p['start_s'], p['end_s']), RATE, format='FLAC', subtype='PCM_16')
                part.rename(folder / p['file'])
    return [p for p in pieces if (folder / p['file']).exists()]


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description='Fetch free music without drums, to train with.')
    parser.add_argument('folder', type=Path, help='where the pieces go: `music` in the data home')
    parser.add_argument('--longest', type=float, default=30.0, metavar='S', help='length of a piece at most; 30')
    parser.add_argument('--shortest', type=float, default=6.0, metavar='S', help='length of a piece at least; 6')
    args = parser.parse_args(argv)
    if not (shutil.which('apt-get') and shutil.which('dpkg')):
        print('fetch_music: needs apt-get and dpkg (Debian or Ubuntu)', file=sys.stderr)
        return 2
    args.folder.mkdir(parents=True, exist_ok=True)
    index, failed = [], []
    for package, rows in stretches().items():
        pieces = [p for row in rows for p in pieces_of(row, args.longest, args.shortest)]
        try:
            index += cut(package, pieces, args.folder)
        except (subprocess.CalledProcessError, StopIteration):
            failed.append(package)
        print(f'{package}: {sum(p["end_s"] - p["start_s"] for p in index) / 60:.0f} min so far', flush=True)
    with (args.folder / 'index.csv').open('w', encoding='utf-8', newline='') as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        table.writeheader()
        table.writerows(index)
    print(f'{len(index)} pieces in {args.folder}' + (f'; could not be had: {", ".join(failed)}' if failed else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    raise SystemExit(main())
