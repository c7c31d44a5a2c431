"""Holds recorded calls of BatchImportFindings, one JSON object a line, to AWS's own model of the service, to the lengths that the
finding format documents, and to a signature made by somebody else's signer. Prints what is wrong; exits with 1 then."""

import json
import re
import sys

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

# AWS Security Finding Format: "Required attributes", "Optional top-level attributes", "Resources".
LENGTHS = {"Title": 256, "Description": 1024, "Id": 512, "GeneratorId": 512, "ProductName": 128, "CompanyName": 128}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def patterns(shape, value, path):
    """What ParamValidator leaves to the service: patterns and enumerations."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from patterns(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for at, item in enumerate(value):
            yield from patterns(shape.member, item, f"{path}[{at}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from patterns(shape.key, name, f"{path} key")
            yield from patterns(shape.value, item, f"{path}.{name}")
    elif shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and not re.search(pattern, value, re.DOTALL):
            yield f"{path}: {value!r} does not match {pattern}"
        if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
            yield f"{path}: {value!r} is not one of {shape.metadata['enum']}"


def lengths(finding):
    for name, most in LENGTHS.items():
        if len(finding[name]) > most:
            yield f"{name} has {len(finding[name])} characters"
    for name in ["CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"]:
        if not TIME.fullmatch(finding[name]):
            yield f"{name} is {finding[name]}"
    recommendation = finding.get("Remediation", {}).get("Recommendation", {})
    if len(recommendation.get("Text", "")) > 512:
        yield "the recommendation is too long"
    fields = finding.get("ProductFields", {})
    if len(fields) > 50 or any(len(name) > 128 or len(value) > 2048 for name, value in fields.items()):
        yield "ProductFields are too many or too long"
    if not 1 <= len(finding["Resources"]) <= 32 or len(finding.get("Types", [])) > 50:
        yield "too many or too few resources or types"
    for resource in finding["Resources"]:
        tags = resource.get("Tags", {})
        if len(tags) > 50 or any(len(name) > 128 or len(value) > 256 for name, value in tags.items()):
            yield "tags are too many or too long"
    if len(json.dumps(finding).encode()) > 240 * 1024:
        yield "the finding is larger than 240 KB"
    if "Workflow" in finding or "UserDefinedFields" in finding or "Note" in finding:
        yield "it touches what belongs to people"


def signature(call, credentials, region):
    """The signature that botocore makes of the same request at the same time."""
    headers = {name.lower(): value for name, value in call["headers"].items()}
    given = headers["authorization"]
    signed = re.search(r"SignedHeaders=([^,]+)", given).group(1).split(";")
    if not {"host", "x-amz-date", "content-type"} <= set(signed):
        yield f"only {signed} are signed"
    request = AWSRequest(method=call["method"], url=call["url"], data=call["body"].encode())
    for name in signed:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(credentials, "securityhub", region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    if not given.endswith(f"Signature={auth.signature(text, request)}"):
        yield "the signature is wrong"


def main(path):
    model = botocore.session.get_session().get_service_model("securityhub")
    shape = model.operation_model("BatchImportFindings").input_shape
    credentials = Credentials("unchecked", "unchecked")
    calls = wrong = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            call = json.loads(line)
            body = json.loads(call["body"])
            found = ParamValidator().validate(body, shape)
            found = [found.generate_report()] if found.has_errors() else list(patterns(shape, body, "$"))
            if not found:
                found += [error for finding in body["Findings"] for error in lengths(finding)]
            found += signature(call, credentials, "eu-central-1")
            for error in found:
                print(f"{path}:{number}: {error}")
            calls += 1
            wrong += bool(found)
    print(json.dumps({"calls": calls, "wrong": wrong}))
    return 1 if wrong or not calls else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
