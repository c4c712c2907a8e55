"""Says which SQL files are not wholly in Athena's dialect: dialect.py FILE...

sqlglot keeps a statement that it does not know as a bare command rather than refusing it: that counts as unknown.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError


def problems(text: str) -> Iterator[str]:
    """Says what is wrong with a text."""
    try:
        statements = sqlglot.parse(text, dialect="athena")
    except SqlglotError as error:
        yield str(error)
        return
    if not any(statements):
        yield "no statement"
    for statement in statements:
        if statement is not None:
            yield from (f"unknown statement: {command.sql()}" for command in statement.find_all(exp.Command))


def main() -> None:
    """Checks the files that are named."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = [f"{name}: {problem}" for name in sys.argv[1:] for problem in problems(Path(name).read_text())]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
