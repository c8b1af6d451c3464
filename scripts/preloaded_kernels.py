"""Kernels that are forked from a process which has imported the slow libraries, so that chapters need not wait."""

import atexit
import multiprocessing
import os
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

SLOW = ('torch', 'pandas', 'scipy.signal', 'matplotlib.figure', 'IPython', 'ipykernel.kernelapp')
most_memory = 0  # KiB of the largest kernel so far


def serve(argv: list, env: dict, cwd: str, most):
    "The life of a kernel, in a process of its own session as Jupyter's are."
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [p for p in sys.path if p != str(Path(__file__).parent)]
    from ipykernel.kernelapp import IPKernelApp

    try:
        IPKernelApp.launch_instance([*argv, f'--IPKernelApp.parent_handle={os.getppid()}'])  # ends with its parent
    finally:
        atexit._run_exitfuncs()  # a forked process leaves without them
        most.value = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class ForkedKernel:
    "A kernel's process with the methods of `subprocess.Popen` that Jupyter calls."

    stdin = stdout = stderr = None

    def __init__(self, argv: list, env: dict, cwd: str):
        context = multiprocessing.get_context('forkserver')
        context.set_forkserver_preload(list(SLOW))
        self.most = context.Value('q', 0, lock=False)
        self.process = context.Process(target=serve, args=(argv, env, cwd, self.most))
        self.process.start()
        self.pid = self.process.pid
        self.kill, self.terminate = self.process.kill, self.process.terminate

    def poll(self):
        return self.process.exitcode

    def wait(self):
        global most_memory
        self.process.join()
        most_memory = max(most_memory, self.most.value)
        return self.process.exitcode

    def send_signal(self, number: int):
        os.kill(self.pid, number)


class Preloaded(LocalProvisioner):
    "Jupyter's own way to start a kernel, but forked."

    async def launch_kernel(self, cmd, **words):
        argv = cmd[cmd.index('-f') :]
        self.process = ForkedKernel(argv, dict(words['env']), str(words.get('cwd') or Path.cwd()))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


def preload():
    "From now on kernels of this process are forked, where the system can do that."
    if 'forkserver' in multiprocessing.get_all_start_methods():
        os.environ.setdefault('MPLBACKEND', 'module://matplotlib_inline.backend_inline')  # as in any kernel
        factory = KernelProvisionerFactory.instance()
        factory.provisioners['preloaded'] = SimpleNamespace(load=lambda: Preloaded)
        factory.default_provisioner_name = 'preloaded'
