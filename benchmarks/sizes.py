"""How large an installation is, and how long its command takes: packages, megabytes, seconds, before and now.

    python benchmarks/sizes.py        # some minutes; needs a network or a folder of wheels for pip

The wheel is installed into an empty environment, then with `[sheet]`: these rows are `installed`. What larger extras
need is `added up` from the environment that runs this: the distributions that a requirement leads to, and the space of
their files. Neither counts pip and setuptools. The rows `before` are of version 0.2, which was only installed whole.
"""

import argparse
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
ROOT = RESULTS.parents[1]
BEFORE = dict(packages=134, disk=6700, download=3400, installation=840, table=(4.8, 6.7))
UNITS = dict(packages='', disk='MB', download='MB', installation='s')
EXTRAS = ('study', 'book', 'dev')


def row(install: str, measure: str, values, source: str) -> dict:
    "A line of the table; several values become a median and a range."
    values = sorted(values) if isinstance(values, (list, tuple)) else [values]
    middle = round(statistics.median(values), 3) if len(values) != 2 else None
    ends = dict(least=round(values[0], 3), most=round(values[-1], 3))
    return dict(install=install, measure=measure, unit=UNITS.get(measure, 's'), median=middle, **ends, source=source)


def space(files) -> int:
    "Bytes on disk, each file in whole blocks."
    return sum(s.st_blocks * 512 for p in files if (s := Path(p).lstat()))


def needed(name: str, extras=(), found=None) -> dict:
    "Every distribution that a requirement leads to, by name."
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found, name = {} if found is None else found, canonicalize_name(name)
    todo = {e for e in (*extras, '') if (name, e) not in found}
    try:
        d = distribution(name)
    except PackageNotFoundError:  # a requirement that this environment meets in another way
        return found
    found.update({(name, e): d for e in todo})
    for line in d.requires or [] if todo else []:
        r = Requirement(line)
        if r.marker is None or any(r.marker.evaluate(dict(extra=e)) for e in todo):
            needed(r.name, r.extras, found)
    return found


def added_up(extra: str, own: int) -> list[dict]:
    "Packages and megabytes of an extra; `own` is the space of drumnb itself, which is not installed here as a wheel."
    there = {name: d for (name, _), d in needed('drumnb', [extra]).items() if name != 'drumnb'}
    size = own + sum(space(p for f in d.files or [] if (p := Path(d.locate_file(f))).exists()) for d in there.values())
    name = f'drumnb[{extra}]' if extra else 'drumnb'
    return [row(name, 'packages', 1 + len(there), 'added up'), row(name, 'disk', round(size / 1e6), 'added up')]


def build(scratch: Path) -> Path:
    "The wheel of what is committed."
    source = scratch / 'source'
    source.mkdir()
    archive = subprocess.run(['git', 'archive', 'HEAD'], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(['tar', 'x', '-C', source], input=archive, check=True)
    words = ['wheel', '--quiet', '--no-deps', '--no-build-isolation', '-w', scratch, source]
    subprocess.run([sys.executable, '-m', 'pip', *words], check=True)
    return next(scratch.glob('*.whl'))


def forget(folder: Path):
    "Take the files of a folder out of the memory that the system keeps of its disk."
    for p in folder.rglob('*'):
        if p.is_file():
            with p.open('rb') as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def hurry():
    "Come before other work of the machine, where that is allowed."
    with contextlib.suppress(PermissionError):
        os.nice(-15)


def timed(words, cwd: Path, first=None) -> tuple[float, float]:
    "Seconds by the clock and of the processor that a command takes in a process of its own."
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'} | dict(DRUMNB_QUIET='1')
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(list(map(str, words)), cwd=cwd, env=env, check=True, capture_output=True, preexec_fn=first)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def installed(wheel: Path, venv: Path, extra: str) -> list[dict]:
    "Packages, megabytes and seconds of an installation by pip; an environment that is there is added to."
    if new := not venv.exists():
        subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    pip = [venv / 'bin' / 'pip', '--disable-pip-version-check']
    seconds, _ = timed([*pip, 'install', '--no-input', '-c', ROOT / 'constraints.txt', f'{wheel}{extra}'], venv)
    listed = subprocess.run([*pip, 'list', '--format=freeze'], check=True, capture_output=True, text=True).stdout
    count = len([line for line in listed.splitlines() if line.partition('==')[0] not in ('pip', 'setuptools')])
    tools = space(p for d in venv.glob('lib/*/site-packages/*') if d.name.startswith(('pip', 'setuptools', 'pkg_res'))
                  for p in d.rglob('*'))  # fmt: skip
    size, name = (space(venv.rglob('*')) - tools) / 1e6, f'drumnb{extra}'
    found = dict(packages=count, disk=round(size), **(dict(installation=round(seconds)) if new else {}))
    return [row(name, measure, value, 'installed') for measure, value in found.items()]


def waits(venv: Path, song: Path, repeats: int) -> list[dict]:
    "Seconds of the command: its files read from the disk (cold), out of memory (warm), and of the processor."
    commands = {
        '--help': ['--help'],
        '10 s to CSV': ['transcribe', song, '-o', song.parent / 'out', '-f', 'csv', '--force'],
    }
    rows = []
    for name, words in commands.items():
        words = [venv / 'bin' / 'drumnb', *words]
        cold = []
        for _ in range(repeats):
            forget(venv)
            cold.append(timed(words, song.parent, hurry)[0])
        warm, processor = zip(*(timed(words, song.parent, hurry) for _ in range(repeats)))
        for what, values in (('cold', cold), ('warm', warm), ('processor', processor)):
            rows.append(row('drumnb', f'{name}, {what}', values, 'installed'))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    args = parser.parse_args()
    from transcribe import write_song

    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        wheel, venv = build(scratch), scratch / 'venv'
        write_song(scratch / 'ten.wav', 10)
        base = installed(wheel, venv, '')
        own = space(venv.glob('lib/*/site-packages/drumnb*/**/*'))
        times = waits(venv, scratch / 'ten.wav', args.repeats)
        rows = [row('before', '10 s to CSV, cold' if k == 'table' else k, v, 'version 0.2') for k, v in BEFORE.items()]
        rows += [*base, *times, *installed(wheel, venv, '[sheet]')]
    for extra in ('', 'sheet', *EXTRAS):
        rows += added_up(extra, own)
    write_results('sizes', rows, args.to, repeats=args.repeats)


if __name__ == '__main__':
    main()
