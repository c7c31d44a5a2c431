"""Holds OCSF documents, one a line, to the schema of the version that they name. Prints what is wrong; exits with 1 then."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

WANTED = "1.8.0"


def main(path):
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=WANTED))
    validators = {}
    wrong = 0
    seen = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            document = json.loads(line)
            metadata = document["metadata"]
            found = []
            if metadata["version"] != WANTED:
                found.append(f"version {metadata['version']}")
            name = schemas.lookup_class_name_from_uid(class_uid=document["class_uid"])
            seen[name] = seen.get(name, 0) + 1
            key = (name, tuple(metadata.get("profiles", [])))
            if key not in validators:
                schema = schemas.get_class_schema(class_name=name, profiles=list(key[1]))
                Draft202012Validator.check_schema(schema)
                validators[key] = Draft202012Validator(schema)
            found += [f"{error.json_path}: {error.message[:300]}" for error in validators[key].iter_errors(document)]
            found += deprecated(validators[key].schema, validators[key].schema, document)
            for error in found:
                print(f"{path}:{number}: {name}: {error}")
            wrong += bool(found)
    print(json.dumps({"documents": seen, "wrong": wrong}))
    return 1 if wrong or not seen else 0


def deprecated(root, schema, value):
    """Members that the schema calls deprecated."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, list):
        return [found for item in value for found in deprecated(root, schema.get("items", {}), item)]
    found = []
    if isinstance(value, dict):
        for name, member in value.items():
            inner = schema.get("properties", {}).get(name, {})
            if inner.get("deprecated"):
                found.append(f"`{name}` is deprecated")
            found += deprecated(root, inner, member)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
