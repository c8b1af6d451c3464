"""A headless Chromium spoken to through its DevTools protocol, for tests of pages."""

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

FLAGS = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
    '--mute-audio',
    '--autoplay-policy=no-user-gesture-required',
    '--remote-debugging-port=0',
    '--remote-allow-origins=*',
]


def find_chromium():
    "The browser's program, or None."
    return next(
        (
            p
            for n in ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
            if (p := shutil.which(n))
        ),
        None,
    )


class Browser:
    """One page of a fresh profile; `requests` lists what it asked the network for, `errors` what its scripts
    complained of."""

    def __init__(self, profile):
        import websocket

        self.process = subprocess.Popen(
            [find_chromium(), *FLAGS, f'--user-data-dir={profile}', 'about:blank'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file, deadline = profile / 'DevToolsActivePort', time.monotonic() + 90
        while not (port_file.exists() and port_file.read_text().count('\n')):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.process.kill()
                raise RuntimeError('Chromium did not start')
            time.sleep(0.1)
        pages = json.load(urllib.request.urlopen(f'http://127.0.0.1:{port_file.read_text().split()[0]}/json'))
        self.socket = websocket.create_connection(
            next(p for p in pages if p['type'] == 'page')['webSocketDebuggerUrl'], timeout=90
        )
        self.ids, self.requests, self.errors = itertools.count(1), [], []
        for domain in ('Page', 'Runtime', 'Network', 'Log'):
            self.call(f'{domain}.enable')

    def call(self, method, **params):
        number = next(self.ids)
        self.socket.send(json.dumps(dict(id=number, method=method, params=params)))
        while True:
            m = json.loads(self.socket.recv())
            if m.get('method') == 'Network.requestWillBeSent':
                self.requests.append(m['params']['request']['url'])
            if m.get('method') == 'Runtime.exceptionThrown':
                self.errors.append(m['params']['exceptionDetails'].get('exception', {}).get('description', str(m)))
            if m.get('method') == 'Log.entryAdded' and m['params']['entry']['level'] == 'error':
                self.errors.append(m['params']['entry']['text'])
            if m.get('method') == 'Page.javascriptDialogOpening':
                self.errors.append('a dialog: ' + m['params']['message'])
            if m.get('id') == number:
                if 'error' in m:
                    raise RuntimeError(f'{method}: {m["error"]}')
                return m['result']

    def run(self, script):
        "The value of a JavaScript expression, promises awaited."
        r = self.call('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if 'exceptionDetails' in r:
            raise RuntimeError(r['exceptionDetails'].get('exception', {}).get('description', str(r)))
        return r['result'].get('value')

    def until(self, script, seconds=30):
        "Wait for an expression to become true."
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > deadline:
                raise AssertionError(f'still not true after {seconds} s: {script}')
            time.sleep(0.05)
        return value

    def open(self, path, width=1280, height=900, dark=False, mobile=False):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call(
            'Emulation.setEmulatedMedia',
            features=[dict(name='prefers-color-scheme', value='dark' if dark else 'light')],
        )
        self.call('Page.navigate', url=path.as_uri())
        self.until('document.readyState === "complete"')

    def press(self, key):
        for kind in ('keyDown', 'keyUp'):
            self.call(
                'Input.dispatchKeyEvent',
                type=kind,
                key=key,
                **({'text': key} if kind == 'keyDown' and len(key) == 1 else {}),
            )

    def picture(self, path, whole=False):
        path.write_bytes(base64.b64decode(self.call('Page.captureScreenshot', captureBeyondViewport=whole)['data']))

    def close(self):
        try:
            self.call('Browser.close')
        except Exception:
            pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
