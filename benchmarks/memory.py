"""Peak memory and time of `prepare`: much audio against a tenth of it, each in a process of its own.

python benchmarks/memory.py                         1 and 10 hours of noise, with 1 and with 2 workers
python benchmarks/memory.py --source rendered       2 and 20 hours of drums, composed and played while they are prepared
python benchmarks/memory.py --hours 0.1 1 --workers 1
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
import numpy as np  # noqa: E402  after the threads are set

TRACK_SECONDS = 300.0


@dataclass(frozen=True)
class NoiseTrack:
    """A track of noise, made when it is asked for: as much audio as one likes, without files.

    It has what `prepare` uses of a `Track`.
    """

    number: int
    split: str = 'train'
    dataset: str = 'noise'
    meta: tuple = ()

    @property
    def id(self):
        return f'noise-{self.number:04d}'

    @property
    def group(self):
        return f'noise:{self.id}'

    @property
    def duration(self):
        return TRACK_SECONDS

    def fingerprint(self):
        return f'{self.id}-{TRACK_SECONDS}'

    def audio(self):
        return np.random.default_rng(self.number).standard_normal(int(TRACK_SECONDS * 44100), np.float32) * np.float32(
            0.1
        )

    def stems(self):
        return {}

    def onsets(self, vocabulary=('KD', 'SD', 'TT', 'HH', 'CY')):
        from drumnb.onsets import Onsets

        times = np.arange(0.5, TRACK_SECONDS - 0.5, 0.25)
        return Onsets.make(times, np.arange(len(times)) % len(vocabulary), None, vocabulary)


@dataclass(frozen=True)
class RenderedTrack(NoiseTrack):
    """A track that is composed and played on a computed kit when it is asked for, without effects and band: the
    cheapest sound that is made as the data sets of this repository make theirs."""

    dataset: str = 'rendered'

    def part(self):
        from drumnb.core import rng_for
        from drumnb.rendering.drum_parts import compose_part

        return compose_part(rng_for('benchmark', self.number), 'train', TRACK_SECONDS)

    def audio(self):
        from drumnb.core import rng_for
        from drumnb.rendering.kits import procedural_kit, render_hits

        return render_hits(
            self.part().hits,
            [procedural_kit(self.number % KITS)],
            rng_for('benchmark', self.number, 'sound'),
            TRACK_SECONDS,
        )

    def onsets(self, vocabulary=('KD', 'SD', 'TT', 'HH', 'CY')):
        return self.part().hits.onsets(vocabulary)


SOURCES = dict(noise=(NoiseTrack, 'memory', [1, 10]), rendered=(RenderedTrack, 'memory-rendered', [2, 20]))
KITS = 8


def prepare_hours(source: str, hours: float, workers: int):
    """The child's work: prepare that many hours into a cache that is thrown away, and say what memory it started
    from and ended with."""
    import psutil

    from drumnb.experiments.features import prepare
    from drumnb.spectrograms import LogSpec

    tracks = [SOURCES[source][0](i) for i in range(round(hours * 3600 / TRACK_SECONDS))]
    for t in tracks[: KITS if source == 'rendered' else 0]:
        t.audio()  # kits are computed once and for all
    before, start, worked = psutil.Process().memory_info().rss, time.perf_counter(), work_seconds()
    with tempfile.TemporaryDirectory() as folder:
        store = prepare(tracks, LogSpec(), workers=workers, cache=Path(folder))
        on_disk = sum(p.stat().st_size for p in Path(folder).rglob('*') if p.is_file())
        assert len(store) == len(tracks)
    print(
        json.dumps(
            dict(
                hours=len(tracks) * TRACK_SECONDS / 3600,
                before=before,
                on_disk=on_disk,
                seconds=time.perf_counter() - start,
                processor_seconds=work_seconds() - worked,
            )
        )
    )


def work_seconds() -> float:
    "Processor time of this process and of its children that have ended."
    return sum(os.times()[:4])


def family_memory(process) -> int:
    "Resident bytes of a process and its descendants; pages they share count in each."
    import psutil

    total = 0
    try:
        for p in [process, *process.children(recursive=True)]:
            try:
                total += p.memory_info().rss
            except psutil.NoSuchProcess:
                pass
    except psutil.NoSuchProcess:
        pass
    return total


def measure(source: str, hours: float, workers: int) -> dict:
    "Run `prepare_hours` in a process of its own and watch it and its workers twenty times a second."
    import psutil

    child = subprocess.Popen(
        [sys.executable, __file__, '--child', source, str(hours), str(workers)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'DRUMNB_QUIET': '1'},
    )
    process, peak = psutil.Process(child.pid), 0
    while child.poll() is None:
        peak = max(peak, family_memory(process))
        time.sleep(0.05)
    if child.returncode:
        sys.exit(
            f'prepare of {hours} hours with {workers} workers failed with status {child.returncode}; its message is '
            'above'
        )
    told = json.loads(child.stdout.read())

    def mib(n):
        return round(n / 2**20, 1)

    return dict(
        source=source,
        hours=round(told['hours'], 3),
        workers=workers,
        peak_mib=mib(peak),
        imports_mib=mib(told['before']),
        work_mib=mib(peak - told['before']),
        cache_on_disk_mib=mib(told['on_disk']),
        seconds=round(told['seconds'], 1),
        processor_seconds=round(told['processor_seconds'], 1),
        real_time_factor=float(f"{told['hours'] * 3600 / told['seconds']:.3g}"),
        processor_factor=float(f"{told['hours'] * 3600 / told['processor_seconds']:.3g}"),
    )


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--source', choices=list(SOURCES), default='noise')
    parser.add_argument('--hours', type=float, nargs='+', help='1 and 10 of noise, 2 and 20 rendered by default')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    parser.add_argument('--child', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        prepare_hours(args.child[0], float(args.child[1]), int(args.child[2]))
        return 0
    rows = []
    for workers in args.workers:
        for hours in sorted(args.hours or SOURCES[args.source][2]):
            print(f'preparing {hours:g} hours with {workers} workers', file=sys.stderr)
            row = measure(args.source, hours, workers)
            first = next((r for r in rows if r['workers'] == workers), row)
            per_hour = row['processor_seconds'] / row['hours'] / (first['processor_seconds'] / first['hours'])
            rows.append(
                row | dict(peak_ratio=round(row['peak_mib'] / first['peak_mib'], 3), time_ratio=round(per_hour, 3))
            )
    write_results(
        SOURCES[args.source][1],
        rows,
        args.to,
        track_seconds=TRACK_SECONDS,
        meaning='against the run of the fewest hours with as many workers: '
        'peak_ratio, of peak_mib; time_ratio, of processor seconds for an hour of audio (1 is linear)',
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
