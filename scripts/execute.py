"""Execute chapters into a folder with papermill; a chapter whose inputs have not changed is left alone."""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CELL_SECONDS = 900  # a cell that takes longer hangs
MANY = 4  # chapters for which it pays to import the slow libraries beforehand
USUAL_SECONDS = 12  # of a chapter that was never executed here, on an idle core
SECONDS = '.seconds.json'  # what each chapter took the last time, in the folder of the executed chapters

BOOK_DEPENDS = ('results', 'thesis/published')  # what `make figures` and `make thesis` name with --depends


class Keys:
    "Hashes of notebooks together with the library and the files that they read."

    def __init__(self, root: Path, depends: list, figures: str):
        files = sorted((root / 'drumnb').rglob('*.py'))
        for path in (root / d for d in depends):
            files += sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
        self.shared = hashlib.sha256(figures.encode())
        for path in files:
            self.add(self.shared, path)

    @staticmethod
    def add(digest, path: Path):
        digest.update(path.name.encode())
        if path.exists():
            digest.update(path.read_bytes())

    def of(self, notebook: Path) -> str:
        digest = self.shared.copy()
        self.add(digest, notebook)
        return digest.hexdigest()


def key_of(notebook: Path, depends: list[Path]) -> str:
    return Keys(ROOT, depends, os.environ.get('DRUMNB_FIGURES', '')).of(notebook)


def execute(notebook: Path, folder: Path, depends: list[Path]) -> bool:
    "Run one notebook in its own folder; False, with one line on standard error, when it fails."
    import papermill

    output, stamp = folder / notebook.name, folder / f'.{notebook.stem}.key'
    key = key_of(notebook, depends)
    if output.exists() and stamp.exists() and stamp.read_text() == key:
        print(f'{output}: up to date', flush=True)
        return True
    stamp.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    print(f'Executing {notebook.name}', flush=True)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            cwd=str(notebook.parent),
            kernel_name='python3',
            progress_bar=sys.stderr.isatty(),
            execution_timeout=CELL_SECONDS,
        )
    except Exception as error:
        said = [line for line in str(error).splitlines() if line.strip()]
        print(f'{notebook}: {said[-1] if said else type(error).__name__}; see {output}', file=sys.stderr, flush=True)
        return False
    stamp.write_text(key)
    return True


def execute_counted(notebook: Path, folder: Path, depends: list[Path], preload: bool) -> tuple:  # good, KiB
    "The same, and the memory of the largest process that this one has started."
    import preloaded_kernels

    if preload:
        preloaded_kernels.preload()
    good, started = execute(notebook, folder, depends), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return good, max(started, preloaded_kernels.most_memory)


class Progress:
    "Says after each chapter how far it is, how long the others will take, and how much memory was used."

    def __init__(self, notebooks: list[Path], folder: Path, workers: int):
        self.path, self.workers, self.lock = folder / SECONDS, workers, threading.Lock()
        self.seconds = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.left, self.all, self.started = {n.stem for n in notebooks}, len(notebooks), time.monotonic()
        self.expected, self.taken = 0.0, 0.0  # seconds of the chapters that are done: before and now
        self.most = 0  # KiB of the largest process

    def usual(self, stem: str) -> float:
        return self.seconds.get(stem, USUAL_SECONDS)

    def slowest_first(self, notebooks: list[Path]) -> list[Path]:
        "With several workers, the longest chapters must not come last."
        return sorted(notebooks, key=lambda n: (-self.usual(n.stem), n.name))

    def remaining(self) -> float:
        "Seconds, corrected by how this run compares with the last."
        pace = self.taken / self.expected if self.expected else 1.0
        return sum(map(self.usual, self.left)) * pace / self.workers

    def run(self, notebook: Path, execute) -> bool:
        before = time.monotonic()
        good, most = execute(notebook)
        with self.lock:
            took, self.most = time.monotonic() - before, max(self.most, most)
            self.expected, self.taken = self.expected + self.usual(notebook.stem), self.taken + took
            self.left.discard(notebook.stem)
            if good and took > 1 and self.all > 1:  # not what was up to date, nor a single chapter
                self.seconds[notebook.stem] = round(took, 1)
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text(json.dumps(self.seconds, indent=0))
            if self.all > 1:
                self.say()
        return good

    def say(self):
        past = time.monotonic() - self.started
        print(
            f'{self.all - len(self.left)} of {self.all} chapters, {past / 60:.1f} min, about '
            f'{self.remaining() / 60:.1f} min to go; largest process {self.most / 2**20:.1f} GiB',
            flush=True,
        )


def remove_left_over(folder: Path, kept: list[Path]):
    "Chapters that no notebook makes any more."
    for path in folder.glob('[0-9][0-9]_*.ipynb'):
        if path.name not in {n.name for n in kept}:
            path.unlink()
            print(f'{path}: removed, since its notebook is gone')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('notebooks', nargs='+', type=Path)
    parser.add_argument('--to', type=Path, required=True, help='folder of the executed notebooks')
    parser.add_argument('--depends', nargs='*', type=Path, default=[], help='files and folders that the chapters read')
    parser.add_argument('--workers', type=int, default=1, help='notebooks at a time')
    parser.add_argument(
        '--all', action='store_true', help='these are all the notebooks: remove what others left in the folder'
    )
    args = parser.parse_args()
    absent = [str(n) for n in args.notebooks if not n.exists()]
    if absent:
        parser.error(f'no such notebook: {", ".join(absent)}')
    if args.all and args.to.is_dir():
        remove_left_over(args.to, args.notebooks)
    started, progress = time.monotonic(), Progress(args.notebooks, args.to, args.workers)
    given = args.to, args.depends, len(args.notebooks) >= MANY
    if args.workers == 1:
        done = [progress.run(n, lambda n: execute_counted(n, *given)) for n in args.notebooks]
    else:
        # Processes, since chapters run beside one another; each imports papermill once
        made = dict(mp_context=multiprocessing.get_context('spawn'))
        with ProcessPoolExecutor(args.workers, **made) as pool, ThreadPoolExecutor(args.workers) as threads:

            def apart(notebook):
                return pool.submit(execute_counted, notebook, *given).result()

            order = progress.slowest_first(args.notebooks)
            try:
                done = list(threads.map(lambda n: progress.run(n, apart), order))
            except BrokenExecutor:
                print('a process was killed; run it again, chapters that are done stay', file=sys.stderr)
                return 1
    if len(done) > 1:
        print(f'{sum(done)} of {len(done)} chapters in {args.to}, {time.monotonic() - started:.0f} s')
    return 0 if all(done) else 1


if __name__ == '__main__':
    raise SystemExit(main())
