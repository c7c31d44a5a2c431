"""A syslog receiver over TLS on loopback: `syslog.py CERT KEY COUNT`. Prints its port; takes COUNT messages by octet counting
(RFC 5425), has each parsed by somebody else's parser of RFC 5424, and at the end prints what it understood, one JSON object a line."""

import json
import socket
import ssl
import sys

from syslog_rfc5424_parser import SyslogMessage


def exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def main(cert, key, count):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(30)
    understood = []
    while count:
        try:
            plain, _ = listener.accept()
            plain.settimeout(30)
            stream = context.wrap_socket(plain, server_side=True)
            while count:
                length = b""
                while not length.endswith(b" "):
                    length += exactly(stream, 1)
                if not length[:-1].isdigit() or length.startswith(b"0") or len(length) > 7:
                    raise ValueError(f"not a length: {length}")
                message = exactly(stream, int(length))
                parsed = SyslogMessage.parse(message.decode("utf-8")).as_dict()
                parsed["size"] = len(message)
                understood.append(json.dumps(parsed))
                count -= 1
        except EOFError:
            continue
    print("\n".join(understood))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
