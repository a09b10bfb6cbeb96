"""The command line: verbs, one-line errors, exit statuses."""

import subprocess
import sys

import pytest

from jaxpose import cli


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert verb in capsys.readouterr().out


def test_help_does_not_import_tensorflow():
    code = (
        "import sys\nfrom jaxpose import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_bad_input_is_one_line_and_status_2(capsys):
    assert cli.main(["summary", "hwl_mobilenetv4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jaxpose summary: ") and "hwl_mobilenetv3" in error
    assert error.count("\n") == 1
