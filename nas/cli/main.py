"""Where the program begins, as run.py and as the installed command. Imports what takes time only once signals and streams
are ready for it, and nothing before the current folder is left out; so no `__future__`."""

import sys

from nas.cli.current_folder import leave_out_current_folder, put_current_folder_last


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code. Without `argv` it is the program's own command line, and this process is the program:
    closed streams are opened, signals end it at once until there is something to save, and the current folder is no place to
    import from."""
    if argv is None:
        _become_the_program()
    from nas.cli.running import run  # seconds

    if argv is not None:
        return run(argv)
    put_current_folder_last()
    for stream in (sys.stdout, sys.stderr):  # a terminal without box characters gets question marks
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    return run(sys.argv[1:])


def _become_the_program() -> None:
    leave_out_current_folder(sys.argv[0])
    from nas.cli.process import end_at_once_on_signals, open_streams

    open_streams()
    end_at_once_on_signals()
