"""What a refusal becomes on its way out."""

from contracts.errors import Problem
from edge.problems import problem_document, problem_headers


def test_refusal_by_an_actor_without_a_time_still_says_when_to_try_again() -> None:
    problem = Problem(code="unavailable", detail="History was away; try again.")
    assert problem_headers(problem)["retry-after"] == "1"
    assert problem_document(problem)["retryAfterMs"] == 1_000


def test_refusal_for_good_names_no_time() -> None:
    problem = Problem(code="unknown_model", detail="There is no such model.")
    assert "retry-after" not in problem_headers(problem)
    assert "retryAfterMs" not in problem_document(problem)
