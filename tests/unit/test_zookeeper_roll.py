"""Whose znode counts as gone."""

from leasebeat.coordination.link import Connection
from leasebeat.coordination.roll import Roll

C1, C2 = Connection(7, 10.0, 1), Connection(7, 10.0, 2)


def test_a_znode_that_was_seen_and_is_not_there_any_more_is_gone_at_once():
    roll = Roll()
    roll.look(C1, 0.0, [5], [5])
    roll.look(C1, 11.0, [], [5])
    assert roll.gone(C1, 11.1) == {5}


def test_nobody_is_gone_to_a_node_that_has_not_been_connected_for_a_whole_session():
    roll = Roll()
    roll.look(C1, 0.0, [5], [5])
    roll.look(C1, 9.0, [], [5])
    assert roll.gone(C1, 9.9) == set()
    assert roll.gone(C1, 10.0) == {5}


def test_a_znode_that_was_never_seen_is_waited_for_a_whole_session():
    roll = Roll()
    roll.look(C1, 0.0, [], [])
    roll.look(C1, 20.0, [], [5])
    assert roll.gone(C1, 29.9) == set()
    assert roll.gone(C1, 30.0) == {5}


def test_a_break_of_the_connection_makes_everybody_unseen_again():
    roll = Roll()
    roll.look(C1, 0.0, [5], [5])
    roll.look(C2, 11.0, [], [5])  # as when ZooKeeper came back empty
    assert roll.gone(C2, 20.9) == set()
    assert roll.gone(C2, 21.0) == {5}


def test_what_a_broken_connection_has_shown_convicts_nobody():
    roll = Roll()
    roll.look(C1, 0.0, [5], [5])
    roll.look(C1, 11.0, [], [5])
    assert roll.gone(C2, 30.0) == set()
    assert roll.gone(None, 30.0) == set()


def test_a_failed_look_begins_the_watch_again():
    roll = Roll()
    roll.look(C1, 0.0, [5], [5])
    roll.broke()
    roll.look(C1, 11.0, [], [5])
    assert roll.gone(C1, 12.0) == set()
