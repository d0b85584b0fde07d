from tests.support.inside import run_inside_locust


def test_inside_locust() -> None:
    run_inside_locust("web")
