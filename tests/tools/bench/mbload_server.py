#!/usr/bin/env -S python3 -B
"""A cache server for mbload.sh that does what its argument says: right, or one of the faults that mbload must find.

It serves get and set on a free port of loopback, which it prints, until it is ended."""
import socketserver
import sys

FAULT = sys.argv[1]
STORE = {}


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            words = line.split()
            reply = self.store(words) if words[0] == b"set" else self.find(words[1])
            if reply is None:
                return
            self.wfile.write(reply)

    def store(self, words):
        value = self.rfile.read(int(words[4]) + 2)[:-2]
        if FAULT == "refuse":
            return b"SERVER_ERROR out of memory storing object\r\n"
        if FAULT != "stale" or words[1] not in STORE:
            STORE[words[1]] = (words[2], value)
        return b"STORED\r\n"

    @staticmethod
    def find(name):
        if FAULT in ("error", "close", "silent", "junk"):
            return {"error": b"ERROR\r\n", "close": None, "silent": b"", "junk": 5000 * b"\0"}[FAULT]
        if name not in STORE:
            return b"END\r\n"
        flags, value = STORE[name]
        if FAULT == "wrong":
            value = value[:-1] + bytes([value[-1] ^ 1])
        elif FAULT == "short":
            value = value[:-1]
        elif FAULT == "name":
            name = name[:-1] + b"z"
        elif FAULT == "end":
            return b"VALUE %s %s %d\r\n%s\r\nEMD\r\n" % (name, flags, len(value), value)
        return b"VALUE %s %s %d\r\n%s\r\nEND\r\n" % (name, flags, len(value), value)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


with Server(("127.0.0.1", 0), Connection) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
