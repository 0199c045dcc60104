#!/usr/bin/python3
"""A small app to put behind Postern: says hello and shows what the edge told it.

usage: app.py 127.0.0.1:3000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOWN = ("Host", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port",
         "X-Request-ID", "X-Request-Start")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        told = {name: self.headers[name] for name in SHOWN if name in self.headers}
        body = json.dumps({"hello": self.headers.get("Host"), "path": self.path, "headers": told},
                          indent=1).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


host, port = sys.argv[1].rsplit(":", 1)
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
