"""Files that tests write."""

import json


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path
