"""Python code in an interpreter of its own, for what depends on what was imported before."""

import subprocess
import sys


def run_python(code, cwd):
    """Runs code in a fresh interpreter and returns what it printed; fails with its traceback."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
