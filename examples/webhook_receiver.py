"""A receiver of webhooks: hands alerts to ntfy, to Slack, or to a program of yours.

    python examples/webhook_receiver.py --secret-file webhook.secret ntfy https://ntfy.sh/my-door
    python examples/webhook_receiver.py --secret-file webhook.secret slack https://hooks.slack.com/services/T0/B0/secret
    python examples/webhook_receiver.py --secret-file webhook.secret run ./on-alert.sh     # message at standard input

On the device: webhooks: [{url: "http://receiver.local:9000/", secret_file: ...}] with the same secret. A message counts
as delivered once it was forwarded; until then maskwatch keeps it and retries. Uses only the standard library.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import subprocess
import time
import urllib.request
from collections import OrderedDict
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_BYTES = 100_000
OLDEST_SECONDS = 300.0
"""As in the specification: older signatures may be replays."""
KNOWN_IDS = 1000
TIMEOUT_SECONDS = 8.0
"""Below maskwatch's timeout of ten seconds."""
WORDS = {"without_mask": "No mask", "mask_worn_incorrectly": "Mask worn incorrectly", "with_mask": "Mask"}


def is_genuine(secret: bytes, headers: Any, body: bytes, *, now: float) -> bool:
    """Whether the body has a recent signature with the secret."""
    sent = headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(now - int(sent)) > OLDEST_SECONDS:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
    expected = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    # There are several while a secret is being replaced.
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in headers.get("webhook-signature", "").split())


def text_of(message: dict[str, Any]) -> str:
    """Format a message as one sentence."""
    schema = message["schema"]
    if schema.startswith("maskwatch.alert/"):
        label = WORDS.get(message["label"], message["label"])
        return f"{label} at {message['camera_title']} ({message['device_title']}), {message['when']}"
    if schema.startswith("maskwatch.resolved/"):
        reason = {"left": "left", "compliant": "put the mask on"}.get(message["reason"], message["reason"])
        return f"{message['camera_title']} ({message['device_title']}): {reason}"
    reasons = "; ".join(reason["text"] for reason in message.get("reasons", []))
    return f"{message['device']} is {message['state']}{f': {reasons}' if reasons else ''}"


def to_ntfy(url: str, message: dict[str, Any]) -> None:
    """Publish a sentence according to https://docs.ntfy.sh/publish/."""
    is_alert = message["schema"].startswith("maskwatch.alert/")
    post(url, text_of(message).encode(), {"Title": "maskwatch", "Priority": "high" if is_alert else "default"})


def to_slack(url: str, message: dict[str, Any]) -> None:
    """Post a sentence according to https://api.slack.com/messaging/webhooks."""
    post(url, json.dumps({"text": text_of(message)}).encode(), {"Content-Type": "application/json"})


def to_program(command: str, message: dict[str, Any]) -> None:
    """Run a program with the whole message on its standard input; raises if its exit status is not 0."""
    subprocess.run([command], input=json.dumps(message).encode(), timeout=TIMEOUT_SECONDS, check=True)  # noqa: S603


def post(url: str, body: bytes, headers: dict[str, str]) -> None:
    """Send a POST request; raises OSError unless it succeeds."""
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  (the address is that of the command line)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
        pass


TARGETS = {"ntfy": to_ntfy, "slack": to_slack, "run": to_program}


class Receiver(BaseHTTPRequestHandler):
    """Responds with 204 once a message is forwarded, otherwise with an error."""

    secret = b""
    hand_on: ClassVar[Callable[[dict[str, Any]], None]]
    known: ClassVar[OrderedDict[str, None]] = OrderedDict()

    def do_POST(self) -> None:
        """Receive one message."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BYTES:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        if not is_genuine(self.secret, self.headers, body, now=time.time()):  # noqa: TID251  (that of the sender)
            self.send_error(401)
            return
        message_id = self.headers["webhook-id"]
        # Delivery is at least once: after a lost response the same message arrives again.
        if message_id not in self.known:
            try:
                type(self).hand_on(json.loads(body))
            except (OSError, subprocess.SubprocessError) as error:
                self.log_error("not handed on: %s", error)
                self.send_error(503)
                return
            self.known[message_id] = None
            if len(self.known) > KNOWN_IDS:
                self.known.popitem(last=False)
        self.send_response(204)
        self.end_headers()


def main() -> None:
    """Receive until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secret-file", type=Path, required=True, help="file whose first line is whsec_ and base64")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="port to listen at (default: %(default)s)")
    parser.add_argument("target", choices=TARGETS, help="who gets the messages")
    parser.add_argument("place", help="address of the topic or of the incoming webhook, or path of the program")
    options = parser.parse_args()
    first_line = options.secret_file.read_text(encoding="utf-8").splitlines()[0]
    Receiver.secret = base64.b64decode(first_line.removeprefix("whsec_"), validate=True)
    Receiver.hand_on = partial(TARGETS[options.target], options.place)
    with HTTPServer((options.host, options.port), Receiver) as server:
        print(f"http://{options.host}:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
