"""Holds events of Splunk's HTTP Event Collector, one a line, to what its documentation ("Format events for HTTP Event Collector")
says of them. Prints what is wrong; exits with 1 then."""

import json
import sys

from jsonschema import Draft202012Validator

SCHEMA = {
    "type": "object",
    "required": ["event"],
    "additionalProperties": False,
    "properties": {
        # Seconds since 1970, as a text or a number, with up to three decimals.
        "time": {"type": "string", "pattern": r"^\d{10}\.\d{3}$"},
        "host": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "sourcetype": {"type": "string", "minLength": 1},
        "index": {"type": "string", "pattern": "^[a-z0-9_][a-z0-9_-]*$"},
        # An event may not be blank.
        "event": {"type": "object", "minProperties": 1},
    },
}


def main(path):
    validator = Draft202012Validator(SCHEMA)
    events = wrong = 0
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            found = list(validator.iter_errors(json.loads(line)))
            for error in found:
                print(f"{path}:{number}: {error.json_path}: {error.message[:300]}")
            events += 1
            wrong += bool(found)
    print(json.dumps({"events": events, "wrong": wrong}))
    return 1 if wrong or not events else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
