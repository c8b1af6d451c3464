"""Check that notebooks, modules and figures agree and are clean: one line per problem, exit status 1 if there is any.

Lines that begin with `note:` are about the form of chapters that are being split, and do not change the exit status.
nbdev has no check mode, so notebooks are exported and cleaned in a scratch copy, and the copy is compared with what
stands here. `tests/test_repository.py` runs the same checks one by one.
"""

import ast
import csv
import fnmatch
import importlib.util
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {'89_cli': 'cli'}  # chapters whose module lies outside the package of their part
TWICE = ('cross_validate', 'read_beats')  # names that two modules define until one of them is renamed
GROWING = ()  # chapters whose cells and modules are still being split: what is wrong with their form is a note
MEGABYTE = 1_000_000
WEIGHTS = 4 * MEGABYTE  # what the package ships may be larger
EXPORT_LINES = 45  # of one export cell, data aside
EXPORT_LIMITS = dict(median=10, p90=25)  # of all export cells, lines of words aside
MODULE_LINES = 400
SAME = 0.0005  # share of dots that may differ between two drawings of one figure
SCRATCH_STEPS = '''
import runpy, sys
from nbdev.doclinks import nbdev_export
nbdev_export()
runpy.run_path(sys.argv[1])["main"]()
'''
IMPORT_STEPS = '''
import importlib, sys
for name in sys.argv[1:]:
    try: importlib.import_module(name)
    except BaseException as error:
        print(f"{name}: cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})")
'''
# Written in pieces, so that this file does not find itself.
FOREIGN = {
    'a path of one machine': re.compile(
        r'(?<![\w.~$}-])/(?:' + '|'.join(['ho' + 'me', 'wo' + 'rk', 'ro' + 'ot', 'Us' + 'ers']) + r')/\w'
    ),
    'a host of a package registry': re.compile(
        '|'.join(['py' + r'pi\.org', 'python' + r'hosted\.org', r'deb\.' + 'debian', 'npm' + r'js\.org'])
    ),
}


# ---- reading


def notebooks(root: Path = ROOT) -> list[Path]:
    "Every notebook, chapters first."
    found = [
        p
        for p in (root / 'nbs').rglob('*.ipynb')
        if not any(part.startswith(('.', '_')) for part in p.relative_to(root).parts)
    ]
    return sorted(found, key=lambda p: (len(p.parts), p.name))


def cells_of(path: Path) -> list[dict]:
    "The cells, each with its source as one string under `text`."
    return [cell | {'text': ''.join(cell['source'])} for cell in json.loads(path.read_text(encoding='utf-8'))['cells']]


def tracked_files(root: Path = ROOT) -> list[Path]:
    "What git tracks and still exists, new files that it does not ignore included."
    listed = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        return []
    return sorted({root / name for name in listed.stdout.split('\0') if name and (root / name).is_file()})


def python_of(cell: dict) -> ast.Module | None:
    "The syntax tree of a code cell, without its magics; None when it is not Python."
    lines = ['pass' if line.lstrip().startswith(('%', '!')) else line for line in cell['text'].splitlines()]
    try:
        return ast.parse('\n'.join(lines))
    except SyntaxError:
        return None


def lines_of_code(cell: dict) -> int:
    "Lines of a cell that are not empty, no directive and not part of a literal table."
    tables = set()
    for node in (python_of(cell) or ast.Module([], [])).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Tuple, ast.List, ast.Dict, ast.Constant)):
            tables.update(range(node.lineno + 1, node.end_lineno + 1))
    lines = enumerate(cell['text'].splitlines(), 1)
    return sum(bool(line.strip()) and not line.startswith('#|') and i not in tables for i, line in lines)


def lines_without_words(cell: dict) -> int:
    "Lines of code of a cell that are neither directive, comment nor docstring."
    words = {i for i, line in enumerate(cell['text'].splitlines(), 1) if line.lstrip().startswith('#')}
    for node in ast.walk(python_of(cell) or ast.Module([], [])):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            words.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines_of_code(
        {'text': '\n'.join('' if i in words else line for i, line in enumerate(cell['text'].splitlines(), 1))}
    )


def is_export(cell: dict) -> bool:
    return cell['cell_type'] == 'code' and bool(re.search(r'^#\|\s*exports?\b', cell['text'], re.M))


def unseen(cells: list[dict]) -> list[str]:
    "First lines of exported definitions that no running cell follows within three cells."
    starts = []
    for i, cell in enumerate(cells):
        body = python_of(cell).body if is_export(cell) and python_of(cell) else []
        defined = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        if defined and not any(c['cell_type'] == 'code' and not is_export(c) for c in cells[i + 1 : i + 4]):
            starts.append(f'{cell["text"].splitlines()[defined[0].lineno - 1][:40]}')
    return starts


def library_imports(cell: dict, library: str = 'drumnb') -> set[str]:
    "The modules of the library that a cell imports, without the library's name: {'core', 'models.layers'}."
    found = set()
    for node in ast.walk(python_of(cell) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f'{node.module}.{alias.name}' if node.module == library else node.module for alias in node.names}
    return {name.removeprefix(f'{library}.') for name in found if name.startswith(f'{library}.')}


# ---- checks: each gives a list of lines, empty when all is well


def check_sync(root: Path = ROOT) -> list[str]:
    "Modules and index are what the notebooks export; notebooks are what cleaning leaves; no module without a notebook."
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / root.name
        copy.mkdir()
        shutil.copytree(
            root / 'nbs', copy / 'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints', '.last_checked')
        )
        shutil.copy(root / 'settings.ini', copy)
        (copy / 'drumnb').mkdir()
        front = root / 'drumnb/__init__.py'  # written by hand; nbdev keeps only its version
        if front.exists():
            shutil.copy(front, copy / 'drumnb')
        run = subprocess.run(
            [sys.executable, '-c', SCRATCH_STEPS, str(ROOT / 'scripts/clean_notebooks.py')],
            cwd=copy,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            return [f'nbs: cannot be exported ({run.stderr.strip().splitlines()[-1]})']
        made = {p.relative_to(copy): p for p in (copy / 'drumnb').rglob('*.py')}
        here = {p.relative_to(root): p for p in (root / 'drumnb').rglob('*.py')}
        for name in sorted({*made, *here}):
            if name not in here:
                problems.append(f'{name}: missing; run `make export`')
            elif name not in made:
                problems.append(f'{name}: no notebook exports it; delete it, or write its notebook')
            elif made[name].read_bytes() != here[name].read_bytes():
                problems.append(
                    f'{name}: differs from what its notebook exports; edit the notebook and run `make export`'
                )
        for path in notebooks(root):
            if (copy / path.relative_to(root)).read_bytes() != path.read_bytes():
                problems.append(f'{path.relative_to(root)}: has outputs or stray metadata; run `make clean-notebooks`')
    return problems


def check_imports(root: Path = ROOT) -> list[str]:
    "Every module can be imported."
    names = [
        '.'.join(p.relative_to(root).with_suffix('').parts).removesuffix('.__init__')
        for p in sorted((root / 'drumnb').rglob('*.py'))
    ]
    run = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', IMPORT_STEPS, *names], cwd=root, capture_output=True, text=True
    )
    return run.stdout.splitlines() + (
        [f'drumnb: importing it ended with status {run.returncode}'] if run.returncode else []
    )


def check_notebooks(root: Path = ROOT) -> list[str]:
    "Every notebook has a title and a summary and is small; templates have tagged parameters."
    problems = []
    for path in notebooks(root):
        name, cells = path.relative_to(root), cells_of(path)
        if path.stat().st_size > MEGABYTE:
            problems.append(f'{name}: {path.stat().st_size / MEGABYTE:.1f} MB; a notebook is at most 1 MB')
        first = cells[0] if cells else {'cell_type': None, 'text': ''}
        if first['cell_type'] != 'markdown' or not re.match(r'# \S.*\n+> \S', first['text']):
            problems.append(f'{name}: the first cell is not a `# title` with a `> summary` line under it')
        for cell in cells:
            lines = [line for line in cell['text'].splitlines() if line.strip()]
            if cell['cell_type'] == 'code' and not cell['text'].startswith('%%') and python_of(cell) is None:
                problems.append(f'{name}: a code cell is not valid Python: "{lines[0][:40]}"')
        if path.parent.name == 'experiments':
            problems += [f'{name}: {line}' for line in check_parameters(cells)]
    return problems


def check_style(root: Path = ROOT) -> list[str]:
    "Exports come in small cells, and within three cells of each there is something to see or a check."
    notes = []
    for path in notebooks(root):
        name, cells = path.relative_to(root), cells_of(path)
        for cell in cells:
            if is_export(cell) and (n := lines_of_code(cell)) > EXPORT_LINES:
                notes.append(
                    f'{name}: the export cell that begins "{cell["text"].splitlines()[1].strip()[:40]}" has {n} '
                    'lines; split it'
                )
        notes += [
            f'{name}: nothing is seen or checked within three cells of the export that begins "{start}"'
            for start in unseen(cells)
        ]
    return notes


def export_figures(root: Path = ROOT) -> dict:
    "How many export cells there are; median and 90th percentile of their lines without words, maximum of all lines."
    cells = [c for path in notebooks(root) for c in cells_of(path) if is_export(c)] or [{'text': ''}]
    lines = sorted(map(lines_without_words, cells))
    return dict(
        cells=len(cells),
        median=statistics.median(lines),
        p90=lines[int(0.9 * (len(lines) - 1))],
        maximum=max(map(lines_of_code, cells)),
    )


def check_sizes(root: Path = ROOT) -> list[str]:
    "Export cells are short on the whole, and a chapter exports a module of moderate length."
    found, problems = export_figures(root), []
    problems += [
        f'nbs: the {name} of the lines of export cells is {found[name]:g}, and at most {limit} is wanted'
        for name, limit in EXPORT_LIMITS.items()
        if found[name] > limit
    ]
    for path in notebooks(root):
        exported = sum(lines_of_code(c) for c in cells_of(path) if is_export(c))
        if exported > MODULE_LINES:
            problems.append(f'{path.relative_to(root)}: exports {exported} lines; at most {MODULE_LINES} are wanted')
    return problems


def check_form(root: Path = ROOT) -> list[str]:
    "What `check_style` and `check_sizes` find, outside of chapters that are still `GROWING`."
    return [line for line in [*check_style(root), *check_sizes(root)] if not is_growing(line)]


def form_notes(root: Path = ROOT) -> list[str]:
    "What they find in those."
    return [line for line in [*check_style(root), *check_sizes(root)] if is_growing(line)]


def is_growing(line: str) -> bool:
    return line.removeprefix('nbs/').split('.')[0] in GROWING


def public_names(cell: dict) -> set[str]:
    "What an export cell defines for others: functions, classes and variables without a leading underscore."
    found = set()
    for node in (python_of(cell) or ast.Module([], [])).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            patched = any('patch' in ast.unparse(d) for d in node.decorator_list)
            found |= set() if patched else {node.name}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return {name for name in found if not name.startswith('_')}


def check_names_once(root: Path = ROOT) -> list[str]:
    "A public name stands for one thing: no two modules define the same."
    owners = {}
    for path in notebooks(root):
        if module := exported_module(path):
            for name in set().union(*(public_names(c) for c in cells_of(path) if is_export(c))):
                owners.setdefault(name, set()).add(module)
    return [
        f'nbs: {name} is defined by {" and ".join(sorted(modules))}; one name stands for one thing'
        for name, modules in sorted(owners.items())
        if len(modules) > 1 and name not in TWICE
    ]


def check_ruff(root: Path = ROOT) -> list[str]:
    "Notebooks, scripts and tests are as ruff wants them (pyproject.toml); modules use no name that they do not define."
    if not (root / 'pyproject.toml').exists():
        return []
    problems = []
    undefined = ['check', '--isolated', '--select', 'F821', 'drumnb']
    for command in (['check', '.'], ['format', '--check', '.'], undefined):
        run = subprocess.run(
            [sys.executable, '-m', 'ruff', *command, '--output-format', 'concise'],
            cwd=root,
            capture_output=True,
            text=True,
        )
        if run.returncode not in (0, 1):
            return [f'ruff: {run.stderr.strip()}']
        problems += [line for line in run.stdout.splitlines() if re.match(r'\S+?:.*\d+:\d+: ', line)]
    return problems


def check_parameters(cells: list[dict]) -> list[str]:
    "A papermill template has one cell tagged `parameters`, with one plain assignment a line."
    tagged = [c for c in cells if 'parameters' in c['metadata'].get('tags', [])]
    if len(tagged) != 1:
        return [f'{len(tagged)} cells are tagged `parameters`, and papermill needs one']
    body = python_of(tagged[0]).body
    if not all(isinstance(node, (ast.Assign, ast.AnnAssign)) for node in body) or len(
        {node.lineno for node in body}
    ) < len(body):
        return ['the cell tagged `parameters` holds more than one assignment a line']
    return []


def parts(root: Path = ROOT) -> dict[str, str]:
    "Tens digit → package, as `nbs/parts.csv` says; the appendices have none."
    with (root / 'nbs/parts.csv').open(encoding='utf-8', newline='') as file:
        return {row['tens']: row['package'] for row in csv.DictReader(file)}


def exported_module(path: Path) -> str | None:
    "The module that a chapter exports, without the library's name."
    found = [re.search(r'^#\|\s*default_exp\s+(\S+)', cell['text'], re.M) for cell in cells_of(path)]
    return next((m[1] for m in found if m), None)


def check_house(root: Path = ROOT) -> list[str]:
    """One part is one package, one chapter one module: numbers are unique, and a module lies in the package of its
    part under the name of its chapter."""
    problems, chapters, packages = [], [p for p in notebooks(root) if re.match(r'\d\d_', p.name)], parts(root)
    numbers = [p.name[:2] for p in chapters]
    problems += [f'nbs: two chapters have the number {n}' for n in sorted(set(numbers)) if numbers.count(n) > 1]
    for path in chapters:
        module, slug = exported_module(path), path.stem[3:]
        if module is None or OUTSIDE.get(path.stem) == module:
            continue
        package, _, name = f'drumnb.{module}'.rpartition('.')
        part = packages.get(path.name[0])
        if package != part:
            problems.append(
                f'nbs/{path.name}: exports drumnb.{module}, but its number belongs to {part or "the appendices"}'
            )
        last = package.rpartition('.')[2]
        if slug not in (name, f'{last}_{name}', *([last] if name == 'core' else [])):
            problems.append(f'nbs/{path.name}: exports {name}; module and chapter have one name')
    return problems


def uses_of(cell: dict, library: str = 'drumnb') -> set[str]:
    "Modules of the library that a cell names: imported, inside functions too, or as a string."
    found = library_imports(cell, library)
    for node in ast.walk(python_of(cell) or ast.Module([], [])):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(rf'{library}(\.\w+)+', node.value)
        ):
            found.add(node.value.removeprefix(f'{library}.'))
    return found


def reaches(cell: dict, library: str = 'drumnb') -> set[str]:
    "Private names of other modules that a cell uses: `module._name`."
    tree, names, found = python_of(cell) or ast.Module([], []), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or '').split('.')[0] == library:
            found |= {
                f'{node.module.removeprefix(library + ".")}.{a.name}'
                for a in node.names
                if a.name.startswith('_') and not a.name.endswith('__')
            }
            names |= {
                a.asname or a.name: f'{node.module}.{a.name}'.removeprefix(f'{library}.')
                for a in node.names
                if a.name.islower()
            }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in names
            and node.attr.startswith('_')
            and not node.attr.endswith('__')
        ):
            found.add(f'{names[node.value.id]}.{node.attr}')
    return found


def check_order(root: Path = ROOT) -> list[str]:
    """A chapter uses modules of lower-numbered chapters only, by import or by name in a string, and no private name of
    another.

    Chapters of prose may use all modules of their own and earlier parts; those from part 6 on, the introduction and the
    appendices any.
    """
    chapters = [p for p in notebooks(root) if re.match(r'\d\d_', p.name)]
    number = {module: path.name[:2] for path in chapters if (module := exported_module(path))}
    problems = []
    for path in chapters:
        code = [c for c in cells_of(path) if c['cell_type'] == 'code']
        exporting = path.name[:2] in number.values()
        for module in sorted(set().union(*map(uses_of, code))):
            owner = next((m for m in (module, module.rpartition('.')[0]) if m in number), None)
            late = owner and (
                number[owner] >= path.name[:2]
                if exporting
                else number[owner][0] > path.name[0] and path.name[0] < '6' and path.stem != '01_introduction'
            )
            if owner is None and not (root / 'drumnb' / module.replace('.', '/')).is_dir():
                problems.append(f'{path.relative_to(root)}: imports drumnb.{module}, which no chapter exports')
            elif late and owner != exported_module(path):
                problems.append(
                    f'{path.relative_to(root)}: imports drumnb.{owner} of chapter {number[owner]}; only lower '
                    'numbers may be used'
                )
        for name in sorted(set().union(*(reaches(c) for c in code))):
            problems.append(f'{path.relative_to(root)}: uses drumnb.{name}, which is private to its module')
    return problems


def check_figures(root: Path = ROOT) -> list[str]:
    """Every figure that a text shows or a chapter draws exists, and every figure is drawn by a chapter; one that
    `needs` results exists when they do."""
    problems, drawn = [], {'architecture-packages'}  # which scripts/draw_architecture.py draws
    for path in [*notebooks(root), *sorted(root.glob('*.md'))]:
        is_notebook = path.suffix == '.ipynb'
        for cell in (
            cells_of(path) if is_notebook else [{'cell_type': 'markdown', 'text': path.read_text(encoding='utf-8')}]
        ):
            if cell['cell_type'] == 'markdown':
                shown = re.findall(r'!\[[^\]]*\]\(([^)\s]+)', cell['text']) + re.findall(
                    r'<img[^>]+src="([^"]+)"', cell['text']
                )
                problems += [
                    f'{path.relative_to(root)}: shows {target}, which does not exist'
                    for target in shown
                    if '://' not in target
                    and not target.startswith(('attachment:', 'data:'))
                    and not (path.parent / target).exists()
                ]
                continue
            for prefix, name in re.findall(r"save_figure\([^'\"\n]*?,\s*(f?)['\"]([^'\"]+)['\"]", cell['text']):
                drawn.add(re.sub(r'\{[^}]*\}', '*', name) if prefix else name)
                if (
                    not prefix
                    and path.name[:2].isdigit()
                    and name in labels(cell)
                    and not (root / 'figures' / f'{name}.png').exists()
                    and has_results(root, cell)
                ):
                    problems.append(
                        f'{path.relative_to(root)}: draws figures/{name}.png, which does not exist; run `make figures`'
                    )
    problems += [
        f'{p.relative_to(root)}: no chapter draws it'
        for p in sorted((root / 'figures').glob('*'))
        if p.name != '.gitkeep' and not any(fnmatch.fnmatch(p.stem, name) for name in drawn)
    ]
    return problems


def labels(cell: dict) -> set[str]:
    "The figure labels of a cell, without `fig-`."
    return set(re.findall(r'^#\|\s*label:\s*fig-(\S+)', cell['text'], re.M))


def varies(cell: dict) -> bool:
    "Does a figure show what no two runs agree on (`#| varies: measured times`)?"
    return bool(re.search(r'^#\|\s*varies\b', cell['text'], re.M))


def has_results(root: Path, cell: dict) -> bool:
    "Are the rows there that a cell needs (`#| needs: results/STUDY`)? A study that nobody has run yet has no figures."
    needed = re.findall(r'^#\|\s*needs:\s*(\S+)', cell['text'], re.M)
    return all(any((root / folder).glob('*.csv')) for folder in needed)


def check_drawn(root: Path = ROOT) -> list[str]:
    """A committed figure is what its chapter draws, as far as chapters have been executed since they last changed
    (`make figures` or `make thesis`)."""
    problems, drawn = [], root / 'runs/chapters/figures'
    for path in executed(root):
        for label in sorted(
            set().union(*(labels(cell) for cell in cells_of(path) if cell['cell_type'] == 'code' and not varies(cell)))
        ):
            committed, redrawn = root / f'figures/{label}.png', drawn / f'{label}.png'
            if committed.exists() and redrawn.exists() and (share := differing(committed, redrawn)) > SAME:
                problems.append(
                    f'figures/{label}.png: {share:.1%} of it differs from what {path.relative_to(root)} draws; run '
                    '`make figures`, look at it and commit it'
                )
    return problems


def executed(root: Path = ROOT) -> list[Path]:
    "The chapters whose executed copies in runs/chapters are up to date."
    spec = importlib.util.spec_from_file_location('execute', ROOT / 'scripts/execute.py')
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    folder, fresh = root / 'runs/chapters', []
    if folder.is_dir():
        keys = execute.Keys(root, execute.BOOK_DEPENDS, str(folder / 'figures'))
        fresh = [
            p
            for p in sorted((root / 'nbs').glob('[0-9][0-9]_*.ipynb'))
            if (stamp := folder / f'.{p.stem}.key').exists() and stamp.read_text() == keys.of(p)
        ]
    return fresh


def differing(a: Path, b: Path) -> float:
    """The share of the dots of two pictures that differ by more than a shade; 1 when they differ in size by more
    than a dot or two."""
    if a.read_bytes() == b.read_bytes():
        return 0.0
    import numpy as np
    from PIL import Image

    one, two = (np.asarray(Image.open(path).convert('RGB'), np.int16) for path in (a, b))
    if max(abs(m - n) for m, n in zip(one.shape, two.shape)) > 2:
        return 1.0
    h, w = (min(m, n) for m, n in zip(one.shape[:2], two.shape[:2]))
    return float((np.abs(one[:h, :w] - two[:h, :w]).max(axis=2) > 24).mean())


def check_files(root: Path = ROOT) -> list[str]:
    "No tracked file is over 1 MB, names a path of one machine or the host of a package registry."
    problems = []
    for path in tracked_files(root):
        name = path.relative_to(root)
        shipped = any(name.is_relative_to(f'drumnb/data/{folder}') for folder in ('weights', 'beats'))
        if path.stat().st_size > (WEIGHTS if shipped else MEGABYTE):
            problems.append(
                f'{name}: {path.stat().st_size / MEGABYTE:.1f} MB; a tracked file is at most 1 MB, shipped weights 4'
            )
        try:
            text = path.read_text(encoding='utf-8')
        except UnicodeDecodeError:
            continue
        for what, pattern in FOREIGN.items():
            if match := pattern.search(text):
                problems.append(f'{name}:{text[: match.start()].count(chr(10)) + 1}: holds {what}')
    return problems


def check_settings(root: Path = ROOT) -> list[str]:
    "Cleaning keeps papermill's tags, and every requirement has an exact version in constraints.txt."
    parser = ConfigParser(delimiters=['='], interpolation=None)
    parser.read(root / 'settings.ini', encoding='utf-8')
    settings, problems = parser['DEFAULT'], []
    if 'tags' not in settings.get('allowed_cell_metadata_keys', '').split():
        problems.append(
            'settings.ini: allowed_cell_metadata_keys has to hold `tags`, or cleaning deletes the `parameters` tag'
        )
    pinned = constraints(root)
    required = ' '.join(v for k, v in settings.items() if k.endswith('requirements')).split()
    for name in (canonical(re.match(r'[\w.-]+', r)[0]) for r in required):
        if name not in pinned:
            problems.append(f'constraints.txt: has no exact version of {name}, which settings.ini asks for')
    for name, version in pinned.items():
        try:
            if (installed := distribution(name).version.split('+')[0]) != version:
                problems.append(
                    f'constraints.txt: says {name}=={version}, and {installed} is installed; run `make venv`'
                )
        except PackageNotFoundError:
            continue  # needed on another system only
    return problems


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def constraints(root: Path = ROOT) -> dict[str, str]:
    "constraints.txt as {package: version}."
    lines = (line.strip() for line in (root / 'constraints.txt').read_text(encoding='utf-8').splitlines())
    return {
        canonical(name): version
        for name, _, version in (line.partition('==') for line in lines if line and not line.startswith('#'))
    }


CHECKS = [
    check_sync,
    check_imports,
    check_notebooks,
    check_house,
    check_order,
    check_figures,
    check_drawn,
    check_files,
    check_settings,
    check_ruff,
    check_names_once,
    check_form,
]


def main() -> int:
    problems = [line for check in CHECKS for line in check(ROOT)]
    notes = [f'note: {line}' for line in form_notes(ROOT)]
    for line in [*notes, *problems]:
        print(line)
    print(
        'export cells: {cells}, lines of code: median {median:g}, 90th percentile {p90}; largest {maximum}'.format(
            **export_figures()
        )
    )
    if not problems:
        print(f'{len(notebooks())} notebooks, their modules and figures are in sync and clean')
    return 1 if problems else 0


if __name__ == '__main__':
    raise SystemExit(main())
