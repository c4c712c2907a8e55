"""Runs a command and writes the CPU seconds and the KiB of memory that it took at most: used.py FILE COMMAND...

A process of its own, since the memory of whoever starts a command counts as the command's until it is another program
(getrusage(2), `ru_maxrss`).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

run = subprocess.Popen(sys.argv[2:])
# Who asks for the end asks this process.
signal.signal(signal.SIGTERM, lambda *_: run.terminate())
_, status, used = os.wait4(run.pid, 0)
Path(sys.argv[1]).write_text(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
