"""Values and statements as they are sent to MariaDB and MySQL."""

import pytest

from kala.drivers.mysql_rows import inserts, literal, packets


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null"),
        (-5, b"-5"),
        ("ü'\\", b"_binary'\xc3\xbc\\'\\\\'"),
        (b"\0%s\xff", b"_binary'\0%s\xff'"),
    ],
)
def test_literals(value: object, text: bytes) -> None:
    assert literal(value) == text


def test_literals_of_what_is_none() -> None:
    with pytest.raises(TypeError, match="float is not a value"):
        literal(0.5)


def test_statements_fit_their_packets() -> None:
    rows = [b"(%d)" % number for number in range(1_000)]
    made = list(inserts("insert into t values", rows, "tail", 500))
    assert all(len(each) <= 500 for each in made)
    assert b", ".join(each[len(b"insert into t values ") : -len(b" tail")] for each in made) == b", ".join(rows)
    sent = list(packets(made, 1_200))
    assert all(len(each) <= 1_200 for each in sent)
    assert b"; ".join(sent) == b"; ".join(made)
    assert len(sent) < len(made) / 1.5
