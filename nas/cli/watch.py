"""`run.py watch`: serves the report's page until it is interrupted."""

from __future__ import annotations

import json
import sys

from nas.cli.config import Invocation
from nas.cli.process import Ended
from nas.commands.report import title_of
from nas.commands.watch import WatchOptions
from nas.records.stores.url import redacted
from nas.watch.server import Server
from nas.watch.watched import Watched


def run_watch(asked: Invocation) -> None:
    """Say where the page is, and serve it."""
    options: WatchOptions = asked.options
    places = options.results or ("results",)
    shown = ", ".join(map(redacted, places))
    watched = Watched(places, options.where, title_of(places, options.title))
    server = Server(options.host, options.port, watched.paths())
    if asked.json:
        print(json.dumps({"url": server.url}), flush=True)
    else:
        print(server.url, flush=True)
        if not asked.quiet:
            print(f"shows {shown} live; Ctrl-C ends it", file=sys.stderr)
    if not server.is_private:
        print("whoever reaches this address can read it: nothing asks for a password, and nothing is encrypted", file=sys.stderr)
    if options.open:
        import webbrowser

        webbrowser.open(server.url)
    try:
        server.serve()
    except Ended as ended:
        if ended.exit_code != 130:
            raise
        if not asked.json:
            print("\nended", file=sys.stderr)
