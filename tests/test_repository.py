"""The repository itself: notebooks, modules, figures and settings agree and are clean, and the check would notice if
not."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location('check_sync', ROOT / 'scripts/check_sync.py')
check_sync = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_sync)


@pytest.mark.parametrize('check', check_sync.CHECKS, ids=lambda check: check.__name__)
def test_repository(check):
    problems = check(ROOT)
    if problems:
        pytest.fail('\n'.join([f'{len(problems)} problems', *problems]), pytrace=False)


@pytest.mark.parametrize('script', ['setup.sh', 'debian-packages.sh', '../.ci/run'])
def test_shell_scripts_parse(script):
    run = subprocess.run(['bash', '-n', str(ROOT / 'scripts' / script)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_makefile_describes_its_targets():
    run = subprocess.run(['make', '--no-print-directory'], cwd=ROOT, capture_output=True, text=True)
    for target in ('study', 'test', 'lab', 'figures', 'export', 'clean-notebooks', 'debian'):
        assert f'make {target} ' in run.stdout


def test_set_up_refuses_an_old_python(tmp_path):
    "The message names what was looked for and what to do; nothing is made."
    old = tmp_path / 'python'
    old.write_text('#!/bin/sh\nexit 1\n')
    old.chmod(0o755)
    run = subprocess.run(
        ['bash', str(ROOT / 'scripts/setup.sh'), str(tmp_path / 'venv')],
        capture_output=True,
        text=True,
        env={'PATH': '/usr/bin:/bin', 'PYTHON': str(old)},
    )
    assert run.returncode == 1 and not (tmp_path / 'venv').exists()
    assert '3.11 or newer' in run.stderr and str(old) in run.stderr and len(run.stderr.splitlines()) == 1


# ---- a small project of the same form, to break in every way that the check should notice


def cell(kind: str, text: str, number: int, **extra) -> dict:
    made = dict(
        cell_type=kind, id=f'cell{number}', metadata=extra.get('metadata', {}), source=text.splitlines(keepends=True)
    )
    return made | (dict(execution_count=None, outputs=extra.get('outputs', [])) if kind == 'code' else {})


def write_notebook(path: Path, cells: list[dict]):
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}
    text = json.dumps(
        dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5), indent=1, sort_keys=True, ensure_ascii=False
    )
    path.write_text(text + '\n', encoding='utf-8')


def chapter(name: str, code: str, opening: str = '# Title\n> What it is for.') -> list[dict]:
    return [
        cell('markdown', opening, 0),
        cell('code', f'#| default_exp {name}', 1),
        cell('code', code, 2),
        cell('code', 'assert True', 3),
    ]


@pytest.fixture(scope='module')
def exported(tmp_path_factory) -> Path:
    "Two chapters, a template, their modules as nbdev writes them, and git."
    root = tmp_path_factory.mktemp('project') / 'project'
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', '#| export\ndef one():\n    "One."\n    return 1'))
    write_notebook(root / 'nbs/01_second.ipynb', chapter('second', '#| export\nfrom drumnb.first import one'))
    write_notebook(
        root / 'nbs/experiments/run.ipynb',
        [
            cell('markdown', '# Run\n> One experiment.', 0),
            cell('code', 'seed = 0\nepochs = 1', 1, metadata={'tags': ['parameters']}),
        ],
    )
    shutil.copy(ROOT / 'settings.ini', root)
    shutil.copy(ROOT / 'constraints.txt', root)
    shutil.copy(ROOT / 'nbs/parts.csv', root / 'nbs')
    (root / 'drumnb').mkdir()
    subprocess.run(
        [sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'],
        cwd=root,
        check=True,
        capture_output=True,
    )
    subprocess.run(['git', 'init', '-q'], cwd=root, check=True)
    return root


@pytest.fixture
def project(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / 'project'))


def problems_of(root: Path) -> str:
    return '\n'.join(line for check in check_sync.CHECKS for line in check(root))


def test_a_sound_project_has_no_problem(project):
    assert problems_of(project) == ''


def test_a_chapter_of_prose_may_use_the_whole_library(project):
    write_notebook(
        project / 'nbs/02_before.ipynb',
        [
            cell('markdown', '# Before\n> It shows what is built later.', 0),
            cell('code', 'from drumnb.second import one\none()', 1),
        ],
    )
    assert problems_of(project) == ''


def edit_module(root):
    with open(root / 'drumnb/first.py', 'a') as f:
        f.write('\ntwo = 2\n')


def leave_an_orphan(root):
    (root / 'drumnb/orphan.py').write_text('x = 1\n')


def drop_a_module(root):
    (root / 'drumnb/second.py').unlink()


def stale_index(root):
    (root / 'drumnb/_modidx.py').write_text('d = {}\n')


def break_an_import(root):
    (root / 'drumnb/first.py').write_text('import no_such_package\n')


def keep_outputs(root):
    cells = chapter('first', '#| export\ndef one():\n    "One."\n    return 1')
    cells[2]['outputs'] = [dict(output_type='stream', name='stdout', text=['1\n'])]
    write_notebook(root / 'nbs/00_first.ipynb', cells)


def keep_metadata(root):
    cells = chapter('first', '#| export\ndef one():\n    "One."\n    return 1')
    cells[2]['metadata'] = {'collapsed': True}
    write_notebook(root / 'nbs/00_first.ipynb', cells)


def untag(root):
    write_notebook(
        root / 'nbs/experiments/run.ipynb',
        [cell('markdown', '# Run\n> One experiment.', 0), cell('code', 'seed = 0', 1)],
    )


def crowd_parameters(root):
    tagged = cell('code', 'seed = 0; epochs = 1', 1, metadata={'tags': ['parameters']})
    write_notebook(root / 'nbs/experiments/run.ipynb', [cell('markdown', '# Run\n> One experiment.', 0), tagged])


def import_upwards(root):
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', 'from drumnb import second'))


def import_by_string(root):
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', "MODULE = 'drumnb.second'"))


def reach_inside(root):
    write_notebook(
        root / 'nbs/01_second.ipynb', chapter('second', '#| export\nfrom drumnb import first\nfirst._hidden()')
    )


def import_a_private_name(root):
    write_notebook(root / 'nbs/01_second.ipynb', chapter('second', '#| export\nfrom drumnb.first import _hidden'))


def number_twice(root):
    write_notebook(root / 'nbs/01_third.ipynb', [cell('markdown', '# Third\n> The same number.', 0)])


def move_out_of_the_part(root):
    write_notebook(root / 'nbs/12_second.ipynb', chapter('second', '#| export\none = 1'))


def name_it_otherwise(root):
    write_notebook(root / 'nbs/03_third.ipynb', chapter('fourth', '#| export\none = 1'))


def forget_the_summary(root):
    write_notebook(root / 'nbs/02_prose.ipynb', [cell('markdown', '# Title only', 0)])


def grow(root):
    write_notebook(root / 'nbs/02_prose.ipynb', [cell('markdown', '# Title\n> Long.\n' + 'x' * 1_000_001, 0)])


def write_a_long_cell(root):
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', '#| export\n' + 'print(1)\n' * 60))


def define_twice(root):
    write_notebook(root / 'nbs/01_second.ipynb', chapter('second', '#| export\ndef one():\n    "Two."\n    return 2'))


def write_a_long_line(root):
    shutil.copy(ROOT / 'pyproject.toml', root)
    (root / 'long.py').write_text('x = 1  # ' + 'word ' * 30 + '\n')


def leave_it_unformatted(root):
    shutil.copy(ROOT / 'pyproject.toml', root)
    (root / 'plain.py').write_text('x = [1,2]\n')


def export_too_much(root):
    cells = '\n'.join(f'def f{i}():\n    return {i}' for i in range(201))
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', f'#| export\n{cells}'))


def show_nothing(root):
    write_notebook(root / 'nbs/00_first.ipynb', chapter('first', '#| export\ndef one(): return 1')[:3])


def show_no_figure(root):
    write_notebook(
        root / 'nbs/02_prose.ipynb', [cell('markdown', '# Title\n> Empty.\n\n![A kit](../figures/kit.png)', 0)]
    )


def leave_a_figure(root):
    (root / 'figures').mkdir()
    (root / 'figures/stray.png').write_bytes(b'png')


def name_a_machine(root):
    (root / 'notes.md').write_text('see ' + '/'.join(['', 'home', 'someone', 'file']) + '\n')


def name_a_registry(root):
    (root / 'notes.md').write_text('from py' + 'pi.org\n')


def lose_the_tags(root):
    text = (root / 'settings.ini').read_text()
    (root / 'settings.ini').write_text(
        text.replace('allowed_cell_metadata_keys = tags', 'allowed_cell_metadata_keys =')
    )


def unpin(root):
    lines = (root / 'constraints.txt').read_text().splitlines()
    (root / 'constraints.txt').write_text(
        '\n'.join(line for line in lines if not line.startswith('papermill==')) + '\n'
    )


@pytest.mark.parametrize(
    'breakage, expected',
    [
        (edit_module, 'drumnb/first.py: differs'),
        (leave_an_orphan, 'drumnb/orphan.py: no notebook'),
        (drop_a_module, 'drumnb/second.py: missing'),
        (stale_index, 'drumnb/_modidx.py: differs'),
        (break_an_import, 'drumnb.first: cannot be imported (ModuleNotFoundError'),
        (keep_outputs, '00_first.ipynb: has outputs'),
        (keep_metadata, '00_first.ipynb: has outputs or stray metadata'),
        (untag, 'run.ipynb: 0 cells are tagged'),
        (crowd_parameters, 'more than one assignment a line'),
        (import_upwards, '00_first.ipynb: imports drumnb.second of chapter 01'),
        (import_by_string, '00_first.ipynb: imports drumnb.second of chapter 01'),
        (reach_inside, '01_second.ipynb: uses drumnb.first._hidden, which is private'),
        (import_a_private_name, '01_second.ipynb: uses drumnb.first._hidden, which is private'),
        (number_twice, 'two chapters have the number 01'),
        (move_out_of_the_part, '12_second.ipynb: exports drumnb.second, but its number belongs to drumnb.rendering'),
        (name_it_otherwise, '03_third.ipynb: exports fourth'),
        (forget_the_summary, '02_prose.ipynb: the first cell'),
        (grow, '02_prose.ipynb: 1.0 MB'),
        (write_a_long_cell, 'has 60 lines; split it'),
        (export_too_much, '00_first.ipynb: exports 402 lines'),
        (define_twice, 'one is defined by first and second'),
        (write_a_long_line, 'long.py:1:121: E501'),
        (leave_it_unformatted, 'plain.py:1:8: unformatted'),
        (show_no_figure, 'shows ../figures/kit.png'),
        (leave_a_figure, 'figures/stray.png: no chapter draws it'),
        (name_a_machine, 'notes.md:1: holds a path of one machine'),
        (name_a_registry, 'notes.md:1: holds a host'),
        (lose_the_tags, 'settings.ini: allowed_cell_metadata_keys'),
        (unpin, 'no exact version of papermill'),
    ],
    ids=lambda value: getattr(value, '__name__', ''),
)
def test_a_broken_project_is_noticed(project, breakage, expected):
    breakage(project)
    assert expected in problems_of(project)


def test_cleaning_keeps_tags_and_removes_outputs(project):
    keep_outputs(project)
    subprocess.run(
        [sys.executable, str(ROOT / 'scripts/clean_notebooks.py')], cwd=project, check=True, capture_output=True
    )
    assert problems_of(project) == ''
    assert check_sync.cells_of(project / 'nbs/experiments/run.ipynb')[1]['metadata'] == {'tags': ['parameters']}


def test_a_figure_of_a_study_is_missed_only_when_its_rows_are_there(project):
    write_notebook(
        project / 'nbs/51_study.ipynb',
        [
            cell('markdown', '# Study\n> Of nothing yet.', 0),
            cell(
                'code',
                "#| label: fig-study\n#| needs: results/study\nfrom drumnb.first import one\nsave_figure(fig, 'study')",
                1,
            ),
        ],
    )
    assert check_sync.check_figures(project) == []
    (project / 'results/study').mkdir(parents=True)
    (project / 'results/study/run.csv').write_text('run\n')
    assert 'draws figures/study.png, which does not exist' in '\n'.join(check_sync.check_figures(project))


QUICK = """
import sys, time
start = time.perf_counter()
import drumnb
print(time.perf_counter() - start)
assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)
assert 'transcribe' in dir(drumnb) and not hasattr(drumnb, 'nothing')
from drumnb import transcribe, transcribe_files, write_formats
assert transcribe.__module__ == 'drumnb.transcription.score'
"""


def test_the_package_is_imported_at_once_and_offers_what_a_song_needs():
    runs = [subprocess.run([sys.executable, '-W', 'ignore', '-c', QUICK], capture_output=True, text=True) for _ in 'ab']
    assert all(r.returncode == 0 for r in runs), runs[0].stderr
    assert min(float(r.stdout) for r in runs) < 0.1


def test_a_table_does_not_wait_for_what_only_rendering_needs():
    heavy = "{'torch', 'scipy.signal', 'scipy.ndimage'} & set(sys.modules)"
    code = f'import sys, drumnb.notation.batch_transcription\nsys.exit(bool({heavy}))'
    assert subprocess.run([sys.executable, '-W', 'ignore', '-c', code]).returncode == 0


WITHOUT = """
import re, sys
from configparser import ConfigParser
parser = ConfigParser(delimiters=['='], interpolation=None)
parser.read(sys.argv.pop(1))
absent = {re.split(r'[<>=\\[]', r)[0].replace('-', '_') for r in parser['DEFAULT']['study_requirements'].split()}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in absent:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name.split('.')[0])
sys.meta_path.insert(0, Absent())
from drumnb.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_base_installation_makes_every_format_and_the_same_table(tmp_path):
    "Without what the extra `study` brings, scipy and torch among it."
    from drumnb.audio import save
    from drumnb.cli import main
    from drumnb.core import rng_for
    from drumnb.onsets import Hits
    from drumnb.rendering.kits import procedural_kit, render_hits

    hits = Hits.make(0.1 + np.arange(0, 8, 0.25), [36, 42, 38, 42] * 8, [0.9, 0.5, 0.8, 0.5] * 8)
    sound = render_hits(hits, procedural_kit(3), rng_for('base'), 9.0)
    save(tmp_path / 'song.wav', 0.7 * sound / np.abs(sound).max())
    words = ['transcribe', str(tmp_path / 'song.wav'), '-f', 'all,stems', '-o']
    command = [sys.executable, '-W', 'ignore', '-c', WITHOUT, ROOT / 'settings.ini', *words, tmp_path / 'base']
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert main([*words, str(tmp_path / 'whole')]) == 0
    made = [{p.name for p in (tmp_path / place).iterdir() if p.is_file()} for place in ('base', 'whole')]
    assert made[0] == made[1] and len(made[0]) >= 9
    tables = [pd.read_csv(tmp_path / place / 'song.csv') for place in ('base', 'whole')]
    pd.testing.assert_frame_equal(*tables, atol=1e-3)
