"""Holds recorded calls of PutObject, one JSON object a line, to a signature made by somebody else's signer. Prints what is wrong; exits
with 1 then."""

import base64
import gzip
import hashlib
import json
import re
import sys

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def faults(call):
    headers = {name.lower(): value for name, value in call["headers"].items()}
    body = base64.b64decode(call["bytes"])
    given = headers["authorization"]
    signed = re.search(r"SignedHeaders=([^,]+)", given).group(1).split(";")
    # S3 asks for the host, and for every header of its own.
    wanted = {"host"} | {name for name in headers if name.startswith("x-amz-")}
    if not wanted <= set(signed):
        yield f"only {signed} are signed, not {wanted}"
    if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
        yield "the body's digest is wrong"
    request = AWSRequest(method=call["method"], url=call["url"], data=body)
    for name in signed:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials("unchecked", "unchecked"), "s3", "eu-central-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not given.endswith(f"Signature={auth.signature(text, request)}"):
        yield "the signature is wrong"
    for line in gzip.decompress(body).splitlines():
        json.loads(line)


def main(path):
    calls = wrong = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            found = list(faults(json.loads(line)))
            for error in found:
                print(f"{path}:{number}: {error}")
            calls += 1
            wrong += bool(found)
    print(json.dumps({"calls": calls, "wrong": wrong}))
    return 1 if wrong or not calls else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
