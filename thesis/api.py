"""The library's reference, one page a package, from the modules' own text: no module is imported.

Each public name stands with its signature as it is written (shapes and units are comments there), its docstring and,
folded, its code. `build_html.py` makes pages of it, which the search of the book covers.
"""

import ast
import html
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from book import PARTS_TABLE, ROOT

LITERAL_LINES = 12  # of a value that is shown whole
CHAPTER = re.compile(r'^# %% (?:\.\./)*nbs/(\w+)\.ipynb', re.M)


@dataclass
class Entry:
    name: str  # 'Track', or 'Track.audio' for a method
    signature: str  # as it is written, up to the docstring
    doc: str
    code: str  # all of it
    members: list = field(default_factory=list)  # entries of public methods


@dataclass
class Module:
    name: str  # 'drumnb.datasets.core'
    doc: str
    chapter: str  # '30_datasets'; empty when it was not made by one
    entries: list

    @property
    def id(self) -> str:
        return f'api-{self.name}'


@dataclass
class Package:
    name: str  # 'drumnb.datasets'
    title: str
    modules: list

    @cached_property
    def slug(self) -> str:
        return 'api-' + self.name.replace('.', '-')


def head_of(node, lines: list[str]) -> str:
    "Signature or class line with its comments, without the body."
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    body = node.body[0]
    if isinstance(node, ast.ClassDef):  # the fields, or what it is made from, are part of what a reader asks for
        head = lines[first : node.lineno]
        for n in node.body:
            if isinstance(n, ast.AnnAssign):
                start = n.lineno - 1
                while lines[start - 1].strip().startswith('#'):
                    start -= 1
                head += lines[start : n.end_lineno]
            elif isinstance(n, ast.FunctionDef) and n.name == '__init__':
                head.append(head_of(n, lines))
        return '\n'.join(head)
    last = body.lineno - 1
    return '\n'.join(lines[first : max(last, node.lineno)]).rstrip()


def entry_of(node, lines: list[str], owner: str = '') -> Entry:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
    name = f'{owner}.{node.name}' if owner else node.name
    made = Entry(name, '', ast.get_docstring(node) or '', '\n'.join(lines[first : node.end_lineno]))
    made.signature = dedent(head_of(node, lines))
    made.code = dedent(made.code)
    if isinstance(node, ast.ClassDef):
        made.members = [
            entry_of(n, lines, node.name)
            for n in node.body
            if isinstance(n, ast.FunctionDef) and not n.name.startswith('_') and ast.get_docstring(n)
        ]
    return made


def dedent(code: str) -> str:
    indent = len(code) - len(code.lstrip(' '))
    return '\n'.join(line[indent:] if line[:indent].isspace() or not indent else line for line in code.split('\n'))


def constant(name: str, node, lines: list[str]) -> Entry:
    "A value with a name; the comment above it says what it is for."
    code, comment = '\n'.join(lines[node.lineno - 1 : node.end_lineno]), []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.startswith('# ') or line.startswith('# %%'):
            break
        comment.insert(0, line[2:])
    return Entry(name, code if code.count('\n') < LITERAL_LINES else f'{name} = …', ' '.join(comment), code)


def patched(node) -> str:
    "The class that an `@patch`ed function belongs to, or nothing."
    if isinstance(node, ast.FunctionDef) and any('patch' in ast.unparse(d) for d in node.decorator_list):
        return ast.unparse(node.args.args[0].annotation) if node.args.args and node.args.args[0].annotation else ''
    return ''


def module_of(path: Path, root: Path = ROOT) -> Module:
    source = path.read_text(encoding='utf-8')
    tree, lines = ast.parse(source), source.split('\n')
    name = '.'.join(path.relative_to(root).with_suffix('').parts).removesuffix('.__init__')
    public = next(
        (
            ast.literal_eval(n.value)
            for n in tree.body
            if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == '__all__'
        ),
        [],
    )
    entries = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (owner := patched(node)):
            if owner in entries and not node.name.startswith('_'):
                entries[owner].members.append(entry_of(node, lines, owner))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in public:
            entries[node.name] = entry_of(node, lines)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets[0] if isinstance(node, ast.Assign) else node.target
            for target in getattr(targets, 'elts', [targets]):
                if ast.unparse(target) in public:
                    entries[ast.unparse(target)] = constant(ast.unparse(target), node, lines)
    chapter = CHAPTER.search(source)
    return Module(name, ast.get_docstring(tree) or '', chapter[1] if chapter else '', list(entries.values()))


def read_library(root: Path = ROOT) -> list[Package]:
    "Every package of the library with its modules, in the order of the chapters."
    packages = []
    for row in PARTS_TABLE:
        if not row['package']:
            continue
        folder = root / row['package'].replace('.', '/')
        modules = [module_of(p, root) for p in folder.glob('*.py') if p.stem not in ('__init__', '_modidx')]
        modules.sort(key=lambda m: (m.chapter or '~', m.name))
        packages.append(Package(row['package'], row['title'], modules))
    return packages


def summary(doc: str) -> str:
    "The first sentence of a docstring."
    return ' '.join(doc.split('\n\n')[0].split())


def prose(doc: str) -> str:
    "A docstring as HTML: paragraphs, and code in backticks."
    paragraphs = [html.escape(' '.join(p.split()), quote=False) for p in doc.split('\n\n') if p.strip()]
    return ''.join('<p>' + re.sub('`([^`]+)`', r'<code>\1</code>', p) + '</p>' for p in paragraphs)


def coloured(code: str) -> str:
    "Code as HTML, its comments set apart: shapes and units stand in them."
    lines = html.escape(code, quote=False).split('\n')
    return '\n'.join(re.sub(r'(^|\s)(# .*)$', r'\1<span class="co">\2</span>', line) for line in lines)


def entry_html(module: Module, entry: Entry, level: int = 3) -> str:
    folded = (
        f'<details class="cell api-code"><summary>code</summary><pre>{coloured(entry.code)}</pre></details>'
        if entry.code.strip() != entry.signature.strip()
        else ''
    )
    name = f'<h{level}><code>{html.escape(entry.name)}</code></h{level}>'
    return (
        f'<section class="entry" id="{module.id}.{entry.name}">{name}'
        f'<pre class="signature" tabindex="0">{coloured(entry.signature)}</pre>{prose(entry.doc)}'
        f'{folded}</section>' + ''.join(entry_html(module, m, level + 1) for m in entry.members)
    )


def package_page(package: Package, chapters: dict[str, tuple[str, str]]) -> str:
    "The inside of a page; `chapters` gives the slug and number of a notebook."
    out = [
        '<header class="chapter"><p class="kicker">Reference</p>'
        f'<h1 id="{package.slug}"><code>{package.name}</code></h1><p class="summary">{html.escape(package.title)}: '
        'signatures, docstrings and code of every public name.</p></header>',
        '<nav class="sections" aria-label="Modules"><ol>'
        + ''.join(f'<li><a href="#{m.id}"><code>{m.name.rpartition(".")[2]}</code></a></li>' for m in package.modules)
        + '</ol></nav>',
    ]
    for module in package.modules:
        slug, number = chapters.get(module.chapter, ('', ''))
        made = f' · <a href="#sec-{slug}">{"chapter" if number.isdigit() else "appendix"} {number}</a>' if slug else ''
        out.append(
            f'<h2 id="{module.id}"><code>{module.name}</code></h2>{prose(module.doc)}'
            f'<p class="source-of">{len(module.entries)} names{made}</p>'
        )
        out += [entry_html(module, e) for e in module.entries]
    return ''.join(out)


def index_entries(package: Package) -> list:
    "For the search: page, place, number, title of the page, title, words."
    out = []
    for module in package.modules:
        out.append([package.slug, module.id, '', package.name, module.name, summary(module.doc)])
        for entry in [e for top in module.entries for e in (top, *top.members)]:
            words = f'{summary(entry.doc)} {" ".join(entry.signature.split())}'
            out.append([package.slug, f'{module.id}.{entry.name}', '', module.name, entry.name, words])
    return out
