"""Runs a program on a terminal of its own: `terminal.py COLUMNS LINES UNTIL KEYS PROGRAM [ARGUMENT…]`.

Writes everything that came out to standard output: keys are typed once UNTIL is to be seen. Afterwards a line
of JSON on standard error says how the program ended, and whether the terminal is as it was.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios

columns, lines, until, keys, *command = sys.argv[1:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", int(lines), int(columns), 0, 0))
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.login_tty(slave)
    os.execv(command[0], command)
output, typed, waited = b"", False, 0
while True:
    ready, _, _ = select.select([master], [], [], 0.1)
    if ready:
        output += os.read(master, 65536)
    waited = 0 if ready else waited + 1
    if waited > 200:
        os.kill(child, 9)
        sys.exit(f"nothing more came after {output!r}")
    if not typed and until.encode() in output:
        os.write(master, keys.encode())
        typed = True
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        ended = os.waitstatus_to_exitcode(status)
        break
# What it wrote last may still be on its way.
while select.select([master], [], [], 0.2)[0]:
    output += os.read(master, 65536)
sys.stdout.buffer.write(output)
same = termios.tcgetattr(slave)[:4] == before[:4]
print(json.dumps({"ended": ended, "same": same}), file=sys.stderr)
