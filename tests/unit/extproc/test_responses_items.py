"""The kinds of items and texts that a Responses answer may have fit together."""

from extproc.providers.responses_items import CALLS, ITEMS, KINDS, NO_PARTS


def test_every_text_of_an_item_has_its_events_and_every_event_an_item():
    in_parts = {kind for lists in ITEMS.values() for kinds in lists.values() for kind in kinds}
    assert in_parts | set(CALLS.values()) == KINDS.keys()
    assert {name for name, kind in KINDS.items() if kind.index} == in_parts
    assert CALLS.keys() <= ITEMS.keys()


def test_parts_are_found_by_the_index_of_their_own_list():
    fields = {"content": "content_index", "summary": "summary_index"}
    for lists in ITEMS.values():
        for holder, kinds in lists.items():
            assert {KINDS[kind].index for kind in kinds} == {fields[holder]}


def test_an_item_of_an_unknown_kind_has_no_parts():
    assert not NO_PARTS
