"""Read the executed chapters as one book: a pandoc tree with numbers, references, citations and captions.

`read_book` gives chapters of blocks that do not yet know whether they become pages or paper: code cells, figures,
tables, equations, sounds and references stay recognisable as `Div` and `Span` elements of their own classes.
`build_html.py` and `build_pdf.py` write them.
`nbs/print.csv` says which parts and chapters the PDF prints in full, in short form, or leaves to the HTML pages.
Run as a script, it checks the book and says what is wrong, one line each.
"""

import argparse
import ast
import base64
import copy
import csv
import io
import json
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from citations import keys_of, wrong_addresses

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TITLE = 'Automatic drum transcription'
SUBTITLE = 'From sound to sheet music in executable notebooks'
PARTS_TABLE = list(csv.DictReader((ROOT / 'nbs/parts.csv').open(encoding='utf-8', newline='')))
PARTS = {row['tens']: row['title'] for row in PARTS_TABLE}
APPENDICES = list(PARTS.values())[-1]  # the last part; it has no number
PART_NUMBERS = {
    title: f'Part {roman}'
    for title, roman in zip(list(PARTS.values())[:-1], ('I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'VIII', 'IX'))
}
FORMS = ('full', 'short', 'online')  # of a chapter in the PDF: with short code, without code and exercises, not at all
LAST = '00_core'  # stands first in the library and last in the book
READER = (
    'markdown+lists_without_preceding_blankline-raw_tex-latex_macros-definition_lists-example_lists-fancy_lists-line_blocks'
    '-simple_tables-multiline_tables-grid_tables-subscript-superscript-auto_identifiers-implicit_figures-blank_before_header'
    '-blank_before_blockquote-yaml_metadata_block-pandoc_title_block-inline_notes-implicit_header_references-native_divs-native_spans'
)
KINDS = {'fig': 'figure', 'tbl': 'table', 'eq': 'equation', 'sec': 'section'}
BREAK, LONG_WORD = '\u200b', 11  # a place where a word may break; characters of a word that needs one
LINES_SHOWN = 40  # of printed output; the rest is counted


class BookError(ValueError):
    "Something that keeps the book from being made; one line."


@dataclass
class Chapter:
    slug: str  # 'onsets' of 05_onsets.ipynb
    name: str  # '05_onsets'
    part: str
    number: str = ''  # '5', or 'B' for an appendix
    form: str = 'full'  # one of FORMS
    online: frozenset = frozenset()  # titles of sections that the PDF leaves to the pages
    module: str = ''  # 'drumnb.onsets'; empty for prose
    title: list = field(default_factory=list)  # inlines
    summary: list = field(default_factory=list)  # inlines
    blocks: list = field(default_factory=list)

    @property
    def appendix(self) -> bool:
        return self.number.isalpha()

    @property
    def plain_title(self) -> str:
        return text_of(self.title)


@dataclass
class Book:
    chapters: list
    targets: dict = field(default_factory=dict)  # id → (kind, number, slug, caption inlines)
    references: list = field(default_factory=list)  # bibliography entries, as blocks
    acronyms: list = field(default_factory=list)  # (short, long) pairs
    images: dict = field(default_factory=dict)  # file name → bytes
    sounds: dict = field(default_factory=dict)  # key → (mime, bytes)
    problems: list = field(default_factory=list)

    def captions(self, kind: str) -> list:
        "The numbered figures or tables in order: (id, number, slug, caption)."
        return [(i, n, slug, cap) for i, (k, n, slug, cap) in self.targets.items() if k == kind]


# ---- pandoc and its tree


def pandoc_path() -> str:
    try:
        import pypandoc
    except ImportError:
        raise BookError('pandoc: not installed; run `make venv`, which installs pypandoc_binary') from None
    return pypandoc.get_pandoc_path()


def pandoc(text: str, *args: str) -> str:
    "Run pandoc on a text; its complaints become a BookError."
    run = subprocess.run([pandoc_path(), *args], input=text, capture_output=True, text=True, encoding='utf-8')
    if run.returncode:
        raise BookError(f'pandoc {" ".join(args[:4])}: {" ".join(run.stderr.split())[:300]}')
    return run.stdout


def blocks_of(markdown: str, reader: str = READER) -> list:
    return json.loads(pandoc(markdown, '-f', reader, '-t', 'json'))['blocks']


def inlines_of(markdown: str) -> list:
    blocks = blocks_of(markdown)
    return blocks[0]['c'] if blocks and blocks[0]['t'] in ('Para', 'Plain') else []


def document(blocks: list, meta: dict | None = None) -> str:
    return json.dumps({'pandoc-api-version': [1, 23, 1], 'meta': meta or {}, 'blocks': blocks})


def el(kind: str, content=None) -> dict:
    return {'t': kind} if content is None else {'t': kind, 'c': content}


def text(words: str) -> list:
    "Inlines of a plain text."
    out = []
    for i, word in enumerate(words.split(' ')):
        out += ([el('Space')] if i else []) + ([el('Str', word)] if word else [])
    return out


def attr(id='', classes=(), **pairs) -> list:
    return [id, list(classes), [[k, str(v)] for k, v in pairs.items()]]


def div(blocks: list, id='', classes=(), **pairs) -> dict:
    return el('Div', [attr(id, classes, **pairs), blocks])


def walk(node, change):
    """The tree with every element replaced by what `change` gives for it: None keeps it, a list takes its place
    among its siblings."""
    if isinstance(node, list):
        out = []
        for child in node:
            new = walk(child, change)
            if isinstance(child, dict) and 't' in child and isinstance(new, list):
                out += new
            else:
                out.append(new)
        return out
    if isinstance(node, dict):
        if 't' in node:
            new = change(node)
            if new is not None:
                return new
        return {k: walk(v, change) for k, v in node.items()}
    return node


def elements(node, *kinds):
    "Every element of some kinds, in reading order."
    if isinstance(node, list):
        for child in node:
            yield from elements(child, *kinds)
    elif isinstance(node, dict):
        if node.get('t') in kinds:
            yield node
        yield from elements(node.get('c'), *kinds)


def text_of(node) -> str:
    "The plain words of a tree."
    if isinstance(node, list):
        return ''.join(text_of(child) for child in node)
    if not isinstance(node, dict):
        return ''
    t, c = node.get('t'), node.get('c')
    if t == 'Str':
        return c
    if t in ('Space', 'SoftBreak', 'LineBreak'):
        return ' '
    if t in ('Code', 'Math', 'CodeBlock'):
        return c[1]
    if t in ('RawInline', 'RawBlock'):
        return ''
    if t == 'Quoted':
        return f'“{text_of(c[1])}”' if c[0]['t'] == 'DoubleQuote' else f'‘{text_of(c[1])}’'
    if t == 'Cite':
        return text_of(c[1])
    if t in ('Link', 'Span', 'Image'):
        return text_of(c[1])
    if t == 'Note':
        return ''
    inner = text_of(c)
    return inner + (' ' if t in ('Para', 'Plain', 'Header', 'Div', 'BlockQuote') else '')


def slugify(words: str) -> str:
    return re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-') or 'section'


# ---- cells


def options(source: str) -> dict:
    "The `#| name: value` lines of a cell; a directive without a value is True."
    source = re.sub(r'\n#\|[ \t]{2,}', ' ', source)  # a long value goes on in lines that are indented after the bar
    found = re.findall(r'^#\|[ \t]*([\w-]+)[ \t]*:?[ \t]*(.*?)[ \t]*$', source, re.M)
    return {
        name: value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value or True for name, value in found
    }


def code_of(source: str) -> str:
    "A cell without its directives and line magics."
    lines = [line for line in source.splitlines() if not re.match(r'#\||%(?!%)|%%', line)]
    return '\n'.join(lines).strip('\n')


def tree_of(code: str):
    try:
        return ast.parse(code)
    except SyntaxError:
        return ast.Module([], [])


def is_imports(code: str) -> bool:
    body = tree_of(code).body
    return bool(body) and all(
        isinstance(n, (ast.Import, ast.ImportFrom)) or isinstance(n, ast.Assign) and 'use_style' in ast.unparse(n)
        for n in body
    )


def is_checks(code: str) -> bool:
    "Only assertions: worth running, not worth reading on paper."
    body = tree_of(code).body

    def asserts(n):
        return (
            isinstance(n, (ast.Assert, ast.Import, ast.ImportFrom))
            or isinstance(n, ast.Expr)
            and isinstance(n.value, ast.Call)
            and ast.unparse(n.value.func).startswith('test_')
        )

    return bool(body) and all(asserts(n) for n in body)


def draws(code: str) -> bool:
    return bool(re.search(r'\bplt\.|save_figure|\bax\.|\baxes\b|display\(', code))


def defined(code: str) -> list[str]:
    return [n.name for n in tree_of(code).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]


def unquoted(words: str) -> str:
    "A string as it reads, where Python shows it in quotes."
    try:
        value = ast.literal_eval(words.strip()) if words.strip()[:1] in ('"', "'") else None
    except (SyntaxError, ValueError):
        return words
    return value if isinstance(value, str) else words


def strip_terminal(words: str) -> str:
    "Printed text as it stood at the end: no colours, no overwritten progress bars."
    words = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', words)
    lines = [line.rsplit('\r', 1)[-1] for line in words.replace('\r\n', '\n').split('\n')]
    lines = [line.replace(str(ROOT), '.').replace(str(Path.home()), '~') for line in lines]
    lines = [
        re.sub(r'<([\w.]+) object at 0x[0-9a-f]+>', r'<\1>', re.sub(r'(/[\w.-]+)*/tmp\w{6,}', '…', line))
        for line in lines
    ]  # other names in every run
    lines = [
        re.sub(
            r'(?<![\w.])\d+\.\d{7,}(?![\w.])',
            lambda m: f'{float(m[0]):.5g}',
            re.sub(r'\bnp\.(?:float|int)\d+\(([^()]*)\)', r'\1', line),
        )
        for line in lines
    ]  # digits that nobody reads
    return '\n'.join(line.rstrip() for line in lines if not re.search(r'\d+%\|.*\| *\d+/\d+', line)).strip('\n')


def natural_width(png: bytes, default_dpi: float = 110) -> tuple[float, float]:
    "Inches of a PNG: width and height."
    width, height = int.from_bytes(png[16:20], 'big'), int.from_bytes(png[20:24], 'big')
    found = png.find(b'pHYs', 0, 4096)
    dpi = default_dpi
    if found > 0 and png[found + 12] == 1:
        dpi = int.from_bytes(png[found + 4 : found + 8], 'big') * 0.0254 or default_dpi
    return width / dpi, height / dpi


def to_mp3(wav: bytes) -> tuple[str, bytes]:
    "A sound in a tenth of the bytes; as it was when it cannot be read."
    try:
        import soundfile

        x, rate = soundfile.read(io.BytesIO(wav), dtype='float32')
        out = io.BytesIO()
        soundfile.write(out, x, rate, format='MP3', subtype='MPEG_LAYER_III')
        return 'audio/mpeg', out.getvalue()
    except Exception:  # an older libsndfile writes no MP3
        return 'audio/wav', wav


# ---- one chapter


class Reader:
    "Turns one executed notebook into a chapter."

    def __init__(self, path: Path, figures: list[Path], book: Book):
        self.path, self.figures, self.book = path, figures, book
        self.notebook = json.loads(path.read_text(encoding='utf-8'))
        name = path.stem
        self.chapter = Chapter(
            name.split('_', 1)[1].replace('_', '-'),
            name,
            APPENDICES if name == LAST else PARTS.get(name[0], APPENDICES),
        )

    def problem(self, words: str):
        self.book.problems.append(f'nbs/{self.path.name}: {words}')

    def read(self) -> Chapter:
        pieces, cells = [], {}
        for i, cell in enumerate(self.notebook['cells']):
            source = ''.join(cell['source'])
            if 'papermill-error-cell-tag' in cell['metadata'].get('tags', []):
                continue  # papermill's note that a cell failed; the failed cell is reported below
            if cell['cell_type'] == 'markdown':
                for words in wrong_addresses(source):
                    self.problem(words)
                pieces.append(self.markdown(keys_of(source), cell))
            elif cell['cell_type'] == 'code':
                cells[i] = (source, cell)
                if module := re.search(r'^#\|\s*default_exp\s+(\S+)', source, re.M):
                    self.chapter.module = f'drumnb.{module[1]}'
                pieces.append(f'```{{.placeholder cell="{i}"}}\n```')
        blocks = blocks_of('\n\n'.join(pieces))
        blocks = self.take_title(blocks)
        self.convert_html([cell for _, cell in cells.values()])

        def place(node):
            if node['t'] == 'CodeBlock' and 'placeholder' in node['c'][0][1]:
                return self.cell(*cells[int(dict(node['c'][0][2])['cell'])], int(dict(node['c'][0][2])['cell']))

        blocks = walk(blocks, place)
        self.chapter.blocks = self.headings(self.equations(blocks))
        return self.chapter

    def markdown(self, source: str, cell: dict) -> str:
        for name, data in cell.get('attachments', {}).items():
            mime, value = next(iter(data.items()))
            source = source.replace(f'attachment:{name}', f'data:{mime};base64,{value}')
        # a display formula on lines of its own is a paragraph of its own
        return re.sub(
            r'\n(\$\$.*?\$\$(?:[ \t]*\{#eq-[\w-]+\})?)[ \t]*\n', r'\n\n\1\n\n', f'\n{source}\n', flags=re.S
        ).strip('\n')

    def take_title(self, blocks: list) -> list:
        "The H1 and the quoted summary under it."
        if not blocks or blocks[0]['t'] != 'Header' or blocks[0]['c'][0] != 1:
            raise BookError(f'nbs/{self.path.name}: begins without a `# title`')
        self.chapter.title = blocks[0]['c'][2]
        if blocks[0]['c'][1][0] or '{#sec' in self.chapter.plain_title:
            self.problem('the title line carries an identifier; chapters are labelled by their file name')
        rest = blocks[1:]
        if rest and rest[0]['t'] == 'BlockQuote' and rest[0]['c'] and rest[0]['c'][0]['t'] in ('Para', 'Plain'):
            quote, rest = rest[0]['c'], rest[1:]
            self.chapter.summary = quote[0]['c']
            rest = quote[1:] + rest
        return rest

    def headings(self, blocks: list) -> list:
        "Identifiers that are unique in the whole book; the title is the only heading of level 1."
        used = Counter()

        def change(node):
            if node['t'] != 'Header':
                return None
            level, (id, classes, pairs), words = node['c']
            plain = text_of(words).strip()
            anchor = re.sub(r'\s+', '-', plain)  # what JupyterLab calls this heading
            if not id:
                id = f'{self.chapter.slug}-{slugify(plain)}'
                used[id] += 1
                id += f'-{used[id]}' if used[id] > 1 else ''
            return el('Header', [max(level, 2), [id, classes, [*pairs, ['anchor', anchor]]], words])

        return walk(blocks, change)

    def equations(self, blocks: list) -> list:
        "A display formula followed by `{#eq-x}` becomes a labelled equation of its own."

        def change(node):
            if node['t'] not in ('Para', 'Plain'):
                return None
            words, out, i, changed = node['c'], [], 0, False
            while i < len(words):
                item = words[i]
                if item['t'] == 'Math' and item['c'][0]['t'] == 'DisplayMath':
                    tail = words[i + 1 : i + 3]
                    mark = next(
                        (re.fullmatch(r'\{#(eq-[\w-]+)\}[.,;]?', w['c']) for w in tail if w['t'] == 'Str'), None
                    )
                    if mark and all(w['t'] in ('Space', 'SoftBreak', 'Str') for w in tail):
                        out.append(el('Span', [attr(mark[1], ['equation']), [item]]))
                        i, changed = i + 1 + next(k + 1 for k, w in enumerate(tail) if w['t'] == 'Str'), True
                        continue
                out.append(item)
                i += 1
            return el(node['t'], out) if changed else None

        return walk(blocks, change)

    # -- code cells and what they show

    def convert_html(self, cells: list):
        "All tables and texts that the chapter's cells show, read by pandoc in two runs."
        html_parts, text_parts = [], []
        for cell in cells:
            for output in cell.get('outputs', []):
                data = output.get('data', {})
                page, words = ''.join(data.get('text/html', '')), ''.join(data.get('text/markdown', ''))
                if words:
                    text_parts.append((output, keys_of(words)))
                elif '<table' in page and '<audio' not in page and '<script' not in page and '<iframe' not in page:
                    html_parts.append((output, re.sub(r'(?s)<style.*?</style>', '', page)))
        for parts, reader, sep in (
            (html_parts, 'html', '<pre class="cut">{}</pre>'),
            (text_parts, READER, '\n\n```{{.cut}}\n{}\n```\n\n'),
        ):
            if not parts:
                continue
            joined = '\n'.join(words + sep.format(i) for i, (_, words) in enumerate(parts))
            group, number = [], 0
            for block in blocks_of(joined, reader):
                if block['t'] == 'CodeBlock' and 'cut' in block['c'][0][1]:
                    parts[number][0]['blocks'] = group
                    group, number = [], number + 1
                else:
                    group.append(block)

    def cell(self, source: str, cell: dict, i: int) -> list:
        opts, code = options(source), code_of(source)
        choice = opts.get('book', '')
        if 'hide' in opts or choice == 'skip' or 'skip-book' in cell.get('metadata', {}).get('tags', []):
            return []
        label, out = str(opts.get('label', '')), []
        if code and 'default_exp' not in opts and choice != 'hide' and 'nbdev_export(' not in code:
            out.append(self.code(code, opts, i, bool(cell.get('outputs')), self.announced(i)))
        shown, pictures = [], sum('image/png' in o.get('data', {}) for o in cell.get('outputs', []))
        for k, output in enumerate(cell.get('outputs', [])):
            shown += self.output(output, label, i, k, pictures == 1)
        kind = label.partition('-')[0]
        if kind in ('fig', 'tbl') and opts.get(f'{kind}-cap'):
            shown = self.captioned(kind, label, opts, shown, source)
        elif kind in ('fig', 'tbl') and any(self.is_shown(b, kind) for b in shown):
            self.problem(f'{label} has no `#| {kind}-cap:`, so it has no number')
        shown = self.alternatives(shown, opts, label, code)
        return out + ([div(shown, classes=['shown'])] if shown else [])

    def announced(self, i: int) -> bool:
        "Whether the text before a cell ends with a colon, so that the cell must follow."
        before = self.notebook['cells'][i - 1] if i else {'cell_type': 'none', 'source': ''}
        return before['cell_type'] == 'markdown' and ''.join(before['source']).rstrip().endswith(':')

    def code(self, code: str, opts: dict, i: int, shows: bool, announced: bool = False) -> dict:
        kind = (
            'export'
            if {'export', 'exports'} & opts.keys()
            else 'imports'
            if is_imports(code)
            else 'checks'
            if is_checks(code)
            or not shows
            and re.search(r'^\s*(assert\b|test_\w+\()|[:;] *(assert\b|test_\w+\()', code, re.M)
            else 'drawing'
            if draws(code)
            else 'plain'
        )
        names = ', '.join(defined(code))
        if kind == 'export' and is_imports(code):
            kind = 'imports'
        return el(
            'CodeBlock',
            [
                attr(
                    '',
                    ['python', 'cell'],
                    kind=kind,
                    names=names,
                    cell=i,
                    book=opts.get('book', ''),
                    announced='yes' if announced else '',
                    lines=code.count('\n') + 1,
                ),
                code,
            ],
        )

    @staticmethod
    def is_shown(block: dict, kind: str) -> bool:
        return any(True for _ in elements([block], 'Image' if kind == 'fig' else 'Table'))

    def image(self, name: str, data: bytes, mime: str) -> dict:
        width = 6.0
        if mime == 'image/png':
            width = natural_width(data)[0]
        elif found := re.search(rb'<svg[^>]*?\bwidth="([\d.]+)(px|pt)?"', data[:3000]):
            width = float(found[1]) / (72 if found[2] == b'pt' else 96)
        self.book.images[name] = data
        return el('Para', [el('Image', [attr('', [], inches=f'{width:.2f}'), [], [name, '']])])

    def output(self, output: dict, label: str, i: int, k: int, alone: bool) -> list:
        "The blocks of one output."
        if output['output_type'] == 'stream':
            words = strip_terminal(''.join(output['text'])) if output['name'] == 'stdout' else ''
            return [self.printed(words)] if words else []
        if output['output_type'] == 'error':
            self.problem(f'cell {i} ended with {output["ename"]}')
            return []
        data = output.get('data', {})
        name = label.split('-', 1)[-1] if label else f'cell{i}' + (f'-{k}' if k else '')
        base = f'{self.chapter.slug}-{name}'
        page = ''.join(data.get('text/html', ''))
        if '<audio' in page:
            return self.sound(page, f'{self.chapter.slug}-{i}-{k}')
        if 'blocks' in output:  # what a cell writes is no section of the book
            return walk(
                output['blocks'], lambda n: [el('Para', [el('Strong', n['c'][2])])] if n['t'] == 'Header' else None
            )
        if 'image/svg+xml' in data:
            return [self.image(f'{base}.svg', ''.join(data['image/svg+xml']).encode(), 'image/svg+xml')]
        if 'image/png' in data:
            name, png = f'{base}.png', base64.b64decode(''.join(data['image/png']))
            if alone and (saved := self.saved(label)):
                png = saved
            while self.book.images.get(name, png) != png:
                name = name.replace('.png', 'x.png')
            return [self.image(name, png, 'image/png')]
        if 'image/jpeg' in data:
            return [self.image(f'{base}.jpg', base64.b64decode(''.join(data['image/jpeg'])), 'image/jpeg')]
        plain = ''.join(data.get('text/plain', ''))
        if page.lstrip().startswith('<svg'):
            return [self.image(f'{base}.svg', page.encode(), 'image/svg+xml')]
        if page:
            return [div([el('RawBlock', ['html', page])], classes=['only-html'])]
        if re.fullmatch(r'<[\w.]+ object.*>|<(Figure|Axes).*>|None|(Posix|Windows)Path\(.*\)', plain.strip(), re.S):
            return []
        return [self.printed(strip_terminal(unquoted(plain)))] if plain.strip() else []

    def saved(self, label: str) -> bytes | None:
        "The figure that the chapter saved under its label: the same picture with more dots."
        for folder in self.figures:
            if label.startswith('fig-') and (path := folder / f'{label[4:]}.png').exists():
                return path.read_bytes()
        return None

    @staticmethod
    def printed(words: str) -> dict:
        lines = words.expandtabs(8).split('\n')
        if len(lines) > LINES_SHOWN:
            lines = [*lines[: LINES_SHOWN - 1], f'… and {len(lines) - LINES_SHOWN + 1} more lines']
        return el('CodeBlock', [attr('', ['printed']), '\n'.join(lines)])

    def sound(self, page: str, key: str) -> list:
        out = []
        for n, (kind, found) in enumerate(re.findall(r'src="data:(audio/[\w-]+);base64,([^"]+)"', page)):
            name, sound = f'{key}-{n}', base64.b64decode(found)
            self.book.sounds[name] = to_mp3(sound) if kind.endswith('wav') else (kind, sound)
            out.append(div([], classes=['sound'], sound=name))
        return out

    def captioned(self, kind: str, label: str, opts: dict, shown: list, source: str) -> list:
        "What a labelled cell shows, with its caption; a figure that cannot be drawn here is taken from figures/."
        if not any(self.is_shown(b, kind) for b in shown):
            committed = self.saved(label) if kind == 'fig' else None
            if committed is None:
                if kind == 'fig' and 'needs' not in opts and re.search(r'plt\.|save_figure', source):
                    self.problem(
                        f'{label} is not in the book: its cell draws nothing here, and figures/{label[4:]}.png does '
                        'not exist'
                    )
                return shown
            # what the cell printed says that it cannot draw here
            shown = [self.image(f'{self.chapter.slug}-{label[4:]}.png', committed, 'image/png')]
        caption = inlines_of(str(opts[f'{kind}-cap']))
        aside = [b for b in shown if b['t'] == 'CodeBlock' or b['t'] == 'Div' and 'sound' in b['c'][0][1]]
        body = [b for b in shown if b not in aside]
        alt = str(opts.get('fig-alt') or text_of(caption))
        return [
            div(
                [div([el('Plain', caption)], classes=['caption']), *body],
                id=label,
                classes=['figure' if kind == 'fig' else 'table'],
                alt=alt,
            ),
            *aside,
        ]

    def alternatives(self, shown: list, opts: dict, label: str, code: str) -> list:
        "Every picture says in words what it shows."
        caption = text_of(inlines_of(str(opts['fig-cap']))) if opts.get('fig-cap') else ''
        words = str(opts.get('fig-alt') or caption)

        def change(node):
            if node['t'] == 'Image' and not node['c'][1]:
                said = words or (label.split('-', 1)[-1].replace('-', ' ') if label else '')
                if not words:
                    self.problem(
                        f'a picture {f"({label}) " if label else ""}has no caption to describe it: cell that begins '
                        f'"{code.splitlines()[0][:50] if code else ""}"'
                    )
                return el('Image', [node['c'][0], text(said or 'picture'), node['c'][2]])

        return walk(shown, change)


# ---- the whole book


def order_of(path: Path) -> tuple:
    return (path.stem == LAST, path.name)


def read_book(
    folder: Path,
    figures: list[Path] | None = None,
    bibliography: Path = HERE / 'references.bib',
    forms: Path = ROOT / 'nbs/print.csv',
) -> Book:
    "All executed notebooks of a folder as a book, numbered and cited."
    paths = sorted(Path(folder).glob('[0-9][0-9]_*.ipynb'), key=order_of)
    if not paths:
        raise BookError(f'{folder}: holds no executed chapters; run `make thesis`, which executes them first')
    book = Book([])
    if figures is None:
        figures = [ROOT / 'figures']
    readers = [Reader(path, figures, book) for path in paths]
    with ThreadPoolExecutor(2) as pool:
        book.chapters = list(pool.map(Reader.read, readers))
    book.problems.sort()
    number_chapters(book.chapters)
    read_forms(book, forms)
    book.acronyms = read_acronyms(HERE / 'acronyms.csv')
    for chapter in book.chapters:
        local_images(book, chapter, ROOT / 'nbs')
        markdown_tables(chapter)
        number_elements(book, chapter)
    anchors = {
        (c.name, dict(h['c'][1][2]).get('anchor')): h['c'][1][0]
        for c in book.chapters
        for h in elements(c.blocks, 'Header')
    }
    for chapter in book.chapters:
        resolve_links(book, chapter, anchors)
    resolve_references(book)
    cite(book, bibliography)
    book.problems = list(dict.fromkeys([*book.problems, *repeated(book)]))
    return book


def number_chapters(chapters: list):
    "A chapter has the number of its notebook, an appendix a letter."
    letters = iter('ABCDEFGHIJKLMNOPQRSTUVWXYZ')
    for chapter in chapters:
        chapter.number = next(letters) if chapter.part == APPENDICES else chapter.name.split('_')[0].lstrip('0')


def read_forms(book: Book, path: Path):
    """How the PDF prints each chapter: the row of the chapter, else the row of its part, else in full. A row
    `chapter: Title` leaves one section to the pages."""
    with path.open(encoding='utf-8', newline='') as file:
        forms = {row['what']: row['form'] for row in csv.DictReader(file)}
    book.problems += [f'{path.name}: {form} is none of {", ".join(FORMS)}' for form in set(forms.values()) - set(FORMS)]
    known = set(PARTS)
    for chapter in book.chapters:
        number, slug = chapter.name.split('_', 1)
        titles = {' '.join(text_of(h['c'][2]).split()) for h in elements(chapter.blocks, 'Header')}
        chapter.form = forms.get(slug, forms.get(number[0], 'full'))
        chapter.online = frozenset(t for t in titles if f'{slug}: {t}' in forms)
        known |= {slug, *(f'{slug}: {t}' for t in titles)}
    if len(book.chapters) > len(PARTS):  # a whole book, not a sample of it
        book.problems += [f'{path.name}: there is no chapter or section {what}' for what in forms if what not in known]


def read_acronyms(path: Path) -> list:
    if not path.exists():
        return []
    with path.open(encoding='utf-8', newline='') as file:
        return sorted(((row['short'], row['long']) for row in csv.DictReader(file)), key=lambda r: r[0].lower())


def local_images(book: Book, chapter: Chapter, folder: Path):
    "Pictures that the text shows from files join those that cells draw."

    def change(node):
        if node['t'] != 'Image' or node['c'][2][0] in book.images:
            return None
        (id, classes, pairs), alt, (target, title) = node['c']
        if '://' in target:
            book.problems.append(f'nbs/{chapter.name}.ipynb: shows {target} of another host')
            return el('Str', text_of(alt))
        if target.startswith('data:'):
            mime, _, data = target[5:].partition(';base64,')
            name, content = (
                f'{chapter.slug}-attachment-{len(book.images)}.{mime.split("/")[1].split("+")[0]}',
                base64.b64decode(data),
            )
        elif (path := folder / target).is_file():
            name, content = f'{chapter.slug}-{path.name}', path.read_bytes()
        else:
            book.problems.append(f'nbs/{chapter.name}.ipynb: shows {target}, which does not exist')
            return el('Str', text_of(alt))
        book.images[name] = content
        if not text_of(alt).strip():
            book.problems.append(f'nbs/{chapter.name}.ipynb: the picture {target} has no alternative text')
        width = natural_width(content)[0] if name.endswith('.png') else 6.0
        return el('Image', [[id, classes, [*pairs, ['inches', f'{width:.2f}']]], alt, [name, title]])

    chapter.blocks = walk(chapter.blocks, change)


def markdown_tables(chapter: Chapter):
    "A table with a caption of its own becomes the same element as one that a cell labels."

    def change(node):
        if node['t'] == 'Div' and 'table' in node['c'][0][1]:
            return node
        if node['t'] != 'Table':
            return None
        (id, classes, pairs), caption = node['c'][0], node['c'][1][1]
        if not id.startswith('tbl-'):
            return None
        bare = el('Table', [['', classes, pairs], [None, []], *node['c'][2:]])
        words = caption[0]['c'] if caption else []
        return div([div([el('Plain', words)], classes=['caption']), bare], id=id, classes=['table'], alt=text_of(words))

    chapter.blocks = walk(chapter.blocks, change)


def number_elements(book: Book, chapter: Chapter):
    "Numbers of sections, figures, tables and equations, counted within the chapter."
    count = Counter()
    book.targets[f'sec-{chapter.slug}'] = ('sec', chapter.number, chapter.slug, chapter.title)

    def add(id: str, kind: str, caption: list) -> str:
        count[kind] += 1
        number = f'{chapter.number}.{count[kind]}'
        if id in book.targets:
            book.problems.append(f'nbs/{chapter.name}.ipynb: the label {id} is used twice')
        book.targets[id] = (kind, number, chapter.slug, caption)
        return number

    for node in elements(chapter.blocks, 'Header', 'Div', 'Span'):
        if node['t'] == 'Header' and node['c'][0] == 2:
            node['c'][1][2].append(['number', add(node['c'][1][0], 'sec', node['c'][2])])
        elif node['t'] == 'Div' and node['c'][0][1][:1] in (['figure'], ['table']):
            kind = 'fig' if node['c'][0][1] == ['figure'] else 'tbl'
            node['c'][0][2].append(['number', add(node['c'][0][0], kind, node['c'][1][0]['c'][1][0]['c'])])
        elif node['t'] == 'Span' and node['c'][0][1] == ['equation']:
            node['c'][0][2].append(['number', add(node['c'][0][0], 'eq', [])])


def resolve_links(book: Book, chapter: Chapter, anchors: dict):
    "Links between notebooks become links inside the book; links to other files of the repository become their names."
    names = {c.name: c.slug for c in book.chapters}

    def change(node):
        if node['t'] != 'Link':
            return None
        target = node['c'][2][0]
        if re.match(r'(https?|mailto):', target):
            return None
        if not target.startswith('#') and not re.match(r'(\./)?\d\d_\w+\.ipynb(#|$)', target):
            return node['c'][1]  # README.md, a template: there is no page of it
        path, _, anchor = target.partition('#')
        name = Path(path).stem if path else chapter.name
        id = f'sec-{names[name]}' if name in names and not anchor else anchors.get((name, anchor.replace('%20', '-')))
        if id is None and anchor in book.targets:
            id = anchor
        if id is None:
            book.problems.append(f'nbs/{chapter.name}.ipynb: links to {target}, which does not exist')
            return node['c'][1]
        return el('Link', [node['c'][0], walk(node['c'][1], change), [f'#{id}', '']])

    chapter.blocks = walk(chapter.blocks, change)
    chapter.summary = walk(chapter.summary, change)


def reference_words(kind: str, number: str, capital: bool) -> str:
    word = (
        'appendix'
        if kind == 'sec' and number.isalpha()
        else 'chapter'
        if kind == 'sec' and number.isdigit()
        else KINDS[kind]
    )
    return f'{word.capitalize() if capital else word}\u00a0{number}'


def resolve_references(book: Book):
    "`@fig-x` becomes “figure 3.2” with a link; `@Fig-x` begins a sentence."
    for chapter in book.chapters:

        def change(node, chapter=chapter):
            if node['t'] != 'Cite':
                return None
            ids = [c['citationId'] for c in node['c'][0]]
            if not any(re.match(r'(?i)(fig|tbl|eq|sec)-', i) for i in ids):
                return None
            out = []
            for k, id in enumerate(ids):
                low = id[0].lower() + id[1:]
                out += text(', ')[:-1] + [el('Space')] if k else []
                if low not in book.targets:
                    book.problems.append(f'nbs/{chapter.name}.ipynb: refers to @{id}, which is not in the book')
                    out.append(el('Str', f'@{id}'))
                    continue
                kind, number, _, _ = book.targets[low]
                out.append(
                    el(
                        'Link',
                        [
                            attr('', ['reference']),
                            [el('Str', reference_words(kind, number, id[0].isupper()))],
                            [f'#{low}', ''],
                        ],
                    )
                )
            return out

        chapter.blocks, chapter.summary = walk(chapter.blocks, change), walk(chapter.summary, change)
        for id, (kind, number, slug, caption) in list(book.targets.items()):
            if slug == chapter.slug:
                book.targets[id] = (kind, number, slug, walk(caption, change))


def cite(book: Book, bibliography: Path):
    "Citations through pandoc's citeproc in one run, so that numbers run through the whole book."
    if not bibliography.exists():
        return
    known = set(re.findall(r'^@\w+\{([^,\s]+),', bibliography.read_text(encoding='utf-8'), re.M))
    cited, captions = set(), {id: t[3] for id, t in book.targets.items()}
    for chapter in book.chapters:
        for node in elements([chapter.summary, chapter.blocks], 'Cite'):
            keys = {c['citationId'] for c in node['c'][0]}
            for key in sorted(keys - known):
                book.problems.append(f'nbs/{chapter.name}.ipynb: cites @{key}, which {bibliography.name} does not have')
            cited |= keys
    wrapped = [div([div([el('Plain', c.summary or text('.'))]), *c.blocks]) for c in book.chapters]
    wrapped.append(div([div([el('Plain', words or text('.'))]) for words in captions.values()]))
    result = json.loads(
        pandoc(
            document(
                wrapped,
                {
                    'link-citations': {'t': 'MetaBool', 'c': True},
                    'nocite': {
                        't': 'MetaInlines',
                        'c': [
                            el(
                                'Cite',
                                [
                                    [
                                        {
                                            'citationId': key,
                                            'citationPrefix': [],
                                            'citationSuffix': [],
                                            'citationMode': {'t': 'NormalCitation'},
                                            'citationNoteNum': 0,
                                            'citationHash': 0,
                                        }
                                        for key in sorted(cited & known)
                                    ],
                                    [],
                                ],
                            )
                        ],
                    }
                    if cited & known
                    else {'t': 'MetaInlines', 'c': []},
                },
            ),
            '-f',
            'json',
            '-t',
            'json',
            '--citeproc',
            '--bibliography',
            str(bibliography),
            '--csl',
            str(HERE / 'numeric.csl'),
        )
    )['blocks']
    for chapter, block in zip(book.chapters, result):
        first, *chapter.blocks = block['c'][1]
        chapter.summary = first['c'][1][0]['c'] if chapter.summary else []
    for (id, old), block in zip(captions.items(), result[len(book.chapters)]['c'][1]):
        kind, number, slug, _ = book.targets[id]
        book.targets[id] = (kind, number, slug, block['c'][1][0]['c'] if old else [])
    book.references = next((b['c'][1] for b in result if b['t'] == 'Div' and b['c'][0][0] == 'refs'), [])


def repeated(book: Book) -> list:
    ids = Counter(i for c in book.chapters for i in identifiers(c.blocks))
    return [f'the identifier {id} is used {n} times' for id, n in ids.items() if n > 1]


def identifiers(blocks: list):
    for node in elements(blocks, 'Header', 'Div', 'Span', 'Table', 'CodeBlock'):
        attributes = node['c'][1] if node['t'] == 'Header' else node['c'][0]
        if attributes[0]:
            yield attributes[0]


def pairs_of(node: dict) -> dict:
    "The attributes of a Div, Span or CodeBlock."
    return dict(node['c'][0][2])


def without_references(inlines: list) -> list:
    "Inlines for a list of figures or a search index: no links, no citations, no notes."

    def change(node):
        if node['t'] in ('Cite', 'Note'):
            return []
        if node['t'] == 'Link':
            return node['c'][1]

    return walk(copy.deepcopy(inlines), change)


def is_numeric(words: str) -> bool:
    return bool(
        re.fullmatch(
            r'[-−–+±<>≈~*\s]*[\d.,:%×⋅]*\d[\d.,:%×]*(\s*(%|ms|s|h|MB|GB|k|M))?([\s(\[–−-]*[-−+\d.,]+[)\]]*)*\s*', words
        )
    ) or words.strip() in ('', '–', '—', '-', 'nan', 'NaN')


def table_rows(table: dict) -> tuple[list, list]:
    "Rows of the head and of the bodies of a pandoc table, as lists of cells."
    c = table['c']
    head = [row[1] for row in c[3][1]]
    body = [row[1] for part in c[4] for row in [*part[2], *part[3]]]
    return head, body


def walk_cells(table: dict, change) -> dict:
    "Change what the cells of a table hold, in place."
    for row in [*table['c'][3][1], *[r for part in table['c'][4] for r in [*part[2], *part[3]]]]:
        for cell in row[1]:
            cell[4] = walk(cell[4], change)
    return table


def breakable(kinds: tuple):
    "What lets long names break after a sign and keeps intervals whole."

    def change(node):
        if node['t'] in ('Str', 'Code') and node['t'] in kinds:
            words = node['c'] if node['t'] == 'Str' else node['c'][1]
            if node['t'] == 'Str':
                words = re.sub(
                    r'^([\[(*]*)-(?=[\d.])|(?<=\de)-(?=\d)', lambda m: (m[1] or '') + '−', words
                )  # a minus, which does not break
            if len(words) > LONG_WORD and ' ' not in words:  # a command breaks at its blanks, and can be copied
                words = re.sub(r'(?<=[_,:/+=@])(?=\w)|(?<=[a-z])(?=\.[a-z])', BREAK, words)
            return [{**node, 'c': words if node['t'] == 'Str' else [node['c'][0], words]}]
        if node['t'] in ('Plain', 'Para'):
            words = node['c']
            held = [
                el('Str', '\u00a0')
                if w['t'] == 'Space' and 0 < k < len(words) - 1 and binds(words[k - 1], words[k + 1])
                else w
                for k, w in enumerate(words)
            ]
            return [{**node, 'c': walk(held, change)}]

    return change


def binds(left: dict, right: dict) -> bool:
    "Whether these two words of a table must stand on one line."
    left, right = (w['c'] if w['t'] == 'Str' else '' for w in (left, right))
    return bool(re.fullmatch(r'\[\S+,', left)) or left == '±' or right in ('≈', '±') or left.isdigit() and right == '%'


def tidy_table(table: dict, may_break: tuple = ('Str',)) -> dict:
    """A table as a reader wants it: without the row numbers of a data frame, one line of names, numbers to the
    right, long names that may break."""
    table = walk_cells(copy.deepcopy(table), breakable(may_break))
    head, body = table_rows(table)
    n = len(table['c'][2])
    plain = [row for row in body if len(row) == n]
    if (
        n > 1
        and plain
        and len(plain) == len(body)
        and all(len(row) == n and not text_of(row[0][4]).strip() for row in head)
        and [text_of(row[0][4]).strip() for row in plain] == [str(i) for i in range(len(plain))]
    ):
        table['c'][2] = table['c'][2][1:]
        for row in [*head, *body]:
            del row[0]
        n -= 1
    head, rows = table_rows(table)[0], table['c'][3][1]
    if len(head) == 2 and all(len(row) == n for row in head):
        upper, lower = ([text_of(cell[4]).strip() for cell in row] for row in head)
        named = [j for j, word in enumerate(lower) if word]
        if (
            named == list(range(len(named)))
            and len(named) < n
            and all(not upper[j] or j == 0 and len(named) == 1 for j in named)
        ):
            for j in named:
                head[0][j][4] = head[1][j][4]
            del rows[1]
    return align_numbers(for_readers(table))


HEAD_WORDS = {'f1': 'F1', 'pct': '%'}


def for_readers(table: dict) -> dict:
    """Names and numbers of a data frame as a reader would write them: no underscores, no NaN, no digit that says
    nothing."""
    head, body = table_rows(table)
    n = len(table['c'][2])
    plain = [row for row in body if len(row) == n]

    def single(cell):  # the one word of a cell, or None
        blocks = cell[4]
        return (
            blocks[0]['c'][0]['c'].replace(BREAK, '')
            if len(blocks) == 1
            and blocks[0]['t'] in ('Plain', 'Para')
            and len(blocks[0]['c']) == 1
            and blocks[0]['c'][0]['t'] == 'Str'
            else None
        )

    def put(cell, words):
        cell[4] = [el('Plain', text(words))]

    for row in head:
        for cell in row:
            if (word := single(cell)) and re.fullmatch(r'[a-z]\w*', word):
                put(cell, ' '.join(HEAD_WORDS.get(w, w) for w in word.split('_')))
    for j in range(n):
        column = [(row[j], word) for row in plain if (word := single(row[j])) is not None]
        for cell, word in column:
            if word in PLAIN_VALUES:
                put(cell, PLAIN_VALUES[word])
        numbers = [
            (cell, word.replace('−', '-'))
            for cell, word in column
            if re.fullmatch(r'[-−]?\d+(\.\d+)?(e[-−+]\d+)?', word)
        ]
        name = text_of(head[-1][j][4]).strip() if head and len(head[-1]) == n else ''
        if not numbers or any(
            w not in PLAIN_VALUES and not re.fullmatch(r'[-−]?\d+(\.\d+)?(e[-−+]\d+)?', w) for _, w in column
        ):
            continue
        decimals = max(len(w.partition('.')[2]) for _, w in numbers)
        if (
            decimals
            and all(re.fullmatch(r'-?\d+\.0+', w) for _, w in numbers)
            and any(abs(float(w)) >= 2 for _, w in numbers)
        ):
            for cell, w in numbers:
                put(cell, f'{int(float(w)):,}'.replace('-', '−'))
        elif decimals > 4 and not any('e' in w for _, w in numbers):
            for cell, w in numbers:
                x = float(w)
                put(cell, (f'{x:.3g}' if 1e-4 < abs(x) < 0.1 else f'{x:.3f}').replace('-', '−'))
        elif (
            not decimals
            and name not in ('seed', 'year', 'id', 'track')
            and all(w.lstrip('-').isdigit() for _, w in numbers)
            and any(len(w.lstrip('-')) > 4 for _, w in numbers)
        ):
            for cell, w in numbers:
                put(cell, f'{int(w):,}'.replace('-', '−'))
    return table


PLAIN_VALUES = {
    'NaN': '–',
    'nan': '–',
    'NaT': '–',
    'None': '–',
    '<NA>': '–',
    'True': 'yes',
    'False': 'no',
    'conv_transformer': 'conv. transformer',
}


def align_numbers(table: dict) -> dict:
    "The table with columns of numbers to the right and words to the left, head and body alike."
    table = copy.deepcopy(table)
    head, body = table_rows(table)
    n = len(table['c'][2])
    plain = [row for row in body if len(row) == n]
    for j in range(n):
        words = [text_of(row[j][4]).strip() for row in plain]
        right = (
            bool(words) and sum(map(is_numeric, words)) > 0.6 * len(words) and any(re.search(r'\d', w) for w in words)
        )
        table['c'][2][j] = [
            el('AlignRight' if right else 'AlignLeft'),
            el('ColWidthDefault'),
        ]  # pandoc would give columns of a pipe table the widths of their dashes
        for row in [*head, *body]:
            if len(row) == n:
                row[j][1] = el('AlignDefault')
    return table


def copyright_line() -> str:
    found = re.search(r'^author\s*=\s*(.+)$', (ROOT / 'settings.ini').read_text(encoding='utf-8'), re.M)
    return found[1] if found else ''


def commit_line() -> tuple[str, str]:
    "The commit that the book is made from and its date; so that the same commit gives the same book."

    def git(*args):
        run = subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True)
        return run.stdout.strip() if run.returncode == 0 else ''

    return git('rev-parse', '--short=12', 'HEAD'), git('log', '-1', '--format=%cs')


def build(about: str, *makers) -> int:
    """The command of the scripts of the book: read the chapters once, let each maker write its form, and say what is
    wrong, one line each, with the minutes and the memory that it took."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument(
        '--chapters', type=Path, default=ROOT / 'runs/chapters', help='folder of the executed notebooks'
    )
    parser.add_argument('--to', type=Path, default=ROOT / 'runs/thesis', help='folder of the book')
    args, started = parser.parse_args(), time.monotonic()
    try:  # figures that need data which are not here come from the repository
        book = read_book(args.chapters, [args.chapters / 'figures', ROOT / 'figures'])
        problems = [*book.problems]
        for make in makers:
            print(f'{(time.monotonic() - started) / 60:.1f} min: {make.__module__}', flush=True)
            problems += make(book, args.to)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    for line in problems:
        print(line)
    print(f'{counted(book)}; {len(problems)} problems; {spent(started)}')
    return 1 if problems else 0


def counted(book: Book) -> str:
    kinds = Counter(kind for kind, *_ in book.targets.values())
    return (
        f'{len(book.chapters)} chapters, {kinds["fig"]} figures, {kinds["tbl"]} tables, {kinds["eq"]} equations, '
        f'{len(book.references)} references, {len(book.sounds)} sounds'
    )


def spent(started: float) -> str:
    import resource

    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f'{(time.monotonic() - started) / 60:.1f} min, {most / 2**20:.1f} GiB'


if __name__ == '__main__':
    raise SystemExit(build(__doc__))
