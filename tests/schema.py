#!/usr/bin/env python3
"""schema.py ROOT: the JSON Schemas in docs/, judged by a library instead of by our own test: they are schemas, and the
shipped files are valid. Without python3-jsonschema and python3-yaml nothing is judged."""
import json
import pathlib
import sys

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"1..0 # SKIP {missing}")
    sys.exit(0)


class Loader(yaml.SafeLoader):
    """As an editor reads it: an instant stays a text, and so does 02:00; yes and no are words."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool", ":int"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:int", yaml.resolver.re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))

root = pathlib.Path(sys.argv[1])
number = 0


def check(what, judge):
    global number
    number += 1
    try:
        judge()
        print(f"ok {number} - {what}")
    except (jsonschema.ValidationError, jsonschema.SchemaError) as wrong:
        print(f"not ok {number} - {what}")
        print(f"# {wrong.message} at {list(wrong.absolute_path)}")


for kind, folders in {"policy": ["policies", "scenarios/policies", "tests/policies/good"], "lab": ["labs"], "scenario": ["scenarios"], "oats": ["oats"]}.items():
    schema = json.loads((root / "docs" / f"{kind}.schema.json").read_text())
    check(f"docs/{kind}.schema.json is a schema", lambda: jsonschema.Draft202012Validator.check_schema(schema))
    judge = jsonschema.Draft202012Validator(schema)
    for path in sorted(path for folder in folders for path in (root / folder).glob("*.yaml")):
        document = yaml.load(path.read_text(), Loader)
        check(f"{path.relative_to(root)} is valid", lambda: judge.validate(document))
print(f"1..{number}")
