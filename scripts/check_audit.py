"""Known vulnerabilities of the exact versions in constraints.txt, one note each; they do not change the exit status.

Without pip-audit (of the extra dev), or without a network, one line says so.
"""

import json
import subprocess
import sys
from pathlib import Path

WORDS = '-m pip_audit --no-deps --disable-pip -s osv -f json --progress-spinner off --timeout 5 -r'.split()


def main():
    pins = Path(__file__).resolve().parents[1] / 'constraints.txt'
    done = subprocess.run([sys.executable, *WORDS, pins], capture_output=True, text=True)
    if not done.stdout.startswith('{'):
        why = (done.stderr.strip() or 'no answer').splitlines()[-1].split(': ', 1)[-1][:100]
        return print(f'note: versions were not looked up for known vulnerabilities ({why})')
    for package in json.loads(done.stdout)['dependencies']:
        for v in package.get('vulns', ()):
            fixed = ', '.join(v['fix_versions']) or 'in no version'
            print(f'note: {package["name"]} {package["version"]}: {v["id"]}, fixed {fixed}')


if __name__ == '__main__':
    main()
