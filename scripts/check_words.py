"""Check that names, captions, help and prose use the words of the field: one line per file, with counts.

`python scripts/check_words.py FILE…` lists every place; without files, all notebooks, documents and shipped cards are
counted, and any is an exit status of 1. `ALLOWED` holds what may stay, and why.
"""

import ast
import re
import sys
from collections import Counter
from pathlib import Path

import check_sync

ROOT = Path(__file__).resolve().parents[1]
NAMES = {  # part of an identifier → the word to use
    'advice': 'language-model regularisation',
    'advised': 'regularised',
    'company': 'accompaniment',
    'invented': 'false positives',
    'judge': 'evaluate',
    'kin': 'same_source',
    'mend': 'fix',
    'plates': 'cymbal_bleed',
    'rattle': 'sympathetic resonance, snare buzz',
    'sends': 'effects_send',
    'skins': 'drums',
    'squeeze': 'compression',
    'standin': 'fixture',
    'standins': 'fixtures',
    'zoo': 'registry',
}
PHRASES = {  # regular expression, read without case → the words to use
    r'(not|cannot be) told (from|apart)|told from (nothing|it|the best)': 'significant, not significant',
    r'(more than|may be|is) luck': 'significant, not significant',
    r'invented (ones?|onsets?|strokes?)|(was|were) invented': 'false positives',
    r'never heard': 'unseen, held-out',
    r'by lot\b': 'random sample',
    r'(a|larger|wider) memor(y|ies) of \d+|memory of \d+ units': 'hidden size',
    r'answers? together|several answering|\banswering\b': 'ensemble, or sympathetic resonance',
    r'\bskins\b': 'drums with a head',
    r'\bsqueez\w+': 'compression',
    r'\brattl\w+': 'sympathetic resonance, snare buzz',
    r'\badvi[cs]e[ds]?\b': 'language-model regularisation',
    r'\bkin\b': 'same source, related',
    r'stand-ins?\b': 'fixture',
    r'\bzoo\b': 'registry',
    r'\bmend(ed|s)?\b': 'fix',
    r'the desk\b': 'mixing console',
    r'what they are worth': 'evaluation',
    r'honest confidence': 'calibrated confidence',
}
ALLOWED = {  # (file, word as found): why it may stay
    ('scripts/check_words.py', '*'): 'the table itself',
    ('nbs/09_transcription_problem.ipynb', 'rattle'): 'a random stream; another name is another sound',
}
PATTERN = {re.compile(words, re.I): better for words, better in PHRASES.items()}


def names_of(tree: ast.Module) -> list[str]:
    "Every name that code defines, its arguments included."
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
    return found


def wrong_names(tree: ast.Module) -> list[tuple[str, str]]:
    "(name, better words) of names that hold a word of the table."
    return [(name, NAMES[part]) for name in names_of(tree) for part in name.lower().split('_') if part in NAMES]


def strings_of(tree: ast.Module) -> list[str]:
    "The texts that a reader sees: docstrings, help, titles, column names."
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def wrong_phrases(text: str) -> list[tuple[str, str]]:
    "(words as found, better words) in a text."
    text = ' '.join(text.split())
    return [(m[0], better) for pattern, better in PATTERN.items() for m in pattern.finditer(text)]


def wrong_words(path: Path) -> list[tuple[str, str]]:
    "(words as found, better words) in a notebook, a module of Python or a document."
    if path.suffix == '.py':
        tree = ast.parse(path.read_text(encoding='utf-8'))
        return wrong_names(tree) + wrong_phrases(' \n '.join(strings_of(tree)))
    if path.suffix != '.ipynb':
        return wrong_phrases(path.read_text(encoding='utf-8'))
    found = []
    for cell in check_sync.cells_of(path):
        if cell['cell_type'] == 'code' and (tree := check_sync.python_of(cell)):
            captions = re.findall(r'^#\| *(?:fig|tbl)-(?:cap|alt): *(.*(?:\n#\|  .*)*)', cell['text'], re.M)
            found += wrong_names(tree) + wrong_phrases(' \n '.join([*strings_of(tree), *captions]).replace('#|', ''))
        elif cell['cell_type'] == 'markdown':
            found += wrong_phrases(cell['text'])
    return found


def files(root: Path = ROOT) -> list[Path]:
    "Notebooks, documents, model cards and scripts that readers see."
    found = [*check_sync.notebooks(root), *sorted(root.glob('*.md')), *sorted(root.glob('drumnb/data/**/*.md'))]
    return found + [p for name in ('scripts', 'benchmarks') for p in sorted((root / name).glob('*.py'))]


def check_words(root: Path = ROOT) -> list[str]:
    "One line for each file that uses other words than the field's."
    lines = []
    for path in files(root):
        name = path.relative_to(root).as_posix()
        words = Counter(
            w.lower() for w, _ in wrong_words(path) if not {(name, '*'), (name, w.lower())} & ALLOWED.keys()
        )
        if words:
            most = ', '.join(f'{word} ({n})' for word, n in words.most_common(6))
            lines.append(f'{name}: {words.total()} words that the field does not use: {most}')
    return lines


def main() -> int:
    chosen = [Path(name).resolve() for name in sys.argv[1:]]
    for path in chosen:
        for word, better in wrong_words(path):
            print(f'{path.relative_to(ROOT)}: {word!r}; better: {better}')
    lines = [] if chosen else check_words()
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == '__main__':
    raise SystemExit(main())
