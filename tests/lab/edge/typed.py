#!/usr/bin/env python3
"""typed.py LINE… -- COMMAND…: runs a command on a terminal of its own, and types a line whenever it asks without an echo.

Prints all that the terminal showed, and ends as the command did."""
import os, pty, sys, termios, time

at = sys.argv.index("--")
lines, command = sys.argv[1:at], sys.argv[at + 1:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
shown = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    shown += part
    if lines and shown.endswith(b": "):
        began = time.time()
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            if time.time() - began > 5:
                sys.exit("it asks, and shows what is typed")
            time.sleep(0.01)
        os.write(terminal, lines.pop(0).encode() + b"\n")
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
