import pytest

from ostiary import cli


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["analyse", *arguments])
    output = capsys.readouterr()
    return ended.value.code, output.out + output.err


def test_the_help_shows_how_to_start_and_how_to_ask(capsys):
    code, text = told(capsys, "--help")
    assert code == 0
    for part in ("make analysis", "--engines ner", "/v1/advice/ner", "healthz"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "--socket"),
        (["--socket", "s", "--engines", "nor"], "'nor' is not one of: injection, ner"),
        (["--socket", "s", "--engines", ""], "is not one of"),
        (["--socket", "s", "--threads", "0"], "from 1 to 64"),
        (["--socket", "s", "--nice", "-1"], "nice"),
    ],
)
def test_wrong_usage_is_a_sentence(capsys, arguments, part):
    code, text = told(capsys, *arguments)
    assert code == 2
    assert part in text
