"""The scripts behind the commands: chapters are executed once, and again when something changed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_notebook(path: Path, *sources: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        dict(cell_type='code', id=f'c{i}', metadata={}, source=s, outputs=[], execution_count=None)
        for i, s in enumerate(sources)
    ]
    kernel = {'kernelspec': {'display_name': 'python3', 'language': 'python', 'name': 'python3'}}
    path.write_text(json.dumps(dict(cells=cells, metadata=kernel, nbformat=4, nbformat_minor=5)))


def execute(*args):
    return subprocess.run(
        [sys.executable, str(ROOT / 'scripts/execute.py'), *map(str, args)], capture_output=True, text=True
    )


def test_a_chapter_is_executed_again_only_when_something_changed(tmp_path):
    chapter, rows, done = tmp_path / '51_study.ipynb', tmp_path / 'results', tmp_path / 'done'
    rows.mkdir()
    (rows / 'a.csv').write_text('f1\n0.5\n')
    write_notebook(chapter, "from pathlib import Path\nprint(Path('results/a.csv').read_text())")
    args = chapter, '--to', done, '--depends', rows
    assert 'Executing 51_study.ipynb' in execute(*args).stdout
    assert 'up to date' in execute(*args).stdout
    (rows / 'a.csv').write_text('f1\n0.6\n')
    assert 'Executing' in execute(*args).stdout
    assert '0.6' in (done / '51_study.ipynb').read_text()


def test_a_failing_chapter_is_named_and_not_called_done(tmp_path):
    chapter = tmp_path / '51_study.ipynb'
    write_notebook(chapter, "raise ValueError('no rows')")
    run = execute(chapter, '--to', tmp_path / 'done')
    assert run.returncode == 1
    assert '51_study.ipynb: ValueError: no rows' in run.stderr.splitlines()[-1]
    assert not list((tmp_path / 'done').glob('.*.key'))


def test_a_missing_chapter_is_refused(tmp_path):
    run = execute(tmp_path / 'absent.ipynb', '--to', tmp_path / 'done')
    assert run.returncode == 2 and 'no such notebook' in run.stderr and not (tmp_path / 'done').exists()


def test_several_chapters_at_a_time(tmp_path):
    "One that fails does not stop the others, and what a vanished notebook left is removed."
    for name, source in {'01_a': 'print(1)', '02_b': "raise ValueError('broken')", '03_c': 'print(3)'}.items():
        write_notebook(tmp_path / f'{name}.ipynb', source)
    done = tmp_path / 'done'
    done.mkdir()
    write_notebook(done / '09_gone.ipynb', 'print(9)')
    run = execute(*sorted(tmp_path.glob('*.ipynb')), '--to', done, '--workers', 2, '--all')
    assert run.returncode == 1 and '2 of 3 chapters' in run.stdout and '02_b.ipynb: ValueError: broken' in run.stderr
    assert sorted(p.name for p in done.glob('*.ipynb')) == ['01_a.ipynb', '02_b.ipynb', '03_c.ipynb']


def test_many_chapters_begin_with_the_slow_libraries_and_draw_as_ever(tmp_path):
    for k in range(load('execute').MANY):
        write_notebook(tmp_path / f'{k}0_a.ipynb', 'import sys\n"scipy.signal" in sys.modules', DRAW)
    run = execute(*sorted(tmp_path.glob('*.ipynb')), '--to', tmp_path / 'done')
    assert run.returncode == 0, run.stderr
    for path in (tmp_path / 'done').glob('*.ipynb'):
        first, second = (cell['outputs'] for cell in json.loads(path.read_text())['cells'])
        assert first[0]['data']['text/plain'] == ['True'] and 'image/png' in second[-1]['data']
    assert 'largest process 0.0' not in run.stdout.splitlines()[-2]


DRAW = 'import matplotlib.pyplot as plt\nplt.plot([1, 2]);'


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f'scripts/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_figure_that_its_chapter_draws_otherwise_is_noticed(tmp_path):
    "Only for chapters that were executed since they changed; a hair's breadth of difference is none."
    from PIL import Image

    check, keys = load('check_sync'), load('execute')
    write_notebook(tmp_path / 'nbs/01_a.ipynb', "#| label: fig-x\n#| fig-cap: X.\nsave_figure(fig, 'x')")
    drawn = tmp_path / 'runs/chapters/figures'
    drawn.mkdir(parents=True)
    (tmp_path / 'figures').mkdir()
    picture = Image.new('RGB', (100, 100), 'white')
    picture.save(tmp_path / 'figures/x.png')
    picture.putpixel((5, 5), (0, 0, 0))
    picture.save(drawn / 'x.png')
    stamp = tmp_path / 'runs/chapters/.01_a.key'
    stamp.write_text('of another state')
    assert check.check_drawn(tmp_path) == []
    stamp.write_text(keys.Keys(tmp_path, keys.BOOK_DEPENDS, str(drawn)).of(tmp_path / 'nbs/01_a.ipynb'))
    assert check.check_drawn(tmp_path) == []
    Image.new('RGB', (100, 100), 'red').save(drawn / 'x.png')
    assert check.check_drawn(tmp_path) == [
        'figures/x.png: 100.0% of it differs from what nbs/01_a.ipynb draws; run `make figures`, look at it and '
        'commit it'
    ]


def test_a_run_is_renewed_to_the_settings_of_today_and_keeps_its_key(tmp_path):
    sys.path.insert(0, str(ROOT / 'scripts'))
    import renew_runs

    source = ROOT / 'results/recordings/crnn-groove.dtd+synthetic-s2-1b06a6a86c3c.json'
    run, keys = tmp_path / source.name, tmp_path / 'keys.csv'
    now = json.loads(source.read_text())
    old = json.loads(source.read_text())
    old['config']['windows']['rare'] = old['config']['windows'].pop('oversampling')
    run.write_text(json.dumps(old))
    keys.write_text('settings,key\n')
    assert renew_runs.renew(run, keys) and not renew_runs.renew(run, keys)
    assert json.loads(run.read_text()) == now
    line = keys.read_text().splitlines()[1]
    assert line.endswith(',1b06a6a86c3c') and line in (ROOT / 'drumnb/data/run_keys.csv').read_text().splitlines()


def test_the_full_kit_is_scored_on_subclasses(tmp_path, monkeypatch, isolated, capsys):
    "A row for each articulation of each track; what the fixture annotates and no network finds is missed."
    import pandas as pd

    from drumnb.core import results_home
    from drumnb.datasets.registry import write_fixture
    from drumnb.drums import DRUMS5, FULL_KIT
    from drumnb.experiments.results import COLUMNS
    from drumnb.models.registry import make_model, save_model
    from drumnb.spectrograms import LogSpec

    home = write_fixture('mdb', tmp_path, seconds=0.5)
    monkeypatch.setenv('DRUMNB_DATA', str(home.parent))
    about = dict(features=LogSpec(mul=3, rms=0.1).to_dict(), vocabulary=list(DRUMS5), threshold=0.99)
    weights = save_model(tmp_path / 'toy', make_model('rnn', n_drums=5 + len(FULL_KIT)), **about)
    assert load('score_full_kit').main([str(weights)]) == 0
    rows = pd.read_csv(results_home() / 'full_kit' / 'toy.csv')
    assert list(rows) == COLUMNS and set(rows.drum) == set(FULL_KIT)
    assert set(rows.test) == {'mdb:drum_only', 'mdb:full_mix'}
    assert rows.tp.sum() == 0 < rows.fn.sum() and 'micro F1 0.000' in capsys.readouterr().out
    five = save_model(tmp_path / 'five', make_model('rnn'), **about)
    assert load('score_full_kit').main([str(five)]) == 2 and 'five classes only' in capsys.readouterr().err


def test_progress_comes_with_an_estimate_and_memory(tmp_path):
    "The rest is estimated from what chapters took the last time, at the pace of this run."
    (tmp_path / '.seconds.json').write_text('{"01_a": 10, "02_b": 30, "03_c": 2}')
    chapters = [tmp_path / f'{stem}.ipynb' for stem in ('01_a', '02_b', '03_c', '04_new')]
    progress = load('execute').Progress(chapters, tmp_path, 2)
    assert [p.stem for p in progress.slowest_first(chapters)] == ['02_b', '04_new', '01_a', '03_c']
    assert progress.remaining() == (10 + 30 + 2 + load('execute').USUAL_SECONDS) / 2
    progress.left, progress.expected, progress.taken = {'02_b'}, 10.0, 20.0
    assert progress.remaining() == 30
    for name in 'ab':
        write_notebook(tmp_path / f'{name}.ipynb', 'x = 1')
    said = execute(tmp_path / 'a.ipynb', tmp_path / 'b.ipynb', '--to', tmp_path / 'done').stdout
    assert '1 of 2 chapters' in said and 'min to go; largest process' in said
    assert set(json.loads((tmp_path / 'done/.seconds.json').read_text())) <= {'a', 'b'}


def test_cleaning_makes_citations_readable(tmp_path):
    "Once; what was made readable stays as it is."
    (tmp_path / 'settings.ini').write_text((ROOT / 'settings.ini').read_text())
    (tmp_path / 'nbs').mkdir()
    path = tmp_path / 'nbs/01_first.ipynb'
    cell = dict(cell_type='markdown', id='m', metadata={}, source=['It is old [@cooley1965], as @fig-x shows.'])
    path.write_text(json.dumps(dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5)))
    clean = load('clean_notebooks').clean
    assert clean(path) and not clean(path)
    said = ''.join(json.loads(path.read_text())['cells'][0]['source'])
    assert said.startswith('It is old [(Cooley and Tukey 1965)](https://doi.org/') and '[figure x](#fig-x)' in said


def test_known_vulnerabilities_are_notes_and_no_network_is_one_line(tmp_path):
    def said(program):
        (tmp_path / 'pip_audit.py').write_text(program)
        words, env = [sys.executable, ROOT / 'scripts/check_audit.py'], {**os.environ, 'PYTHONPATH': str(tmp_path)}
        done = subprocess.run(words, capture_output=True, text=True, env=env)
        return done.returncode, done.stdout

    faulty = dict(name='x', version='1', vulns=[dict(id='A-1', fix_versions=['2'])])
    found = json.dumps(dict(dependencies=[faulty, dict(name='y', version='1', vulns=[])]))
    assert said(f'print({found!r}); raise SystemExit(1)') == (0, 'note: x 1: A-1, fixed 2\n')
    code, line = said('raise ConnectionError("no network")')
    assert code == 0 and 'not looked up' in line and 'no network' in line and line.count('\n') == 1


def test_held_out_crops_ask_for_weights_that_exist(capsys):
    assert load('score_held_out').main(['drumnb-99']) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and 'drumnb-99' in said[0] and 'PATH=NAME' in said[0]
