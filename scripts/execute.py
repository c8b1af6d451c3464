"""Execute chapters into a folder with papermill; a chapter whose inputs have not changed is left alone."""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CELL_SECONDS = 900  # a cell that takes longer hangs
SLOW_FIRST = ('48_', '46_', '70_', '15_', '54_')  # with several workers, the longest chapters must not come last


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


def execute_apart(notebook: Path, args: argparse.Namespace) -> bool:
    "Run one notebook in a process of its own."
    depends = ['--depends', *map(str, args.depends)] if args.depends else []
    return subprocess.run([sys.executable, __file__, str(notebook), '--to', str(args.to), *depends]).returncode == 0


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
    started = time.monotonic()
    if args.workers > 1:
        order = sorted(args.notebooks, key=lambda n: (not n.name.startswith(SLOW_FIRST), n.name))
        with ThreadPoolExecutor(args.workers) as pool:
            done = list(pool.map(lambda n: execute_apart(n, args), order))
    else:
        done = [execute(n, args.to, args.depends) for n in args.notebooks]
    if len(done) > 1:
        print(f'{sum(done)} of {len(done)} chapters in {args.to}, {time.monotonic() - started:.0f} s')
    return 0 if all(done) else 1


if __name__ == '__main__':
    raise SystemExit(main())
