"""Make Debian's Prometheus and Alertmanager run from where they were unpacked.

Debian compiles the place of their templates and pages into them: an Alertmanager that finds no
/usr/share/prometheus/alertmanager/default.tmpl refuses to start, and amtool to check. Only root could put it there.
So that path, in the programs, is replaced by one of the same length through an open file descriptor, and a script that
opens it on the unpacked folder goes before each program. This asks for no right, and works from any current folder.
"""

from pathlib import Path

COMPILED_IN = b"/usr/share/prometheus"
DESCRIPTOR = 9
# Padded with slashes, which mean nothing: a program's strings can be replaced only by others of the same length.
REPLACEMENT = f"/proc/self/fd/{DESCRIPTOR}".encode().ljust(len(COMPILED_IN), b"/")

SCRIPT = f"""\
#!/bin/sh
# This program was changed to read {COMPILED_IN.decode()} through descriptor {DESCRIPTOR}.
usr=$(dirname "$(dirname "$(readlink -f "$0")")")
exec {DESCRIPTOR}<"$usr/share/prometheus"
exec "$usr/libexec/NAME" "$@"
"""


def relocate(root: Path) -> None:
    """Change the programs of an unpacked package, below root/usr/bin, that look for their files in Debian's place."""
    if not (root / COMPILED_IN.decode().removeprefix("/")).is_dir():
        return
    for program in sorted((root / "usr/bin").iterdir()):
        content = program.read_bytes()
        if program.is_symlink() or not content.startswith(b"\x7fELF") or COMPILED_IN not in content:
            continue
        real = root / "usr/libexec" / program.name
        real.parent.mkdir(exist_ok=True)
        real.write_bytes(content.replace(COMPILED_IN, REPLACEMENT))
        real.chmod(0o755)
        program.write_text(SCRIPT.replace("NAME", program.name))
