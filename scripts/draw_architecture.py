"""Draw the packages and what they import from one another: figures/architecture-packages.svg.

Boxes come from `nbs/parts.csv` and the chapters, lines from their imports; nothing in the picture is typed in by hand.
"""

import re
from collections import Counter
from html import escape
from pathlib import Path

import check_sync

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / 'figures/architecture-packages.svg'
WIDTH, LEFT, BOX, GAP = 720, 20, 500, 18  # dots
FONT, WORDS = 'font-family="sans-serif"', 72  # modules of one line, in characters
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#F0E442', '#000000', '#7f7f7f')


def packages(root: Path = ROOT) -> dict[str, list[str]]:
    "Package → its modules in the order of their chapters."
    found = {package: [] for package in check_sync.parts(root).values() if package}
    for path in check_sync.notebooks(root):
        if re.match(r'\d\d_', path.name) and (module := check_sync.exported_module(path)):
            found[check_sync.parts(root)[path.name[0]]].append(module.rpartition('.')[2])
    return found


def imports(root: Path = ROOT) -> Counter:
    "(package, package it imports) → how many of its modules do."
    owner = {f'{package}.{name}': package for package, names in packages(root).items() for name in names}
    owner['drumnb.cli'] = 'drumnb.notation'
    found = Counter()
    for path in check_sync.notebooks(root):
        if not re.match(r'\d\d_', path.name) or not check_sync.exported_module(path):
            continue
        cells = [cell for cell in check_sync.cells_of(path) if check_sync.is_export(cell)]
        used = {f'drumnb.{name}' for cell in cells for name in check_sync.library_imports(cell)}
        own = check_sync.parts(root)[path.name[0]]
        reached = {owner.get(name) or owner.get(name.rpartition('.')[0]) for name in used} - {own, None}
        found.update((own, package) for package in reached)
    return found


def lines_of(names: list[str]) -> list[str]:
    "Names of modules, a few on each line."
    lines = ['']
    for name in names:
        joined = f'{lines[-1]}, {name}' if lines[-1] else name
        if len(joined) > WORDS:
            lines.append(name)
        else:
            lines[-1] = joined
    return lines


def draw(root: Path = ROOT) -> str:
    "The picture as SVG: a box for each package, the lowest at the bottom, and a line to each package it imports."
    titles = dict(zip(check_sync.parts(root).values(), titles_of(root)))
    boxes, places, y = [], {}, GAP
    for package, names in reversed(packages(root).items()):
        lines = lines_of(names)
        height = 30 + 16 * len(lines)
        places[package] = (y, height)
        boxes.append(box(package, titles[package], lines, y, height))
        y += height + GAP
    lines = [line(places, list(places), *pair, n) for pair, n in sorted(imports(root).items())]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    return '\n'.join([head, f'<rect width="{WIDTH}" height="{y}" fill="white"/>', *lines, *boxes, '</svg>']) + '\n'


def titles_of(root: Path) -> list[str]:
    "The titles of the parts."
    rows = (root / 'nbs/parts.csv').read_text(encoding='utf-8').splitlines()[1:]
    return [row.split(',', 2)[2].strip('"') for row in rows]


def box(package: str, title: str, lines: list[str], y: int, height: int) -> str:
    "A package with its title and its modules."
    text = [f'<rect x="{LEFT}" y="{y}" width="{BOX}" height="{height}" rx="5" fill="#f4f4f4" stroke="#444"/>']
    text.append(f'<text x="{LEFT + 10}" y="{y + 19}" {FONT} font-size="13" font-weight="bold">{package}</text>')
    text.append(
        f'<text x="{LEFT + BOX - 10}" y="{y + 19}" {FONT} font-size="12" text-anchor="end" font-style="italic">'
        f'{escape(title)}</text>'
    )
    for i, words in enumerate(lines):
        text.append(f'<text x="{LEFT + 10}" y="{y + 37 + 16 * i}" {FONT} font-size="11.5">{escape(words)}</text>')
    return '\n'.join(text)


def line(places: dict, order: list, above: str, below: str, n: int) -> str:
    "A curve from a package to one that it imports, as thick as many modules do, in the colour of the importing one."
    reach = order.index(below) - order.index(above)
    top, bottom = (places[above][0] + places[above][1] * 0.7, places[below][0] + 8 + 4 * (reach % 5))
    x, far = LEFT + BOX, LEFT + BOX + 24 + 22 * reach
    color = COLORS[order.index(above) % len(COLORS)]
    return (
        f'<path d="M{x} {top:.0f} C{far} {top:.0f} {far} {bottom:.0f} {x} {bottom:.0f}" fill="none" stroke="{color}" '
        f'stroke-width="{0.6 + 0.35 * n:.2f}"><title>{n} modules of {above} import {below}</title></path>'
    )


if __name__ == '__main__':
    TARGET.write_text(draw(), encoding='utf-8')
