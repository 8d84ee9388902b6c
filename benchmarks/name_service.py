"""A name service for hosts.py, as container networks have one: a name stands for all hosts that carry it.

Run by the network as `python -m benchmarks.name_service ADDRESS FILE`; FILE is JSON, name -> addresses, read anew for
every question.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import DNSLogger, DNSServer

_SECONDS_TO_LIVE = 1


class Names:
    """Answers from the file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def resolve(self, request: Any, handler: Any) -> Any:
        """The addresses of the name asked for; unknown ones do not exist."""
        reply = request.reply()
        name = str(request.q.qname).rstrip(".")
        addresses = json.loads(self._file.read_text()).get(name)
        if addresses is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for address in addresses:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(address), ttl=_SECONDS_TO_LIVE))
        return reply


if __name__ == "__main__":
    quiet = DNSLogger(logf=lambda line: None)
    DNSServer(Names(Path(sys.argv[2])), address=sys.argv[1], port=53, logger=quiet).start_thread()
    threading.Event().wait()
