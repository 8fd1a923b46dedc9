"""`PUT` takes what `GET` gave: one way for every resource that has both."""

from copy import deepcopy

from service.http.fields import PutBack, Schema


def takes_what_is_shown(
    wanted: type[Schema], shown: type[Schema], *, record: str = "", told_by: str = ""
) -> None:
    """Let bodies of `wanted` hold all members of `shown`. Those that only the server makes, as an
    id or a figure, are passed over.

    Args:
        record: the member of the answer that holds what was written, as it was written. What the
            body does not name beside it is taken from there.
        told_by: the member that names what others told; beside the record it is theirs.
    """
    own = {field.data_key or name for name, field in wanted().fields.items()}
    made = {name: field for name, field in shown().fields.items() if name not in own}
    for name, field in made.items():
        declared = wanted._declared_fields[name] = deepcopy(field)  # noqa: SLF001 - marshmallow's
        declared.dump_only, declared.required = True, False  # `readOnly` in the document
    wanted.put_back = PutBack(frozenset(own), frozenset(made), record, told_by)
