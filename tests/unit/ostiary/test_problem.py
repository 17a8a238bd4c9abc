"""Problems are sentences with advice."""

from ostiary.problem import Problem


def test_a_problem_is_its_sentence():
    problem = Problem("the port is taken", hint="Choose another.")
    assert (str(problem), problem.hint) == ("the port is taken", "Choose another.")
